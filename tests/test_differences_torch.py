"""PyTorch's rows in the README's table of differences: what its own losses say, and what ours do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conventions import Differences
from torch.nn import functional

import xentropy_torch

PYTORCH = Differences("PyTorch")
INF, NAN = math.inf, math.nan


def found(function: Callable[..., Any], x: Any, *args: Any, **options: Any) -> tuple[Any, Any]:
    """The summed loss and its gradient."""
    leaf = torch.tensor(x, requires_grad=True)
    value = function(leaf, *args, reduction="sum", **options)
    value.backward()
    return value.item(), leaf.grad


@PYTORCH.row("a confident row, [20, 0, 0] and class 0", "0, gradient 0", "4.12e-09, gradient -4.12e-09")
def _() -> None:
    value, gradient = found(functional.cross_entropy, [[20.0, 0.0, 0.0]], torch.tensor([0]))
    assert (value, gradient[0, 0].item()) == (0.0, 0.0)
    value, gradient = found(xentropy_torch.cross_entropy, [[20.0, 0.0, 0.0]], torch.tensor([0]))
    assert (f"{value:.2e}", f"{gradient[0, 0].item():.2e}") == ("4.12e-09", "-4.12e-09")


@PYTORCH.row("a confident element, logit -20 and label 0", "0", "2.06e-09")
def _() -> None:
    assert found(functional.binary_cross_entropy_with_logits, [-20.0], torch.tensor([0.0]))[0] == 0.0
    value, _gradient = found(xentropy_torch.binary_cross_entropy_with_logits, [-20.0], torch.tensor([0.0]))
    assert f"{value:.2e}" == "2.06e-09"


@PYTORCH.row("a probability of 0 at a logit of -inf", "NaN", "it counts for nothing")
def _() -> None:
    soft = torch.tensor([[0.5, 0.5, 0.0]])
    assert math.isnan(found(functional.cross_entropy, [[0.0, 0.0, -INF]], soft)[0])
    value, gradient = found(xentropy_torch.cross_entropy, [[0.0, 0.0, -INF]], soft)
    assert value == pytest.approx(math.log(2.0), rel=1e-6)
    assert gradient.tolist() == [[0.0, 0.0, 0.0]]


@PYTORCH.row("logits of inf at label 1 and of -inf at label 0", "NaN", "0, the limit")
def _() -> None:
    for z, y in ((INF, 1.0), (-INF, 0.0)):
        assert math.isnan(found(functional.binary_cross_entropy_with_logits, [z], torch.tensor([y]))[0])
        value, gradient = found(xentropy_torch.binary_cross_entropy_with_logits, [z], torch.tensor([y]))
        assert (value, gradient.item()) == (0.0, 0.0)


@PYTORCH.row("an ignored row whose logits are NaN", "its gradient is NaN", "its gradient is 0")
def _() -> None:
    rows, labels = [[NAN, 0.0], [0.0, 0.0]], torch.tensor([-100, 0])
    assert found(functional.cross_entropy, rows, labels)[1][0].isnan().all()
    assert found(xentropy_torch.cross_entropy, rows, labels)[1].tolist() == [[0.0, 0.0], [-0.5, 0.5]]


@PYTORCH.row("the mean of 200,000 float16 losses", "inf or NaN", "their mean")
def _() -> None:
    logits, labels = torch.zeros(200_000, 2, dtype=torch.float16), torch.zeros(200_000, dtype=torch.int64)
    assert not functional.cross_entropy(logits, labels).isfinite()
    assert xentropy_torch.cross_entropy(logits, labels).item() == pytest.approx(math.log(2.0), rel=1e-3)


@pytest.mark.parametrize("check", PYTORCH.parameters)
def test_difference(check: Callable[[], None]) -> None:
    check()


def test_the_readme_says_so() -> None:
    PYTORCH.assert_told()
