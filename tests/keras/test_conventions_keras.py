"""The column of Keras in the README's table: true of Keras's own losses, and of ours, on the framework under Keras."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
from conventions import LABELS, LOGITS, ONE_HOT, PROBABILITIES, ROWS, SAMPLE_WEIGHTS, SMOOTHED, Column, first_parameters

import xentropy_keras

COLUMN = Column("Keras")
FUNCTIONS = (
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "sparse_categorical_crossentropy",
)


def values(x: Any) -> np.ndarray[Any, Any]:
    return keras.ops.convert_to_numpy(x)


def compiled(loss: Callable[..., Any], jit_compile: bool = True) -> Callable[..., Any]:
    """The loss in a graph of TensorFlow's, or under the compiler."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        function: Callable[..., Any] = tf.function(loss, jit_compile=jit_compile)
    else:
        import jax

        function = jax.jit(loss)
    return function


@COLUMN.cell("first arguments", "`y_true, y_pred`")
def _(losses: Any) -> None:
    assert {first_parameters(getattr(losses, name)) for name in FUNCTIONS} == {"y_true, y_pred"}


@COLUMN.cell("takes", "probabilities; `from_logits=True`: logits")
def _(losses: Any) -> None:
    np.testing.assert_allclose(values(losses.sparse_categorical_crossentropy(LABELS, PROBABILITIES)), ROWS, rtol=1e-6)
    found = losses.sparse_categorical_crossentropy(LABELS, LOGITS, from_logits=True)
    np.testing.assert_allclose(values(found), ROWS, rtol=1e-6)


@COLUMN.cell("axis of the classes", "last; `axis`")
def _(losses: Any) -> None:
    found = losses.categorical_crossentropy(ONE_HOT.T, LOGITS.T, from_logits=True, axis=0)
    np.testing.assert_allclose(values(found), ROWS, rtol=1e-6)


@COLUMN.cell("default reduction", "classes: mean; functions: none")
def _(losses: Any) -> None:
    found = losses.SparseCategoricalCrossentropy()(LABELS, PROBABILITIES)
    np.testing.assert_allclose(values(found), ROWS.mean(), rtol=1e-6)
    np.testing.assert_allclose(values(losses.sparse_categorical_crossentropy(LABELS, PROBABILITIES)), ROWS, rtol=1e-6)


@COLUMN.cell("probabilities are clipped", "to [1e-7, 1 - 1e-7]")
def _(losses: Any) -> None:
    y, p = np.array([[1.0, 0.0]], dtype=np.float32), np.array([[0.0, 1.0]], dtype=np.float32)
    np.testing.assert_allclose(values(losses.categorical_crossentropy(y, p)), [-np.log(1e-7)], rtol=1e-6)
    # 1 - 1e-7 is 1 - 2^-23 in float32: 15.94, and 16.12 at the other end.
    found = losses.binary_crossentropy(y, p)
    np.testing.assert_allclose(values(found), [-np.log(1e-7) / 2 - np.log(2.0**-23) / 2], rtol=1e-6)


@COLUMN.cell("rows of probabilities are divided by their sum", "yes")
def _(losses: Any) -> None:
    y, p = np.array([[1.0, 0.0]], dtype=np.float32), np.array([[0.25, 0.25]], dtype=np.float32)
    np.testing.assert_allclose(values(losses.categorical_crossentropy(y, p)), [np.log(2.0)], rtol=1e-6)
    found = losses.sparse_categorical_crossentropy(np.array([0]), p)
    np.testing.assert_allclose(values(found), [np.log(2.0)], rtol=1e-6)


@COLUMN.cell("denominator of a weighted mean", 'the number of rows; `"mean_with_sample_weight"`: Σ sample weights')
def _(losses: Any) -> None:
    weighted = (ROWS * SAMPLE_WEIGHTS).sum()
    for reduction, divisor in (("sum_over_batch_size", 2.0), ("mean_with_sample_weight", 4.0)):
        loss = losses.SparseCategoricalCrossentropy(reduction=reduction)
        found = loss(LABELS, PROBABILITIES, sample_weight=SAMPLE_WEIGHTS)
        np.testing.assert_allclose(values(found), weighted / divisor, rtol=1e-6)


@COLUMN.cell("label smoothing", "(1 - ε) t + ε/C; binary: y (1 - ε) + ε/2")
def _(losses: Any) -> None:
    found = losses.categorical_crossentropy(ONE_HOT, LOGITS, from_logits=True, label_smoothing=0.1)
    np.testing.assert_allclose(values(found), SMOOTHED, rtol=1e-6)
    y, z = np.array([[1.0]], dtype=np.float32), np.array([[2.0]], dtype=np.float32)
    found = losses.binary_crossentropy(y, z, from_logits=True, label_smoothing=0.1)
    np.testing.assert_allclose(values(found), [np.log1p(np.exp(-2.0)) + 0.05 * 2.0], rtol=1e-6)


@COLUMN.cell("ignored rows", "`ignore_class`: loss 0, not in the denominator of classes")
def _(losses: Any) -> None:
    labels = np.array([0, 2])
    found = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=2)(labels, LOGITS)
    np.testing.assert_allclose(values(found), ROWS[0], rtol=1e-6)


@COLUMN.cell("nothing to average", "0; an empty batch gives an empty array")
def _(losses: Any) -> None:
    loss = losses.SparseCategoricalCrossentropy(ignore_class=0)
    assert values(loss(np.array([0, 0]), PROBABILITIES)) == 0.0
    assert values(losses.SparseCategoricalCrossentropy()(LABELS[:0], PROBABILITIES[:0])).shape == (0,)


@COLUMN.cell(
    "a label out of range",
    "`IndexError`; with TensorFlow's graphs `InvalidArgumentError`; NaN under jit and XLA; its own: with TensorFlow "
    "always `InvalidArgumentError` or NaN, with JAX 0",
)
def _(losses: Any) -> None:
    labels, engine, own = np.array([0, 3]), keras.backend.backend(), losses is keras.losses
    loss = partial(losses.sparse_categorical_crossentropy, from_logits=True)
    if own and engine == "jax":
        for called in (loss, compiled(loss)):
            np.testing.assert_allclose(values(called(labels, LOGITS)), [ROWS[0], 0.0], rtol=1e-6)
        return
    eagerly = "InvalidArgumentError" if own and engine == "tensorflow" else "IndexError"
    with pytest.raises(Exception, match="3") as raised:
        loss(labels, LOGITS)
    assert type(raised.value).__name__ == eagerly
    if engine == "tensorflow":
        with pytest.raises(Exception, match="label value of") as raised:
            compiled(loss, jit_compile=False)(labels, LOGITS)
        assert type(raised.value).__name__ == "InvalidArgumentError"
    if engine != "torch":
        np.testing.assert_allclose(values(compiled(loss)(labels, LOGITS)), [ROWS[0], np.nan], rtol=1e-6)


@COLUMN.cell(
    "dtype of the loss of half-precision logits",
    "classes: float32, the loss's; functions: that of the predictions, but its own with JAX float32",
)
def _(losses: Any) -> None:
    half = keras.ops.cast(LOGITS, "bfloat16")
    found = losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, half)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    found = losses.sparse_categorical_crossentropy(LABELS, half, from_logits=True)
    odd = losses is keras.losses and keras.backend.backend() == "jax"
    assert keras.backend.standardize_dtype(found.dtype) == ("float32" if odd else "bfloat16")


@pytest.mark.parametrize("losses", [keras.losses, xentropy_keras], ids=["Keras's", "ours"])
@pytest.mark.parametrize("convention", COLUMN.cells)
def test_cell(convention: str, losses: Any) -> None:
    COLUMN.check(convention, losses)


def test_the_readme_says_so() -> None:
    COLUMN.assert_told()
