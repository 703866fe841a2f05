"""The column of torch.nn in the README's table: true of PyTorch's own losses, and of ours."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conventions import CLASS_WEIGHTS, LABELS, LOGITS, ONE_HOT, ROWS, SMOOTHED, Column, first_parameters

import xentropy_torch

COLUMN = Column("torch.nn")
THEIRS = SimpleNamespace(functions=torch.nn.functional, modules=torch.nn)
OURS = SimpleNamespace(functions=xentropy_torch, modules=xentropy_torch)
X, Y, T, W = (torch.tensor(a) for a in (LOGITS, LABELS, ONE_HOT, CLASS_WEIGHTS))


def assert_close(found: torch.Tensor, expected: Any) -> None:
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


@COLUMN.cell("first arguments", "`input, target`")
def _(losses: Any) -> None:
    for name in ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"):
        assert first_parameters(getattr(losses.functions, name)) == "input, target"


@COLUMN.cell("takes", "logits; `BCELoss`: probabilities")
def _(losses: Any) -> None:
    assert_close(losses.functions.cross_entropy(X, Y, reduction="none"), ROWS)
    assert_close(losses.modules.BCELoss()(torch.tensor([0.8]), torch.tensor([1.0])), -math.log(0.8))


@COLUMN.cell("axis of the classes", "1")
def _(losses: Any) -> None:
    found = losses.functions.cross_entropy(X.T[None], Y[None], reduction="none")
    assert_close(found, ROWS[None])


@COLUMN.cell("default reduction", "mean")
def _(losses: Any) -> None:
    assert_close(losses.functions.cross_entropy(X, Y), ROWS.mean())
    assert_close(losses.modules.CrossEntropyLoss()(X, Y), ROWS.mean())


@COLUMN.cell("probabilities are clipped", "`BCELoss`: log p and log(1 - p) to -100")
def _(losses: Any) -> None:
    found = losses.functions.binary_cross_entropy(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]), reduction="none")
    assert_close(found, [100.0, 100.0])


@COLUMN.cell("rows of probabilities are divided by their sum", "no")
def _(losses: Any) -> None:
    found = losses.functions.binary_cross_entropy(torch.tensor([[0.2, 0.2]]), torch.tensor([[1.0, 0.0]]))
    assert_close(found, -(math.log(0.2) + math.log(0.8)) / 2)


@COLUMN.cell(
    "denominator of a weighted mean", "labels: Σ class weights; probabilities, and `BCELoss`: the number of rows"
)
def _(losses: Any) -> None:
    labelled, rows = (ROWS * [1.0, 3.0]).sum() / 4.0, (ROWS * [1.0, 3.0]).sum() / 2.0
    assert_close(losses.functions.cross_entropy(X, Y, W), labelled)
    assert_close(losses.functions.cross_entropy(X, T, W), rows)
    p = torch.tensor([0.5, 0.5])
    weighted = losses.functions.binary_cross_entropy(p, torch.tensor([1.0, 0.0]), torch.tensor([1.0, 3.0]))
    assert_close(weighted, 2.0 * math.log(2.0))


@COLUMN.cell("label smoothing", "(1 - ε) t + ε/C")
def _(losses: Any) -> None:
    assert_close(losses.functions.cross_entropy(X, Y, reduction="none", label_smoothing=0.1), SMOOTHED)


@COLUMN.cell("ignored rows", "`ignore_index=-100`: loss 0, not in the denominator")
def _(losses: Any) -> None:
    labels = torch.tensor([0, -100])
    assert_close(losses.functions.cross_entropy(X, labels), ROWS[0])
    assert_close(losses.functions.cross_entropy(X, labels, reduction="none"), [ROWS[0], 0.0])


@COLUMN.cell("nothing to average", "NaN")
def _(losses: Any) -> None:
    assert losses.functions.cross_entropy(X, torch.tensor([-100, -100])).isnan()
    assert losses.functions.cross_entropy(X[:0], Y[:0]).isnan()


@COLUMN.cell("a label out of range", "`IndexError`")
def _(losses: Any) -> None:
    for label in (3, -1):
        with pytest.raises(IndexError):
            losses.functions.cross_entropy(X, torch.tensor([0, label]))


@COLUMN.cell("dtype of the loss of half-precision logits", "that of the logits")
def _(losses: Any) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        assert losses.functions.cross_entropy(X.to(dtype), Y).dtype == dtype


@pytest.mark.parametrize("losses", [THEIRS, OURS], ids=["PyTorch's", "ours"])
@pytest.mark.parametrize("convention", COLUMN.cells)
def test_cell(convention: str, losses: Any) -> None:
    COLUMN.check(convention, losses)


def test_the_readme_says_so() -> None:
    COLUMN.assert_told()
