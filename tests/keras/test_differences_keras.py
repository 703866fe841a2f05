"""Keras's rows in the README's table of differences: what its own losses say on some framework, and ours on each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from conventions import Differences

import xentropy_keras

KERAS = Differences("Keras")
ENGINE = keras.backend.backend()
LOGITS = np.array([[1.0, 2.0, 3.0]], dtype=np.float32)


def values(x: Any) -> np.ndarray[Any, Any]:
    return keras.ops.convert_to_numpy(x)


def floats(x: Any) -> np.ndarray[Any, Any]:
    return np.array(x, dtype=np.float32)


@KERAS.row("a confident row, logits [20, 0, 0] and class 0", "0", "4.12e-09")
def _() -> None:
    given = (np.array([0]), floats([[20.0, 0.0, 0.0]]))
    assert values(keras.losses.sparse_categorical_crossentropy(*given, from_logits=True))[0] == 0.0
    found = values(xentropy_keras.sparse_categorical_crossentropy(*given, from_logits=True))
    assert f"{found[0]:.2e}" == "4.12e-09"


@KERAS.row("label smoothing where the classes are not on the last axis", "ε / size of the last axis", "ε / classes")
def _() -> None:
    logits = np.repeat(LOGITS[:, :, None], 5, axis=2)
    targets = np.repeat(np.eye(3, dtype=np.float32)[:1, :, None], 5, axis=2)
    nll = np.log(np.exp(LOGITS[0]).sum()) - LOGITS[0]
    options = {"from_logits": True, "label_smoothing": 0.1, "axis": 1}
    for losses, share in ((keras.losses, 0.1 / 5), (xentropy_keras, 0.1 / 3)):
        found = values(losses.categorical_crossentropy(targets, logits, **options))
        np.testing.assert_allclose(found[0], [0.9 * nll[0] + share * nll.sum()] * 5, rtol=1e-5)


@KERAS.row(
    "a label out of range",
    "TensorFlow: `InvalidArgumentError`; torch: `IndexError`; JAX: 0",
    "`IndexError`; NaN in graphs and jit",
)
def _() -> None:
    labels = np.array([3])
    if ENGINE == "jax":
        assert values(keras.losses.sparse_categorical_crossentropy(labels, LOGITS, from_logits=True))[0] == 0.0
    else:
        named = "IndexError" if ENGINE == "torch" else "InvalidArgumentError"
        with pytest.raises(Exception, match=r"3 is out(side| of)|label value of 3") as raised:
            keras.losses.sparse_categorical_crossentropy(labels, LOGITS, from_logits=True)
        assert type(raised.value).__name__ == named
    with pytest.raises(IndexError, match=r"3"):
        xentropy_keras.sparse_categorical_crossentropy(labels, LOGITS, from_logits=True)


@KERAS.row(
    "`SparseCategoricalCrossentropy` along an axis that is not the last",
    "TensorFlow and JAX refuse shapes that fit",
    "any axis",
)
def _() -> None:
    logits, labels = np.repeat(LOGITS[:, :, None], 5, axis=2), np.zeros((1, 5), dtype=np.int32)
    if ENGINE != "torch":
        with pytest.raises((ValueError, TypeError)):
            keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True, axis=1)
    found = values(xentropy_keras.sparse_categorical_crossentropy(labels, logits, from_logits=True, axis=1))
    np.testing.assert_allclose(found, [[np.log(np.exp(LOGITS[0]).sum()) - 1.0] * 5], rtol=1e-6)


@KERAS.row("logits of inf at label 1 and of -inf at label 0", "NaN", "0, the limit")
def _() -> None:
    for z, y in ((np.inf, 1.0), (-np.inf, 0.0)):
        given = (floats([[y]]), floats([[z]]))
        assert np.isnan(values(keras.losses.binary_crossentropy(*given, from_logits=True)))[0]
        assert values(xentropy_keras.binary_crossentropy(*given, from_logits=True))[0] == 0.0


@KERAS.row("a target of 0 at a logit of -inf", "NaN", "it counts for nothing")
def _() -> None:
    given = (floats([[0.5, 0.5, 0.0]]), floats([[0.0, 0.0, -np.inf]]))
    assert np.isnan(values(keras.losses.categorical_crossentropy(*given, from_logits=True)))[0]
    found = values(xentropy_keras.categorical_crossentropy(*given, from_logits=True))
    np.testing.assert_allclose(found, [np.log(2.0)], rtol=1e-6)


@KERAS.row("a focal loss of logit -50 at label 1", "torch and JAX: clipped to 16.12", "50")
def _() -> None:
    given = (floats([[1.0]]), floats([[-50.0]]))
    found = values(keras.losses.binary_focal_crossentropy(*given, from_logits=True))
    assert found[0] == pytest.approx(50.0 if ENGINE == "tensorflow" else 16.12, rel=1e-3)
    assert values(xentropy_keras.binary_focal_crossentropy(*given, from_logits=True))[0] == pytest.approx(50.0)


@KERAS.row(
    "probabilities that a softmax of Keras's made, of logits [-50, 0] at class 0",
    "TensorFlow: 50, from the logits that it kept; torch and JAX: clipped to 16.12",
    "TensorFlow and torch: 50; JAX, which keeps none: 16.12",
)
def _() -> None:
    p = keras.activations.softmax(keras.ops.convert_to_tensor(floats([[-50.0, 0.0]])))
    target = floats([[1.0, 0.0]])
    found = values(keras.losses.categorical_crossentropy(target, p))
    assert found[0] == pytest.approx(50.0 if ENGINE == "tensorflow" else 16.12, rel=1e-3)
    found = values(xentropy_keras.categorical_crossentropy(target, p))
    assert found[0] == pytest.approx(16.12 if ENGINE == "jax" else 50.0, rel=1e-3)


@pytest.mark.parametrize("check", KERAS.parameters)
def test_difference(check: Callable[[], None]) -> None:
    check()


def test_the_readme_says_so() -> None:
    KERAS.assert_told()
