"""PyTorch's autodiff: the option table in both modes and orders, torch.func's transforms, and what is a constant."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from derivatives import (
    BINARY,
    INDEX,
    LABELS,
    LOGITS,
    PROBLEMS,
    SOFT,
    SOFT_TARGETS,
    Problem,
    assert_close,
    assert_derivatives,
    softmax_gradient,
    softmax_hessian,
)
from torch.autograd import forward_ad, grad, gradcheck, gradgradcheck
from torch.func import hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.utils.checkpoint import checkpoint

import xentropy
from xentropy import binary_cross_entropy, cross_entropy, token_statistics

# PyTorch's own: its first use of forward mode imports decompositions that it scripts.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

INF, NAN = float("inf"), float("nan")
DTYPES = ("float32", "float64")
EVERY_PROBLEM = pytest.mark.parametrize("problem", PROBLEMS, ids=[problem.name for problem in PROBLEMS])
BOTH_DTYPES = pytest.mark.parametrize("dtype", DTYPES)

Scalar = Callable[..., torch.Tensor]
Tensors = tuple[torch.Tensor, ...]


def leaves(problem: Problem, dtype: str = "float64") -> list[torch.Tensor]:
    """What is differentiated, recording."""
    return [torch.tensor(a, dtype=getattr(torch, dtype), requires_grad=True) for a in problem.arrays]


def tangents(problem: Problem, dtype: str) -> Tensors:
    return tuple(torch.tensor(a, dtype=getattr(torch, dtype)) for a in problem.direction)


def scalar(problem: Problem) -> Scalar:
    loss, cotangent = problem.bind(torch.tensor), torch.tensor(problem.cotangent)
    return lambda *arrays: (loss(*arrays) * cotangent).sum()


def numbers(tensors: Any) -> tuple[np.ndarray[Any, Any], ...]:
    return tuple(t.detach().numpy() for t in tensors)


def inner(tensors: Any, others: Any) -> torch.Tensor:
    return sum(((a * b).sum() for a, b in zip(tensors, others, strict=True)), torch.zeros(()))


# --- the option table ----------------------------------------------------------------------------------------------


@EVERY_PROBLEM
def test_gradcheck(problem: Problem) -> None:
    inputs = leaves(problem)
    inputs[1:] = [t.requires_grad_(bool(problem.settled.all())) for t in inputs[1:]]
    assert gradcheck(
        problem.bind(torch.tensor),
        inputs,
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
    )


@EVERY_PROBLEM
def test_gradgradcheck(problem: Problem) -> None:
    inputs = leaves(problem)
    inputs[1:] = [t.requires_grad_(bool(problem.settled.all())) for t in inputs[1:]]
    assert gradgradcheck(
        problem.bind(torch.tensor),
        inputs,
        check_fwd_over_rev=True,
        check_rev_over_rev=True,
        check_batched_grad=True,
    )


@EVERY_PROBLEM
@BOTH_DTYPES
def test_first_order(problem: Problem, dtype: str) -> None:
    f, inputs = scalar(problem), leaves(problem, dtype)
    value = f(*inputs)
    assert_close(value.detach(), problem.exact.value, dtype)
    assert_derivatives(problem, numbers(grad(value, inputs)), problem.exact.gradient, dtype)
    pushed, along = jvp(f, tuple(t.detach() for t in inputs), tangents(problem, dtype))
    assert_close(pushed, problem.exact.value, dtype)
    assert_close(along, problem.exact.along, dtype)


def reverse_over_reverse(f: Scalar, at: Tensors, along: Tensors) -> Tensors:
    first = grad(f(*at), at, create_graph=True)
    return grad(inner(first, along), at)


def forward_over_reverse(f: Scalar, at: Tensors, along: Tensors) -> Tensors:
    plain = tuple(t.detach() for t in at)
    everything = tuple(range(len(at)))
    return jvp(torch.func.grad(f, argnums=everything), plain, along)[1]


def reverse_over_forward(f: Scalar, at: Tensors, along: Tensors) -> Tensors:
    plain = tuple(t.detach() for t in at)
    everything = tuple(range(len(at)))
    return torch.func.grad(lambda *x: jvp(f, x, along)[1], argnums=everything)(*plain)


@EVERY_PROBLEM
@BOTH_DTYPES
@pytest.mark.parametrize("order", [reverse_over_reverse, forward_over_reverse, reverse_over_forward])
def test_second_order(problem: Problem, dtype: str, order: Callable[..., Tensors]) -> None:
    found = order(scalar(problem), tuple(leaves(problem, dtype)), tangents(problem, dtype))
    assert_derivatives(problem, numbers(found), problem.exact.curve, dtype)


@EVERY_PROBLEM
def test_forward_over_forward(problem: Problem) -> None:
    f, along = scalar(problem), tangents(problem, "float64")
    at = tuple(t.detach() for t in leaves(problem))
    found = jvp(lambda *x: jvp(f, x, along)[1], at, along)[1]
    assert_close(found, sum(np.vdot(c, d) for c, d in zip(problem.exact.curve, problem.direction, strict=False)))


def test_second_derivative_at_the_edges() -> None:
    """At p = 0 against the label 0, and with a focal power below 1 in a row as good as certain."""
    zero = torch.zeros(1, dtype=torch.float64)
    found = hessian(lambda p: binary_cross_entropy(p, zero, from_logits=False))(zero)
    assert_close(found, np.ones((1, 1)))
    certain = torch.tensor([[800.0, 0.0, -1.0]], dtype=torch.float64)
    found = hessian(lambda x: cross_entropy(x, torch.tensor([0]), focal_gamma=0.5))(certain)
    assert_close(found, np.zeros((1, 3, 1, 3)))


# --- torch.func ----------------------------------------------------------------------------------------------------


def per_row(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """The loss of one row, without axes."""
    return cross_entropy(x, t)


TARGETS = pytest.mark.parametrize("targets", [torch.tensor(LABELS), torch.tensor(SOFT, dtype=torch.float64)])


def masses(targets: torch.Tensor) -> np.ndarray[Any, Any]:
    """The rows' targets as probabilities."""
    return np.eye(4)[targets.numpy()] if targets.ndim == 1 else targets.numpy()


@TARGETS
@pytest.mark.parametrize("transform", [hessian, lambda f: jacfwd(jacrev(f)), lambda f: jacrev(jacfwd(f))])
def test_hessian(targets: torch.Tensor, transform: Callable[..., Any]) -> None:
    x = torch.tensor(LOGITS, dtype=torch.float64)
    found = transform(lambda x: cross_entropy(x, targets, reduction="sum"))(x)
    blocks = softmax_hessian(LOGITS) * masses(targets).sum(axis=-1)[:, None, None]
    expected = np.zeros((3, 4, 3, 4))
    for i, block in enumerate(blocks):
        expected[i, :, i, :] = block
    assert_close(found, expected)


@TARGETS
@pytest.mark.parametrize("transform", [jacrev, jacfwd])
def test_jacobian_of_rows(targets: torch.Tensor, transform: Callable[..., Any]) -> None:
    x = torch.tensor(LOGITS, dtype=torch.float64)
    found = transform(lambda x: cross_entropy(x, targets, reduction="none"))(x)
    expected = np.zeros((3, 3, 4))
    expected[range(3), range(3)] = softmax_gradient(LOGITS, masses(targets))
    assert_close(found, expected)


@TARGETS
@BOTH_DTYPES
def test_vmap_of_grad(targets: torch.Tensor, dtype: str) -> None:
    x = torch.tensor(LOGITS, dtype=getattr(torch, dtype))
    found = vmap(torch.func.grad(per_row))(x, targets)
    assert found.dtype == x.dtype
    t = masses(targets)
    mass = np.where(targets.ndim == 1, 1.0, t.sum(axis=-1, keepdims=True))
    assert_close(found, softmax_gradient(LOGITS, t) / mass, dtype)


@TARGETS
def test_vmap_of_hessian(targets: torch.Tensor) -> None:
    found = vmap(hessian(per_row))(torch.tensor(LOGITS, dtype=torch.float64), targets)
    assert_close(found, softmax_hessian(LOGITS))


def test_vmap_of_binary() -> None:
    x, y = (torch.tensor(v, dtype=torch.float64) for v in (BINARY.logits, BINARY.targets))
    found = vmap(vmap(torch.func.grad(binary_cross_entropy)))(x, y)
    assert_close(found, 1.0 / (1.0 + np.exp(-np.array(BINARY.logits))) - np.array(BINARY.targets))


@pytest.mark.parametrize("order", ["backward", "func.grad", "second"])
@pytest.mark.parametrize("soft", [False, True])
def test_gradient_of_a_vmap(soft: bool, order: str) -> None:
    """The other order: each row's loss by vmap, and what is differentiated is their sum."""
    x = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor(SOFT if soft else LABELS, dtype=torch.float64 if soft else torch.int64)

    def total(x: torch.Tensor) -> torch.Tensor:
        return vmap(lambda x, t: cross_entropy(x, t, reduction="sum"))(x, targets).sum()

    t = np.array(SOFT) if soft else np.eye(4)[LABELS]
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    expected = t.sum(axis=1, keepdims=True) * p - t
    if order == "second":
        (first,) = grad(total(x), x, create_graph=True)
        (found,) = grad(first[:, 0].sum(), x)
        expected = t.sum(axis=1, keepdims=True) * (p[:, :1] * (np.eye(p.shape[1])[:1] - p))
    else:
        found = torch.func.grad(total)(x.detach()) if order == "func.grad" else grad(total(x), x)[0]
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10, atol=1e-14)


def test_vmap_of_batches_and_of_shared_labels() -> None:
    x = torch.stack([torch.tensor(LOGITS, dtype=torch.float64) * k for k in (0.5, 1.0, 2.0)])
    labels = torch.tensor(LABELS)
    shared = vmap(lambda x: cross_entropy(x, labels))(x)
    own = vmap(cross_entropy, in_dims=(1, None), out_dims=0)(x.transpose(0, 1), labels)
    one_by_one = torch.stack([cross_entropy(part, labels) for part in x])
    assert_close(shared, one_by_one)
    assert_close(own, one_by_one)


def test_vmap_over_an_ensemble_of_weights() -> None:
    x, labels = torch.tensor(LOGITS, dtype=torch.float64), torch.tensor(LABELS)
    weights = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 2.0]], dtype=torch.float64)
    found = vmap(torch.func.grad(lambda x, w: cross_entropy(x, labels, sample_weight=w)), in_dims=(None, 0))(x, weights)
    rows = softmax_gradient(LOGITS, np.eye(4)[LABELS])
    expected = [rows * (w / w.sum())[:, None] for w in weights.numpy()]
    assert_close(found, np.stack(expected))


def test_per_example_gradients_of_a_model() -> None:
    model = torch.nn.Linear(5, 4, dtype=torch.float64)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    inputs, labels = torch.linspace(-1.0, 1.0, 15, dtype=torch.float64).reshape(3, 5), torch.tensor(LABELS)

    def loss(parameters: dict[str, torch.Tensor], row: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return cross_entropy(torch.func.functional_call(model, parameters, (row,)), label)

    found = vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(parameters, inputs, labels)
    of_logits = softmax_gradient(model(inputs).detach(), np.eye(4)[LABELS])
    assert_close(found["bias"], of_logits)
    assert_close(found["weight"], of_logits[:, :, None] * inputs.numpy()[:, None, :])


def test_vjp_of_rows() -> None:
    x = torch.tensor(LOGITS, dtype=torch.float64)
    _, pull = vjp(lambda x: cross_entropy(x, torch.tensor(LABELS), reduction="none"), x)
    cotangent = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    (found,) = pull(cotangent)
    assert_close(found, softmax_gradient(LOGITS, np.eye(4)[LABELS]) * cotangent.numpy()[:, None])


def test_labels_out_of_range_are_known_to_grad_and_not_to_vmap() -> None:
    x, labels = torch.tensor(LOGITS), torch.tensor([2, 4, 0])
    for transform in (torch.func.grad, jacrev, jacfwd, hessian, torch.func.grad_and_value):
        with pytest.raises(IndexError, match=r"targets\[1\] is 4"):
            transform(lambda x: cross_entropy(x, labels))(x)
    gradient, value = vmap(torch.func.grad_and_value(per_row))(x, labels)
    unusable = np.array([False, True, False])
    np.testing.assert_array_equal(value.isnan().numpy(), unusable)
    np.testing.assert_array_equal(gradient.isnan().all(dim=-1).numpy(), unusable)
    np.testing.assert_array_equal(gradient.isnan().any(dim=-1).numpy(), unusable)


def test_value_and_grad_composes_with_vmap() -> None:
    x = torch.tensor(LOGITS, dtype=torch.float64)
    value, gradient = vmap(xentropy.value_and_grad(cross_entropy))(x, torch.tensor(LABELS))
    assert_close(value, cross_entropy(x, torch.tensor(LABELS), reduction="none"))
    assert_close(gradient, softmax_gradient(LOGITS, np.eye(4)[LABELS]))


# --- what a training loop relies on --------------------------------------------------------------------------------


def test_retain_graph_and_accumulation() -> None:
    x = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    loss = cross_entropy(x, torch.tensor(LABELS))
    loss.backward(retain_graph=True)
    once = x.grad.clone()
    loss.backward()
    assert_close(x.grad, 2.0 * once.numpy())
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_gradient_penalty() -> None:
    """The norm of a gradient, differentiated: what a wrong double backward would train wrongly."""
    x = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    (first,) = grad(cross_entropy(x, torch.tensor(LABELS), reduction="sum"), x, create_graph=True)
    first.square().sum().backward()
    rows = softmax_gradient(LOGITS, np.eye(4)[LABELS])
    assert_close(x.grad, 2.0 * np.einsum("rij,rj->ri", softmax_hessian(LOGITS), rows))


@pytest.mark.parametrize("options", [{"label_smoothing": 0.1}, {"precision": "float64"}])
def test_logits_changed_after_the_forward_pass_are_noticed(options: dict[str, Any]) -> None:
    x = torch.tensor(LOGITS, requires_grad=True)
    logits = x * 1.0
    loss = cross_entropy(logits, torch.tensor(LABELS), **options)
    logits.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_gradient_kept_from_the_forward_pass_is_that_of_the_logits_then() -> None:
    x = torch.tensor(LOGITS, dtype=torch.float32, requires_grad=True)
    logits = x * 1.0
    loss = cross_entropy(logits, torch.tensor(LABELS))
    logits.add_(1.0).mul_(3.0)
    loss.backward()
    assert_close(x.grad, softmax_gradient(LOGITS, np.eye(4)[LABELS]) / len(LABELS), "float32")


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_kept_gradient_is_given_away_once(reduction: str) -> None:
    """Who has it may write to it, so the next backward computes its own."""
    x = torch.tensor(LOGITS, dtype=torch.float32, requires_grad=True)
    loss = cross_entropy(x, torch.tensor(LABELS), reduction=reduction)
    cotangent = torch.full(loss.shape, 3.0)
    expected = softmax_gradient(LOGITS, np.eye(4)[LABELS]) * 3.0 / (len(LABELS) if reduction == "mean" else 1)
    for _ in range(3):
        (found,) = grad(loss, x, cotangent, retain_graph=True)
        assert_close(found, expected, "float32")
        found.zero_()


def test_nothing_is_recorded_where_nothing_is_asked_for() -> None:
    x = torch.tensor(LOGITS, requires_grad=True)
    labels = torch.tensor(LABELS)
    with torch.no_grad():
        assert not cross_entropy(x, labels).requires_grad
    with torch.inference_mode():
        assert cross_entropy(x, labels).is_inference()
    assert not cross_entropy(x.detach(), labels).requires_grad
    assert cross_entropy(x, labels).requires_grad


def test_targets_alone() -> None:
    x, t = leaves(SOFT_TARGETS)
    loss = cross_entropy(x.detach(), t)
    (found,) = grad(loss, t)
    assert_close(found, SOFT_TARGETS.exact.gradient[1])


def test_weights_are_constants() -> None:
    x, labels = torch.tensor(LOGITS, requires_grad=True), torch.tensor(LABELS)
    weights = {
        "class_weight": torch.tensor([0.5, 2.0, 1.25, 3.0], requires_grad=True),
        "sample_weight": torch.tensor([1.0, 0.25, 2.0], requires_grad=True),
        "normalizer": torch.tensor(2.0, requires_grad=True),
    }
    assert not cross_entropy(x.detach(), labels, **weights).requires_grad
    assert grad(cross_entropy(x, labels, **weights), list(weights.values()), allow_unused=True) == (
        None,
        None,
        None,
    )
    binary = {
        "pos_weight": torch.tensor([2.0, 1.0, 0.5, 1.0], requires_grad=True),
        "sample_weight": torch.tensor([[1.0], [2.0], [0.5]], requires_grad=True),
    }
    loss = binary_cross_entropy(x, torch.ones(3, 4), **binary)
    assert grad(loss, list(binary.values()), allow_unused=True) == (None, None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("precision", [None, "float64"])
def test_half_precision(dtype: torch.dtype, precision: Any) -> None:
    """Gradients of half inputs are rounded once, also those of second order."""
    x = torch.tensor(LOGITS, dtype=dtype, requires_grad=True)
    loss = cross_entropy(x, torch.tensor(LABELS), reduction="sum", precision=precision)
    (first,) = grad(loss, x, create_graph=True)
    (second,) = grad(first[:, 0].sum(), x)
    assert (loss.dtype, first.dtype, second.dtype) == (torch.float32, dtype, dtype)
    rows = softmax_gradient(LOGITS, np.eye(4)[LABELS])
    torch.testing.assert_close(first.detach(), torch.tensor(rows).to(dtype), rtol=0.0, atol=0.0)
    bound = torch.finfo(dtype).eps
    np.testing.assert_allclose(second.float(), softmax_hessian(LOGITS)[:, 0], rtol=bound, atol=bound / 8)


@pytest.mark.parametrize("confidence", [8.0, 20.0, 40.0, 80.0])
def test_confident_rows_of_second_order(confidence: float) -> None:
    """p (1 - p) at the label keeps its relative accuracy where 1 - p would have none left."""
    row = np.array([confidence, 0.0, 0.5])
    p = np.exp(row - confidence) / np.exp(row - confidence).sum()
    expected = np.diag([p[0] * (p[1] + p[2]), p[1] * (1 - p[1]), p[2] * (1 - p[2])])
    for i, j in ((0, 1), (0, 2), (1, 2)):
        expected[i, j] = expected[j, i] = -p[i] * p[j]
    x = torch.tensor(row, dtype=torch.float32)
    found = hessian(lambda x: cross_entropy(x, torch.tensor(0)))(x)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize("precision", [None, "float64"])
def test_wide_precision(precision: Any) -> None:
    """float32 in and out, whatever it is computed in, in every mode."""
    x = torch.tensor(LOGITS, requires_grad=True)
    labels = torch.tensor(LABELS)

    def f(x: torch.Tensor) -> torch.Tensor:
        return cross_entropy(x, labels, reduction="sum", precision=precision)

    (first,) = grad(f(x), x, create_graph=True)
    (second,) = grad(first[:, 0].sum(), x)
    along = jvp(f, (x.detach(),), (torch.ones_like(x),))[1]
    assert {first.dtype, second.dtype, along.dtype} == {torch.float32}
    assert_close(first.detach(), softmax_gradient(LOGITS, np.eye(4)[LABELS]), "float32")
    assert_close(second, softmax_hessian(LOGITS)[:, 0], "float32")
    assert abs(float(along)) < 1e-6
    if precision:
        exact = softmax_gradient(LOGITS, np.eye(4)[LABELS]).astype(np.float32)
        np.testing.assert_array_equal(first.detach(), exact)


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 600])
@pytest.mark.parametrize("soft", [False, True])
def test_rows_that_make_several_blocks(rows: int, soft: bool) -> None:
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, 1024, generator=generator, requires_grad=True)
    labels = torch.randint(1024, (rows,), generator=generator)
    probabilities = torch.rand(rows, 1024, generator=generator).softmax(dim=-1)
    weight = torch.rand(1024, generator=generator) + 0.5
    targets = probabilities if soft else labels
    loss = cross_entropy(x, targets, class_weight=weight, reduction="sum", label_smoothing=0.1)
    with torch.no_grad():
        unrecorded = cross_entropy(x, targets, class_weight=weight, reduction="sum", label_smoothing=0.1)
    (found,) = grad(loss, x)
    t = probabilities.double() if soft else torch.nn.functional.one_hot(labels, 1024).double()
    t = (t * 0.9 + 0.1 / 1024) * weight
    np.testing.assert_allclose(found, softmax_gradient(x.detach(), t), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(unrecorded, loss.detach(), rtol=1e-6)


# --- what must not poison a derivative -----------------------------------------------------------------------------


def second_and_pushed(f: Scalar, x: torch.Tensor) -> list[torch.Tensor]:
    """Gradient, Hessian and a tangent's push-forward."""
    return [torch.func.grad(f)(x), hessian(f)(x), jvp(f, (x,), (torch.ones_like(x),))[1]]


def test_ignored_rows_of_nan_have_no_derivative() -> None:
    x = torch.tensor([LOGITS[0], [NAN, INF, -INF, NAN], LOGITS[2]], dtype=torch.float64)
    labels = torch.tensor([2, -100, 0])
    first, second, along = second_and_pushed(lambda x: cross_entropy(x, labels, ignore_index=-100), x)
    kept = softmax_gradient([LOGITS[0], LOGITS[2]], np.eye(4)[[2, 0]]) / 2.0
    assert_close(first, np.stack([kept[0], np.zeros(4), kept[1]]))
    assert_close(second[0, :, 0], softmax_hessian(LOGITS)[0] / 2.0)
    assert not second[1].any()
    assert not second[:, :, 1].any()
    assert abs(float(along)) < 1e-15


def test_all_rows_ignored() -> None:
    x = torch.full((2, 3), NAN, dtype=torch.float64)
    labels = torch.tensor([7, 7])
    for found in second_and_pushed(lambda x: cross_entropy(x, labels, ignore_index=7), x):
        assert not found.any()


def test_targets_of_zero_at_minus_infinity() -> None:
    x = torch.tensor([[1.0, -INF, 0.5], [-INF, 2.0, -INF]], dtype=torch.float64)
    t = torch.tensor([[0.75, 0.0, 0.25], [0.0, 1.0, 0.0]], dtype=torch.float64)
    first, second, along = second_and_pushed(lambda x: cross_entropy(x, t, reduction="sum"), x)
    assert_close(first, softmax_gradient(x, t))
    assert_close(second[0, :, 0], softmax_hessian(x)[0])
    assert not second[1].any()
    assert abs(float(along)) < 1e-15
    of_targets = torch.func.grad(lambda t: cross_entropy(x, t, reduction="sum"))(t)
    assert torch.isfinite(of_targets).all()
    pushed = jvp(lambda x, t: cross_entropy(x, t, reduction="sum"), (x, t), (torch.ones_like(x), torch.zeros_like(t)))[
        1
    ]
    assert abs(float(pushed)) < 1e-15


def test_binary_limits() -> None:
    z = torch.tensor([INF, -INF, INF, -INF], dtype=torch.float64)
    y = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    x = z.clone().requires_grad_()
    loss = binary_cross_entropy(x, y, reduction="none")
    assert loss.tolist() == [0.0, 0.0, INF, INF]
    (first,) = grad(loss.sum(), x)
    assert first.tolist() == [0.0, 0.0, 1.0, -1.0]


def test_softcap_and_mask_together_with_minus_infinity() -> None:
    x = torch.tensor([[1.0, -INF, 0.5, 3.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([True, False, True, True])
    loss = cross_entropy(x, torch.tensor([3]), class_mask=mask, softcap=2.0)
    (first,) = grad(loss, x, create_graph=True)
    (second,) = grad(first[0, 0], x)
    assert first[0, 1] == 0.0
    assert torch.isfinite(first).all()
    assert torch.isfinite(second).all()


# --- token statistics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("axis", [-1, 0])
def test_token_statistics(temperature: float, axis: int) -> None:
    x = torch.tensor(LOGITS, dtype=torch.float64)
    x = (x if axis == -1 else x.T.contiguous()).requires_grad_()

    def f(x: torch.Tensor) -> Tensors:
        return tuple(token_statistics(x, torch.tensor(LABELS), axis=axis, temperature=temperature)[:3])

    assert gradcheck(f, x, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True)
    assert gradgradcheck(f, x, check_fwd_over_rev=True, check_rev_over_rev=True, check_batched_grad=True)
    assert not token_statistics(x, torch.tensor(LABELS), axis=axis).correct.requires_grad


def test_token_statistics_of_second_order() -> None:
    """log_prob = x_y - logsumexp; entropy's gradient is -p (log p + entropy)."""
    x = torch.tensor(LOGITS, dtype=torch.float64)
    labels = torch.tensor(LABELS)

    def field(name: str) -> Scalar:
        return lambda row, label: getattr(token_statistics(row, label), name)

    curve = softmax_hessian(LOGITS)
    assert_close(vmap(hessian(field("logsumexp")))(x, labels), curve)
    assert_close(vmap(hessian(field("log_prob")))(x, labels), -curve)
    p = torch.softmax(x, dim=-1)
    entropy = -(p * p.log()).sum(dim=-1, keepdim=True)
    assert_close(vmap(torch.func.grad(field("entropy")))(x, labels), -p * (p.log() + entropy))


def test_token_statistics_with_classes_at_minus_infinity() -> None:
    x = torch.tensor([[1.0, -INF, 0.5]], dtype=torch.float64)
    labels = torch.tensor([0])
    for i in range(3):
        for found in second_and_pushed(lambda x, i=i: token_statistics(x, labels)[i].sum(), x):
            assert torch.isfinite(found).all()


# --- dual numbers --------------------------------------------------------------------------------------------------


def test_dual_numbers() -> None:
    x = torch.tensor(LOGITS, dtype=torch.float64)
    (along,) = tangents(INDEX, "float64")
    with forward_ad.dual_level():
        loss = cross_entropy(forward_ad.make_dual(x, along), torch.tensor(LABELS))
        value, tangent = forward_ad.unpack_dual(loss)
    assert_close(value, INDEX.exact.value)
    assert_close(tangent, INDEX.exact.along)


def test_logits_with_the_negative_bit() -> None:
    z = torch.complex(torch.zeros(3, 4), torch.tensor(LOGITS, dtype=torch.float32)[:3]).conj().imag
    labels = torch.tensor(LABELS)
    assert cross_entropy(z, labels) == cross_entropy(z.resolve_neg().clone(), labels)


def test_jit_trace_sees_operations() -> None:
    labels = torch.tensor(LABELS)
    x = torch.tensor(LOGITS, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(lambda x: cross_entropy(x, labels), x, check_trace=False)
    torch.testing.assert_close(traced(5.0 * x), cross_entropy(5.0 * x, labels))


def test_checkpoints_keep_no_gradient() -> None:
    x = torch.randn(64, 1000, requires_grad=True)
    labels = torch.arange(64)
    loss = checkpoint(lambda h: cross_entropy(2.0 * h, labels), x, use_reentrant=False)
    kept = [o for o in gc.get_objects() if type(o) is torch.Tensor and o.shape == x.shape]
    assert all(o is x for o in kept)
    (found,) = grad(loss, x)
    torch.testing.assert_close(found, grad(torch.nn.functional.cross_entropy(2.0 * x, labels), x)[0])
