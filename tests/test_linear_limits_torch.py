"""What PyTorch's own linear loss gives up where it saves memory, and what ours does: every row of the table, run.

The table is in the README. Of PyTorch's own, its newest version is meant.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad, grad
from torch.nn import functional

import xentropy_torch

Tensor = torch.Tensor
Loss = Callable[..., Tensor]
# The function that is differentiated, and its arguments.
Derivative = Callable[[Loss, Tensor, Tensor], Any]

DOCUMENT = Path(__file__).parents[1] / "README.md"
START = "| with `options` |"
THEIRS = getattr(functional, "linear_cross_entropy", None)
needs_theirs = pytest.mark.skipif(THEIRS is None, reason="this version of PyTorch has no linear_cross_entropy")
# PyTorch's own: its first use of forward mode imports decompositions that it scripts.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

REDUCTIONS = ("mean", "sum", "none")
LABELS = torch.tensor([0, 4, 2, 1, 3, 3])


class BlocksOfTwo:
    """What ours reads of PyTorch's options, which older versions don't have."""

    batch_chunk_size = 2


def numbers(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


HIDDEN, WEIGHT = numbers(6, 4), numbers(5, 4, seed=1)


def scalar(function: Loss, target: Tensor = LABELS, **options: Any) -> Loss:
    """A loss as a function of hidden states and weights; of rows, with a weight of each."""

    def loss(x: Tensor, w: Tensor) -> Tensor:
        losses = function(x, w, target, **options)
        return losses if losses.ndim == 0 else losses @ torch.arange(1.0, len(losses) + 1, dtype=losses.dtype)

    return loss


def of_logits(x: Tensor, w: Tensor, target: Tensor, **options: Any) -> Tensor:
    return functional.cross_entropy(x @ w.T, target, **options)


def theirs(reduction: str, target: Tensor = LABELS, **options: Any) -> Loss:
    assert THEIRS is not None
    given = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=2, **options)
    return scalar(THEIRS, target, reduction=reduction, options=given)


def ours(reduction: str, target: Tensor = LABELS) -> Loss:
    return scalar(xentropy_torch.linear_cross_entropy, target, reduction=reduction, options=BlocksOfTwo())


def expected(reduction: str, target: Tensor = LABELS) -> Loss:
    return scalar(of_logits, target, reduction=reduction)


# --- the derivatives -------------------------------------------------------------------------------------------------


def functional_gradient(loss: Loss, x: Tensor, w: Tensor) -> Any:
    return torch.func.grad(loss, argnums=(0, 1))(x, w)


def mapped_gradient(loss: Loss, x: Tensor, w: Tensor) -> Any:
    return torch.vmap(torch.func.grad(loss), in_dims=(0, None))(torch.stack((x, 2 * x)), w)


def functional_tangent(loss: Loss, x: Tensor, w: Tensor) -> Any:
    return torch.func.jvp(loss, (x, w), (w[:1].expand(6, 4), x[:5]))[1]


def dual_tangent(loss: Loss, x: Tensor, w: Tensor) -> Any:
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(loss(forward_ad.make_dual(x, x.cos()), w)).tangent
    return torch.zeros(()).double() if found is None else found


def second_derivative(loss: Loss, x: Tensor, w: Tensor) -> Any:
    given = x.clone().requires_grad_(), w.clone().requires_grad_()
    first = grad(loss(*given), given, create_graph=True)
    return grad(sum((g * g).sum() for g in first), given)


def old_hessian(loss: Loss, x: Tensor, w: Tensor) -> Any:
    return torch.autograd.functional.hessian(lambda y: loss(y, w), x)


def twice(loss: Loss, x: Tensor, w: Tensor) -> Any:
    given = x.clone().requires_grad_(), w.clone().requires_grad_()
    value = loss(*given)
    first = grad(value, given, retain_graph=True)
    return *first, *grad(value, given)


def batched_cotangents(loss: Loss, x: Tensor, w: Tensor) -> Any:
    given = x.clone().requires_grad_(), w.clone().requires_grad_()
    return grad(loss(*given), given, torch.tensor([1.0, -2.0]).double(), is_grads_batched=True)


def one_graph(loss: Loss, x: Tensor, w: Tensor) -> Any:
    torch._dynamo.reset()
    given = x.clone().requires_grad_(), w.clone().requires_grad_()
    return grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(*given), given)


# --- what becomes of them --------------------------------------------------------------------------------------------


def is_refused(reduction: str, derivative: Derivative, error: type[Exception], words: str, **options: Any) -> None:
    with pytest.raises(error, match=words):
        derivative(theirs(reduction, **options), HIDDEN, WEIGHT)


def is_zero(reduction: str, derivative: Derivative) -> None:
    assert not derivative(theirs(reduction), HIDDEN, WEIGHT).any()
    assert derivative(expected(reduction), HIDDEN, WEIGHT).any()


def is_right(loss: Loss, reduction: str, derivative: Derivative, target: Tensor = LABELS) -> None:
    found = derivative(loss, HIDDEN, WEIGHT)
    torch.testing.assert_close(found, derivative(expected(reduction, target), HIDDEN, WEIGHT))


@contextmanager
def warned_of_all_logits() -> Iterator[None]:
    with pytest.warns(UserWarning, match="``options`` ignored"):
        yield


Check = Callable[[str], None]
ROWS: list[tuple[tuple[str, str, str], Check, Check]] = []


def row(what: str, is_theirs: str, is_ours: str, check_theirs: Check, check_ours: Check) -> None:
    ROWS.append(((what, is_theirs, is_ours), check_theirs, check_ours))


def derivative_row(what: str, is_theirs: str, is_ours: str, derivative: Derivative, check: Check) -> None:
    row(what, is_theirs, is_ours, check, lambda reduction: is_right(ours(reduction), reduction, derivative))


derivative_row(
    "`torch.func.grad`",
    "`RuntimeError`",
    "the gradient",
    functional_gradient,
    lambda reduction: is_refused(reduction, functional_gradient, RuntimeError, "setup_context"),
)
derivative_row(
    "`torch.vmap` of `torch.func.grad`",
    "`RuntimeError`",
    "the gradients",
    mapped_gradient,
    lambda reduction: is_refused(reduction, mapped_gradient, RuntimeError, "setup_context"),
)
derivative_row(
    "`torch.func.jvp`",
    "0, without a word",
    "the derivative",
    functional_tangent,
    lambda reduction: is_zero(reduction, functional_tangent),
)
derivative_row(
    "dual numbers of `torch.autograd.forward_ad`",
    "no tangent, without a word",
    "the tangent",
    dual_tangent,
    lambda reduction: is_zero(reduction, dual_tangent),
)
derivative_row(
    "a gradient with `create_graph=True`, differentiated",
    "`RuntimeError`",
    "the second derivative",
    second_derivative,
    lambda reduction: is_refused(reduction, second_derivative, RuntimeError, "does not require grad"),
)
derivative_row(
    "`torch.autograd.functional.hessian`",
    "0, without a word",
    "the Hessian",
    old_hessian,
    lambda reduction: is_zero(reduction, old_hessian),
)


def check_twice(reduction: str) -> None:
    is_right(theirs(reduction, allow_retain_graph=True), reduction, twice)
    if reduction != "none":
        is_refused(reduction, twice, RuntimeError, "backward called twice")
    else:
        is_right(theirs(reduction), reduction, twice)


derivative_row(
    "a second backward pass, after `retain_graph=True`",
    "of a mean or sum `RuntimeError`, but with `allow_retain_graph`",
    "the gradient again",
    twice,
    check_twice,
)


def check_batched(reduction: str) -> None:
    is_refused(reduction, batched_cotangents, RuntimeError, "vmap")
    if reduction != "none":
        is_right(theirs(reduction, allow_retain_graph=True), reduction, batched_cotangents)


derivative_row(
    "`torch.autograd.grad` with `is_grads_batched=True`",
    "`RuntimeError`, but of a mean or sum with `allow_retain_graph`",
    "the gradients",
    batched_cotangents,
    check_batched,
)


def check_one_graph(reduction: str) -> None:
    is_right(theirs(reduction, allow_retain_graph=True), reduction, one_graph)
    if reduction != "none":
        is_refused(reduction, one_graph, torch._dynamo.exc.Unsupported, "skipped")
    else:
        is_right(theirs(reduction), reduction, one_graph)


derivative_row(
    "`torch.compile` with `fullgraph=True`",
    "of a mean or sum `Unsupported`, but with `allow_retain_graph`",
    "one graph",
    one_graph,
    check_one_graph,
)


def of_soft_targets(function: Loss, reduction: str, options: Any) -> Tensor:
    soft = numbers(6, 5, low=0.0, seed=2).requires_grad_()
    return grad(function(HIDDEN, WEIGHT, soft, reduction=reduction, options=options).sum(), soft)[0]


def chunked() -> Any:
    return torch.nn.LinearCrossEntropyOptions(batch_chunk_size=2)


def without_all_logits(function: Loss, reduction: str, target: Tensor, **options: Any) -> tuple[Tensor, bool]:
    """The loss of 64 rows, and whether nothing was as large as their logits."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    sizes = [0]

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            # A view of one number is no memory.
            sizes.extend(x.numel() for x in tree_leaves(found) if isinstance(x, Tensor) and 0 not in x.stride())
            return found

    with Sizes():
        found = function(numbers(64, 4), WEIGHT, target, reduction=reduction, **options)
    return found, max(sizes) < 64 * 5


def check_soft_theirs(reduction: str) -> None:
    with warned_of_all_logits():
        of_soft_targets(THEIRS, reduction, chunked())


def check_soft_ours(reduction: str) -> None:
    found = of_soft_targets(xentropy_torch.linear_cross_entropy, reduction, BlocksOfTwo())
    soft = numbers(6, 5, low=0.0, seed=2).requires_grad_()
    torch.testing.assert_close(found, grad(of_logits(HIDDEN, WEIGHT, soft, reduction=reduction).sum(), soft)[0])


row("the gradient of probabilities", "all logits, and a warning", "blocks", check_soft_theirs, check_soft_ours)


def check_smoothing_theirs(reduction: str) -> None:
    with warned_of_all_logits():
        _, saved = without_all_logits(THEIRS, reduction, torch.arange(64) % 5, label_smoothing=0.1, options=chunked())
    assert not saved
    assert without_all_logits(THEIRS, reduction, torch.arange(64) % 5, options=chunked())[1]


def check_smoothing_ours(reduction: str) -> None:
    labels = torch.arange(64) % 5
    found, saved = without_all_logits(
        xentropy_torch.linear_cross_entropy, reduction, labels, label_smoothing=0.1, options=BlocksOfTwo()
    )
    assert saved
    torch.testing.assert_close(
        found, of_logits(numbers(64, 4), WEIGHT, labels, reduction=reduction, label_smoothing=0.1)
    )


row("label smoothing", "all logits, and a warning", "blocks", check_smoothing_theirs, check_smoothing_ours)


def with_an_ignored_nan(function: Loss, reduction: str, options: Any) -> tuple[Tensor, Tensor]:
    x = torch.cat((HIDDEN[:2], torch.full((1, 4), math.nan).double())).requires_grad_()
    value = function(x, WEIGHT, torch.tensor([0, 1, -100]), reduction=reduction, options=options).sum()
    return value, grad(value, x)[0]


def check_nan_theirs(reduction: str) -> None:
    value, gradient = with_an_ignored_nan(THEIRS, reduction, chunked())
    assert value.isnan()
    assert gradient[2].isnan().all()


def check_nan_ours(reduction: str) -> None:
    value, gradient = with_an_ignored_nan(xentropy_torch.linear_cross_entropy, reduction, BlocksOfTwo())
    torch.testing.assert_close(value, of_logits(HIDDEN[:2], WEIGHT, torch.tensor([0, 1]), reduction=reduction).sum())
    assert gradient.isfinite().all()
    assert gradient[2].tolist() == [0.0] * 4


row(
    "an ignored row whose hidden states are NaN",
    "loss and gradient are NaN",
    "it counts for nothing",
    check_nan_theirs,
    check_nan_ours,
)


def confident(function: Loss, reduction: str, options: Any) -> float:
    x, w = torch.tensor([[1.0, 0.0]]), torch.tensor([[20.0, 0.0], [0.0, 0.0]])
    return function(x, w, torch.tensor([0]), reduction=reduction, options=options).sum().item()


def check_confident_theirs(reduction: str) -> None:
    assert confident(THEIRS, reduction, chunked()) == 0.0


def check_confident_ours(reduction: str) -> None:
    assert f"{confident(xentropy_torch.linear_cross_entropy, reduction, BlocksOfTwo()):.2e}" == "2.06e-09"


row("a confident row, logits [20, 0] and class 0", "0", "2.06e-09", check_confident_theirs, check_confident_ours)


# --- the tests -------------------------------------------------------------------------------------------------------


def cases(position: int) -> list[Any]:
    return [
        pytest.param(rows[position], reduction, id=f"{rows[0][0]}-{reduction}")
        for rows in ROWS
        for reduction in REDUCTIONS
    ]


@needs_theirs
@pytest.mark.parametrize(("check", "reduction"), cases(1))
def test_pytorchs_own(check: Check, reduction: str) -> None:
    check(reduction)


@pytest.mark.parametrize(("check", "reduction"), cases(2))
def test_ours(check: Check, reduction: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        check(reduction)


def test_the_document_tells_these_rows_and_no_others() -> None:
    lines = DOCUMENT.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(START))
    told = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        told.append(tuple(cell.strip() for cell in line.strip().strip("|").split("|")))
    assert told == [cells for cells, _, _ in ROWS]
