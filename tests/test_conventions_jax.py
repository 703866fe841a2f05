"""The column of optax in the README's table: true of optax's own losses, and of ours."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conventions import LABELS, LOGITS, ONE_HOT, ROWS, Column, first_parameters, has_parameter

import xentropy_jax

COLUMN = Column("optax")
NAMES = (
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "safe_softmax_cross_entropy",
    "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss",
    "poly_loss_cross_entropy",
)
X, Y, T = (jnp.asarray(a) for a in (LOGITS, LABELS, ONE_HOT))


def functions(losses: Any) -> list[Any]:
    return [getattr(losses, name) for name in NAMES]


@COLUMN.cell("first arguments", "`logits, labels`")
def _(losses: Any) -> None:
    assert {first_parameters(function) for function in functions(losses)} == {"logits, labels"}


@COLUMN.cell("takes", "logits")
def _(losses: Any) -> None:
    np.testing.assert_allclose(losses.softmax_cross_entropy(X, T), ROWS, rtol=1e-6)
    found = losses.sigmoid_binary_cross_entropy(jnp.array([2.0]), jnp.array([1.0]))
    np.testing.assert_allclose(found, [np.log1p(np.exp(-2.0))], rtol=1e-6)


@COLUMN.cell("axis of the classes", "last; `axis`")
def _(losses: Any) -> None:
    for name, labels in (("softmax_cross_entropy", T.T), ("softmax_cross_entropy_with_integer_labels", Y)):
        np.testing.assert_allclose(getattr(losses, name)(X.T, labels, axis=0), ROWS, rtol=1e-6)


@COLUMN.cell("default reduction", "none")
def _(losses: Any) -> None:
    np.testing.assert_allclose(losses.softmax_cross_entropy_with_integer_labels(X, Y), ROWS, rtol=1e-6)
    assert not any(has_parameter(function, "reduction") for function in functions(losses))


@COLUMN.cell("probabilities are clipped", "takes none")
@COLUMN.cell("rows of probabilities are divided by their sum", "takes none")
def _(losses: Any) -> None:
    assert not any(has_parameter(function, "from_logits") for function in functions(losses))


@COLUMN.cell("denominator of a weighted mean", "none")
def _(losses: Any) -> None:
    assert not any(has_parameter(function, "weight", "sample_weight") for function in functions(losses))


@COLUMN.cell("label smoothing", "none; `optax.smooth_labels`")
def _(losses: Any) -> None:
    assert not any(has_parameter(function, "label_smoothing") for function in functions(losses))


@COLUMN.cell("ignored rows", "none; `where` leaves classes out")
def _(losses: Any) -> None:
    where = jnp.array([[True, False, True], [True, True, True]])
    found = losses.softmax_cross_entropy_with_integer_labels(X, Y, where=where)
    np.testing.assert_allclose(found, [np.log1p(np.exp(2.0)), ROWS[1]], rtol=1e-6)
    assert not any(has_parameter(function, "ignore_index", "ignore_class", "mask") for function in functions(losses))


@COLUMN.cell("nothing to average", "an empty batch gives an empty array")
def _(losses: Any) -> None:
    assert losses.softmax_cross_entropy(X[:0], T[:0]).shape == (0,)


@COLUMN.cell("a label out of range", "NaN")
def _(losses: Any) -> None:
    found = losses.softmax_cross_entropy_with_integer_labels(X, jnp.array([0, 3]))
    np.testing.assert_array_equal(np.isnan(found), [False, True])


@COLUMN.cell("dtype of the loss of half-precision logits", "that of the logits")
def _(losses: Any) -> None:
    for dtype in (jnp.float16, jnp.bfloat16):
        assert losses.softmax_cross_entropy_with_integer_labels(X.astype(dtype), Y).dtype == dtype


@pytest.mark.parametrize("losses", [optax.losses, xentropy_jax], ids=["optax's", "ours"])
@pytest.mark.parametrize("convention", COLUMN.cells)
def test_cell(convention: str, losses: Any) -> None:
    COLUMN.check(convention, losses)


def test_the_readme_says_so() -> None:
    COLUMN.assert_told()
