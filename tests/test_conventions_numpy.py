"""The column of scikit-learn in the README's table: true of its log_loss, and of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from conventions import LABELS, PROBABILITIES, ROWS, SAMPLE_WEIGHTS, Column, first_parameters, has_parameter

import xentropy_numpy

COLUMN = Column("scikit-learn")
ALL = [0, 1, 2]


@COLUMN.cell("first arguments", "`y_true, y_proba`")
def _(losses: Any) -> None:
    assert first_parameters(losses.log_loss) == "y_true, y_proba"


@COLUMN.cell("takes", "probabilities")
def _(losses: Any) -> None:
    np.testing.assert_allclose(losses.log_loss([1], [0.8], labels=[0, 1]), -np.log(0.8), rtol=1e-12)


@COLUMN.cell("axis of the classes", "1")
def _(losses: Any) -> None:
    np.testing.assert_allclose(losses.log_loss(LABELS, PROBABILITIES, labels=ALL), ROWS.mean(), rtol=1e-6)
    assert not has_parameter(losses.log_loss, "axis")


@COLUMN.cell("default reduction", "mean")
def _(losses: Any) -> None:
    np.testing.assert_allclose(losses.log_loss(LABELS, PROBABILITIES, labels=ALL), ROWS.mean(), rtol=1e-6)
    total = losses.log_loss(LABELS, PROBABILITIES, labels=ALL, normalize=False)
    np.testing.assert_allclose(total, ROWS.sum(), rtol=1e-6)


@COLUMN.cell("probabilities are clipped", "to the dtype's [eps, 1 - eps]")
def _(losses: Any) -> None:
    for dtype in (np.float32, np.float64):
        found = losses.log_loss([1], np.array([0.0], dtype=dtype), labels=[0, 1])
        np.testing.assert_allclose(found, -np.log(np.finfo(dtype).eps), rtol=1e-6)


@COLUMN.cell("rows of probabilities are divided by their sum", "no, but it warns")
def _(losses: Any) -> None:
    with pytest.warns(UserWarning, match="sum to one"):
        found = losses.log_loss([0], [[0.25, 0.25]], labels=[0, 1])
    np.testing.assert_allclose(found, -np.log(0.25), rtol=1e-12)


@COLUMN.cell("denominator of a weighted mean", "Σ sample weights")
def _(losses: Any) -> None:
    found = losses.log_loss(LABELS, PROBABILITIES, labels=ALL, sample_weight=SAMPLE_WEIGHTS)
    np.testing.assert_allclose(found, (ROWS * SAMPLE_WEIGHTS).sum() / 4.0, rtol=1e-6)


@COLUMN.cell("label smoothing", "none")
def _(losses: Any) -> None:
    assert not has_parameter(losses.log_loss, "label_smoothing")


@COLUMN.cell("ignored rows", "none")
def _(losses: Any) -> None:
    assert not has_parameter(losses.log_loss, "ignore_index", "ignore_class", "where", "mask")


@COLUMN.cell("nothing to average", "`ValueError`")
def _(losses: Any) -> None:
    with pytest.raises(ValueError, match=r"0 sample|empty"):
        losses.log_loss([], PROBABILITIES[:0], labels=ALL)


@COLUMN.cell("a label out of range", "`ValueError`")
def _(losses: Any) -> None:
    for label in (3, -1):
        with pytest.raises(ValueError, match=f"{label}"):
            losses.log_loss([0, label], PROBABILITIES, labels=ALL)


@COLUMN.cell("dtype of the loss of half-precision logits", "a Python float")
def _(losses: Any) -> None:
    half = np.array([[0.25, 0.75], [0.5, 0.5]], dtype=np.float16)
    assert type(losses.log_loss([0, 1], half)) is float


@pytest.mark.parametrize("losses", [sklearn.metrics, xentropy_numpy], ids=["scikit-learn's", "ours"])
@pytest.mark.parametrize("convention", COLUMN.cells)
def test_cell(convention: str, losses: Any) -> None:
    COLUMN.check(convention, losses)


def test_the_readme_says_so() -> None:
    COLUMN.assert_told()
