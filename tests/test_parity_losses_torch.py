"""``assert_parity`` on PyTorch: losses by functions, modules and name, with two derivatives."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from test_parity_losses import MANY_ROWS, failure, printed
from torch.nn import functional

import xentropy
from xentropy.parity import Case, Loss, ParityError, assert_parity
from xentropy.parity.cases import Array
from xentropy.parity.strategies import by_corner

# Where PyTorch's own loss is within the bound of ours; elsewhere it loses digits.
EASY = by_corner(corners=["plain", "ties"], classes=[2, 10])


def ours(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return xentropy.cross_entropy(logits, targets, reduction="none")


def flat_slope(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Right in value and gradient, whose own derivative is cut off."""
    p = torch.softmax(logits, dim=1).detach()
    p[torch.arange(len(targets)), targets] -= 1
    return ours(logits, targets).detach() + ((logits - logits.detach()) * p).sum(dim=1)


def test_ours_passes_every_corner_with_two_derivatives() -> None:
    found = assert_parity(ours)
    assert found.left_out == ()
    assert set(found.largest()) == {"loss", "gradient", "curvature"}
    assert len(found.worst) == 7


@pytest.mark.parametrize("dtypes", [["float64"], ["float16", "bfloat16"]])
@pytest.mark.parametrize("targets", ["indices", "probabilities", "binary"])
def test_ours_passes_in_every_dtype(targets: str, dtypes: list[str]) -> None:
    def loss(logits: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        call = xentropy.binary_cross_entropy if logits.ndim == 1 else xentropy.cross_entropy
        return call(logits, goal, reduction="none")

    assert_parity(loss, "xentropy", cases=by_corner(targets=targets, dtypes=dtypes, classes=[2, 10]), examples=21)


def test_ours_passes_beside_the_own_loss_within_a_relative_bound() -> None:
    found = assert_parity("torch", "xentropy", cases=EASY, rtol=1e-4, atol=1e-6)
    assert found.names == ("torch's own loss", "xentropy on torch")


def test_the_own_loss_loses_digits_of_confident_rows() -> None:
    error = failure("torch", cases=by_corner(corners=["confident"]), quantities=["loss"])
    assert error.case.logits.shape == (1, 2)
    assert error.gap is not None
    assert error.gap.quantity == "loss"
    again = failure("torch", cases=[printed(error)], quantities=["loss"])
    assert repr(again.gap) == repr(error.gap)


def test_xentropy_beside_a_loss_is_called_on_its_arrays() -> None:
    doubled = Loss(lambda z, t: 2 * ours(z, t), "torch", name="doubled")
    error = failure(doubled, "xentropy", cases=MANY_ROWS)
    assert "doubled and xentropy on torch differ in the loss" in str(error)
    assert error.case.logits.shape == (1, 2)
    assert error.gap is not None
    assert error.gap.wrong == (True, False)


def wrong_slope(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    right = ours(logits, targets)
    return 2 * right - right.detach()


@pytest.mark.parametrize(("loss", "quantity"), [(wrong_slope, "gradient"), (flat_slope, "curvature")])
def test_a_loss_that_is_wrong_in_a_derivative_only(loss: Any, quantity: str) -> None:
    options = {"rtol": 1e-3, "atol": 1e-6, "cases": EASY}
    assert_parity(loss, quantities=["loss"], **options)
    error = failure(loss, **options)
    assert error.gap is not None
    assert error.gap.quantity == quantity
    assert error.case.logits.shape == (1, 2)


class Trained(torch.nn.Module):
    """A parameter whose derivative is none of the comparison's, and a gradient that is constant in the logits."""

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss, self.scale = loss, torch.nn.Parameter(torch.ones(()))

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.scale * self.loss(logits, targets)


def test_a_module_is_a_loss() -> None:
    module = Trained(ours)
    assert_parity(module, "xentropy", cases=MANY_ROWS)
    assert module.scale.grad is None
    error = failure(Trained(flat_slope), cases=EASY, rtol=1e-3, atol=1e-6)
    assert error.gap is not None
    assert error.gap.quantity == "curvature"
    assert error.gap.numbers == (0.0,)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_losses_of_the_library_itself(reduction: str) -> None:
    options = {"cases": EASY, "rtol": 1e-4, "atol": 1e-6, "reduction": reduction}
    assert_parity(torch.nn.CrossEntropyLoss(reduction=reduction), "xentropy", **options)
    assert_parity(functools.partial(functional.cross_entropy, reduction=reduction), "torch", **options)


def test_a_loss_by_its_annotation() -> None:
    def annotated(z: "torch.Tensor", t: Any) -> torch.Tensor:
        return ours(z, t)

    assert_parity(annotated, cases=MANY_ROWS)
    with pytest.raises(TypeError, match="whose arrays does"):
        assert_parity(lambda z, t: 2 * ours(z, t), cases=MANY_ROWS)


def test_a_gradient_that_is_given_goes_before_the_librarys() -> None:
    def slope(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        x = logits.clone().requires_grad_()
        return torch.autograd.grad(ours(x, targets).sum(), x)[0]

    assert_parity(Loss(ours, "torch", gradient=slope), cases=MANY_ROWS)
    error = failure(Loss(ours, "torch", gradient=lambda z, t: 2 * slope(z, t)), cases=MANY_ROWS)
    assert error.gap is not None
    assert error.gap.quantity == "gradient"


def test_a_loss_without_a_gradient_says_so() -> None:
    def detached(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return ours(logits.detach(), targets)

    error = failure(detached, cases=MANY_ROWS)
    assert error.gap is None
    assert "detached raised RuntimeError" in str(error)
    assert "`quantities` leaves out what a loss does not have" in str(error)
    assert_parity(detached, cases=MANY_ROWS, quantities=["loss"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_held_to_its_own_ulp(dtype: str) -> None:
    # Logits of -1, 0 and 1. In units of float32, from which the results come back, it would be thousands.
    drawn = by_corner(corners=["ties"], dtypes=[dtype], classes=[2])
    assert_parity("torch", cases=drawn, examples=14, quantities=["loss"], ulp=16)
    seen: set[torch.dtype] = set()

    def looks(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        seen.add(logits.dtype)
        return 1.25 * ours(logits, targets)

    failure(looks, cases=drawn)
    assert seen == {getattr(torch, dtype)}


def test_sample_weights_and_targets_first() -> None:
    def weighted(targets: torch.Tensor, logits: torch.Tensor, sample_weight: torch.Tensor) -> torch.Tensor:
        return sample_weight * ours(logits, targets)

    weight: Array = np.linspace(0, 2, len(MANY_ROWS[1])).astype(np.float32)
    case = Case("weighted", MANY_ROWS[0], MANY_ROWS[1].astype(np.int32), sample_weight=weight)
    assert_parity(Loss(weighted, targets_first=True), "xentropy", cases=case)


def test_inputs_are_left_alone() -> None:
    def tramples(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        out = ours(logits, targets)
        with torch.no_grad():
            logits.zero_()
        return out

    given = MANY_ROWS[0].copy(), MANY_ROWS[1].copy()
    for _ in range(2):
        assert_parity(tramples, cases=given, quantities=["loss"])
    np.testing.assert_array_equal(given[0], MANY_ROWS[0])


def test_a_compiled_loss_is_a_loss() -> None:
    compiled = torch.compile(Trained(ours), backend="eager")
    assert_parity(compiled, "xentropy", cases=MANY_ROWS, quantities=["loss", "gradient"])
    with pytest.raises(ParityError):
        assert_parity(torch.compile(Trained(wrong_slope), backend="eager"), cases=MANY_ROWS, quantities=["gradient"])
