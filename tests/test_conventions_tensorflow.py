"""The column of tf.nn in the README's table: true of TensorFlow's own losses, and of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conventions import LABELS, LOGITS, ONE_HOT, ROWS, Column, first_parameters, has_parameter

import xentropy_tensorflow

COLUMN = Column("tf.nn")
NAMES = (
    "softmax_cross_entropy_with_logits",
    "sparse_softmax_cross_entropy_with_logits",
    "sigmoid_cross_entropy_with_logits",
    "weighted_cross_entropy_with_logits",
)
X, Y, T = (tf.constant(a) for a in (LOGITS, LABELS, ONE_HOT))


def functions(losses: Any) -> list[Any]:
    return [getattr(losses, name) for name in NAMES]


@COLUMN.cell("first arguments", "`labels, logits`")
def _(losses: Any) -> None:
    assert {first_parameters(function) for function in functions(losses)} == {"labels, logits"}


@COLUMN.cell("takes", "logits")
def _(losses: Any) -> None:
    np.testing.assert_allclose(losses.softmax_cross_entropy_with_logits(T, X), ROWS, rtol=1e-6)
    found = losses.sigmoid_cross_entropy_with_logits(tf.constant([1.0]), tf.constant([2.0]))
    np.testing.assert_allclose(found, [np.log1p(np.exp(-2.0))], rtol=1e-6)


@COLUMN.cell("axis of the classes", "last; `axis` where targets are probabilities")
def _(losses: Any) -> None:
    assert losses.sparse_softmax_cross_entropy_with_logits(Y, X).shape == (2,)
    found = losses.softmax_cross_entropy_with_logits(tf.transpose(T), tf.transpose(X), axis=0)
    np.testing.assert_allclose(found, ROWS, rtol=1e-6)


@COLUMN.cell("default reduction", "none")
def _(losses: Any) -> None:
    np.testing.assert_allclose(losses.sparse_softmax_cross_entropy_with_logits(Y, X), ROWS, rtol=1e-6)
    assert not any(has_parameter(function, "reduction") for function in functions(losses))


@COLUMN.cell("probabilities are clipped", "takes none")
@COLUMN.cell("rows of probabilities are divided by their sum", "takes none")
def _(losses: Any) -> None:
    assert not any(has_parameter(function, "from_logits") for function in functions(losses))


@COLUMN.cell("denominator of a weighted mean", "none")
def _(losses: Any) -> None:
    assert not any(has_parameter(function, "weight", "sample_weight") for function in functions(losses))


@COLUMN.cell("label smoothing", "none")
def _(losses: Any) -> None:
    assert not any(has_parameter(function, "label_smoothing") for function in functions(losses))


@COLUMN.cell("ignored rows", "none")
def _(losses: Any) -> None:
    names = ("ignore_index", "ignore_class", "where", "mask")
    assert not any(has_parameter(function, *names) for function in functions(losses))


@COLUMN.cell("nothing to average", "an empty batch gives an empty array")
def _(losses: Any) -> None:
    assert losses.softmax_cross_entropy_with_logits(T[:0], X[:0]).shape == (0,)


@COLUMN.cell("a label out of range", "`InvalidArgumentError`; NaN under XLA")
def _(losses: Any) -> None:
    for label in (3, -1):
        with pytest.raises(tf.errors.InvalidArgumentError):
            losses.sparse_softmax_cross_entropy_with_logits(tf.constant([0, label]), X)
        compiled = tf.function(losses.sparse_softmax_cross_entropy_with_logits, jit_compile=True)
        np.testing.assert_array_equal(np.isnan(compiled(tf.constant([0, label]), X)), [False, True])


@COLUMN.cell("dtype of the loss of half-precision logits", "that of the logits")
def _(losses: Any) -> None:
    for dtype in (tf.float16, tf.bfloat16):
        assert losses.sparse_softmax_cross_entropy_with_logits(Y, tf.cast(X, dtype)).dtype == dtype


@pytest.mark.parametrize("losses", [tf.nn, xentropy_tensorflow], ids=["TensorFlow's", "ours"])
@pytest.mark.parametrize("convention", COLUMN.cells)
def test_cell(convention: str, losses: Any) -> None:
    COLUMN.check(convention, losses)


def test_the_readme_says_so() -> None:
    COLUMN.assert_told()
