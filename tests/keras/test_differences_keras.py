"""Keras's rows in the README's table of differences: what its own losses say on some framework, and ours on each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
    "a label out of range, eagerly",
    "TensorFlow: `InvalidArgumentError`; torch: `IndexError`; JAX: 0, and in jit",
    "`IndexError`; in jit NaN",
)
def _() -> None:
    labels = np.array([3])
    if ENGINE == "jax":
        import jax

        def value(losses: Any, *given: Any) -> Any:
            return jax.jit(partial(losses.sparse_categorical_crossentropy, from_logits=True))(*given)[0]

        assert values(keras.losses.sparse_categorical_crossentropy(labels, LOGITS, from_logits=True))[0] == 0.0
        assert value(keras.losses, labels, LOGITS) == 0.0
        assert np.isnan(value(xentropy_keras, labels, LOGITS))
    else:
        named = "IndexError" if ENGINE == "torch" else "InvalidArgumentError"
        with pytest.raises(Exception, match=r"3 is out(side| of)|label value of 3") as raised:
            keras.losses.sparse_categorical_crossentropy(labels, LOGITS, from_logits=True)
        assert type(raised.value).__name__ == named
    with pytest.raises(IndexError, match=r"3"):
        xentropy_keras.sparse_categorical_crossentropy(labels, LOGITS, from_logits=True)


@KERAS.row("class index 299, in a loss of dtype bfloat16", "that of class 300", "that of class 299")
def _() -> None:
    logits = np.zeros((1, 400), dtype=np.float32)
    logits[0, 299] = 5.0
    total = np.log(np.exp(5.0) + 399.0)
    for losses, expected in ((keras.losses, total), (xentropy_keras, total - 5.0)):
        loss = losses.SparseCategoricalCrossentropy(from_logits=True, dtype="bfloat16")
        assert float(loss(np.array([299]), logits)) == pytest.approx(expected, rel=2.0**-8)


@KERAS.row("a row of probabilities that are all 0", "NaN; sparse, on TensorFlow: log C", "log C")
def _() -> None:
    one_hot, p = floats([[1.0, 0.0]]), floats([[0.0, 0.0]])
    assert np.isnan(values(keras.losses.categorical_crossentropy(one_hot, p)))[0]
    found = values(keras.losses.sparse_categorical_crossentropy(np.array([0]), p))[0]
    np.testing.assert_allclose(found, np.log(2.0) if ENGINE == "tensorflow" else np.nan, rtol=1e-6)
    for found in (
        xentropy_keras.categorical_crossentropy(one_hot, p),
        xentropy_keras.sparse_categorical_crossentropy(np.array([0]), p),
    ):
        np.testing.assert_allclose(values(found), [np.log(2.0)], rtol=1e-6)


@KERAS.row(
    "class index 0 and probabilities [3, 1]",
    "TensorFlow: 0.6931, clipped before they are divided by their sum; torch and JAX: 0.2877",
    "0.2877",
)
def _() -> None:
    given = np.array([0]), floats([[3.0, 1.0]])
    found = values(keras.losses.sparse_categorical_crossentropy(*given))
    np.testing.assert_allclose(found, [0.6931 if ENGINE == "tensorflow" else 0.2877], rtol=1e-4)
    np.testing.assert_allclose(values(xentropy_keras.sparse_categorical_crossentropy(*given)), [0.2877], rtol=1e-4)


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


@KERAS.row("a target of 0 at a logit of -inf", "NaN; sparse: on JAX alone", "it counts for nothing")
def _() -> None:
    given = (floats([[0.5, 0.5, 0.0]]), floats([[0.0, 0.0, -np.inf]]))
    assert np.isnan(values(keras.losses.categorical_crossentropy(*given, from_logits=True)))[0]
    found = values(xentropy_keras.categorical_crossentropy(*given, from_logits=True))
    np.testing.assert_allclose(found, [np.log(2.0)], rtol=1e-6)
    given = (np.array([0]), floats([[0.0, 0.0, -np.inf]]))
    found = values(keras.losses.sparse_categorical_crossentropy(*given, from_logits=True))
    np.testing.assert_allclose(found, [np.nan if ENGINE == "jax" else np.log(2.0)], rtol=1e-6)
    found = values(xentropy_keras.sparse_categorical_crossentropy(*given, from_logits=True))
    np.testing.assert_allclose(found, [np.log(2.0)], rtol=1e-6)


@KERAS.row("a focal loss of logit -50 at label 1", "torch and JAX: clipped to 16.12", "50")
def _() -> None:
    given = (floats([[1.0]]), floats([[-50.0]]))
    found = values(keras.losses.binary_focal_crossentropy(*given, from_logits=True))
    assert found[0] == pytest.approx(50.0 if ENGINE == "tensorflow" else 16.12, rel=1e-3)
    assert values(xentropy_keras.binary_focal_crossentropy(*given, from_logits=True))[0] == pytest.approx(50.0)


@KERAS.row("a categorical focal loss of logits [-50, 0] at class 0", "clipped to 4.03", "12.5")
def _() -> None:
    for losses, expected in ((keras.losses, 4.03), (xentropy_keras, 12.5)):
        found = losses.categorical_focal_crossentropy(floats([[1.0, 0.0]]), floats([[-50.0, 0.0]]), from_logits=True)
        assert values(found)[0] == pytest.approx(expected, rel=1e-3)


@KERAS.row("a list of `alpha` where the classes are not on the last axis", "along the last axis", "along the classes")
def _() -> None:
    given = (floats([[1.0, 1.0], [0.0, 0.0]]), floats([[0.5, 0.5], [0.5, 0.5]]))
    for losses, expected in ((keras.losses, [0.5, 0.25]), (xentropy_keras, [0.5, 0.5])):
        found = values(losses.categorical_focal_crossentropy(*given, alpha=[0.5, 0.25], gamma=0.0, axis=0))
        np.testing.assert_allclose(found, np.log(2.0) * np.array(expected), rtol=1e-6)


@KERAS.row("`label_smoothing` outside [0, 1]; a negative `gamma`", "computed with", "`ValueError`")
def _() -> None:
    given = (floats([[1.0, 0.0]]), floats([[0.5, 0.5]]))
    for name, option in (
        ("binary_crossentropy", {"label_smoothing": 1.5}),
        ("categorical_crossentropy", {"label_smoothing": 1.5}),
        ("binary_focal_crossentropy", {"gamma": -1.0}),
        ("categorical_focal_crossentropy", {"gamma": -1.0}),
    ):
        assert np.isfinite(values(getattr(keras.losses, name)(*given, **option))).all()
        with pytest.raises(ValueError, match=next(iter(option))):
            getattr(xentropy_keras, name)(*given, **option)


@KERAS.row(
    "probabilities that `keras.activations.softmax` made of a tensor, logits [-50, 0] at class 0",
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
