"""The linear loss under PyTorch: both modes and orders, torch.func's transforms, kept graphs, the compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import linear_problems
import numpy as np
import pytest
import torch
from derivatives import assert_close
from linear_problems import PROBLEMS, Problem, assert_derivatives
from torch.autograd import forward_ad, grad, gradcheck, gradgradcheck
from torch.func import hessian, jacfwd, jacrev, jvp, vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from xentropy import linear_cross_entropy

# PyTorch's own: its first use of forward mode imports decompositions that it scripts.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

EVERY_PROBLEM = pytest.mark.parametrize("problem", PROBLEMS, ids=[problem.name for problem in PROBLEMS])
# Every rule of autograd's, which takes its time.
CHECKED = ["index", "weights_none", "everything", "soft_none"]
BOTH_DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])

Scalar = Callable[..., torch.Tensor]
Tensors = tuple[torch.Tensor, ...]


def dot(found: torch.Tensor, cotangent: torch.Tensor) -> torch.Tensor:
    return (found * cotangent).sum()


def scalar(problem: Problem, **more: Any) -> Scalar:
    return problem.bind(torch.tensor, dot, **more)


def at(problem: Problem, dtype: str = "float64") -> Tensors:
    return tuple(torch.tensor(a, dtype=getattr(torch, dtype)) for a in problem.arrays)


def along(problem: Problem, dtype: str = "float64") -> Tensors:
    return tuple(torch.tensor(a, dtype=getattr(torch, dtype)) for a in problem.direction)


def recording(tensors: Tensors) -> Tensors:
    return tuple(t.clone().requires_grad_() for t in tensors)


def numbers(tensors: Any) -> list[np.ndarray[Any, Any]]:
    return [t.detach().numpy() for t in tensors]


def inner(tensors: Any, others: Any) -> torch.Tensor:
    return sum(((a * b).sum() for a, b in zip(tensors, others, strict=True)), torch.zeros(()))


@EVERY_PROBLEM
@BOTH_DTYPES
@pytest.mark.parametrize("chunk_rows", [1, 2, 3])
def test_first_order(problem: Problem, dtype: str, chunk_rows: int) -> None:
    f, inputs = scalar(problem, chunk_rows=chunk_rows), recording(at(problem, dtype))
    value = f(*inputs)
    assert_close(value.detach(), problem.exact.value, dtype)
    gradients = grad(value, inputs)
    assert all(g.dtype == x.dtype for g, x in zip(gradients, inputs, strict=True))
    assert_derivatives(problem, numbers(gradients), problem.exact.gradient, dtype)
    pushed, moved = jvp(f, at(problem, dtype), along(problem, dtype))
    assert_close(pushed, problem.exact.value, dtype)
    assert_close(moved, problem.exact.along, dtype)


def reverse_over_reverse(f: Scalar, x: Tensors, v: Tensors) -> Tensors:
    leaves = recording(x)
    return grad(inner(grad(f(*leaves), leaves, create_graph=True), v), leaves)


def forward_over_reverse(f: Scalar, x: Tensors, v: Tensors) -> Tensors:
    return jvp(torch.func.grad(f, argnums=tuple(range(len(x)))), x, v)[1]


def reverse_over_forward(f: Scalar, x: Tensors, v: Tensors) -> Tensors:
    return torch.func.grad(lambda *y: jvp(f, y, v)[1], argnums=tuple(range(len(x))))(*x)


def reverse_over_reverse_by_func(f: Scalar, x: Tensors, v: Tensors) -> Tensors:
    everything = tuple(range(len(x)))
    return torch.func.grad(lambda *y: inner(torch.func.grad(f, argnums=everything)(*y), v), argnums=everything)(*x)


@EVERY_PROBLEM
@pytest.mark.parametrize(
    "order", [reverse_over_reverse, forward_over_reverse, reverse_over_forward, reverse_over_reverse_by_func]
)
def test_second_order(problem: Problem, order: Callable[..., Tensors]) -> None:
    found = order(scalar(problem), at(problem), along(problem))
    assert_derivatives(problem, numbers(found), problem.exact.curve, "float64")


@EVERY_PROBLEM
def test_forward_over_forward(problem: Problem) -> None:
    f, v = scalar(problem), along(problem)
    found = jvp(lambda *x: jvp(f, x, v)[1], at(problem), v)[1]
    assert_close(found, sum(np.vdot(c, d) for c, d in zip(problem.exact.curve, problem.direction, strict=True)))


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.name in CHECKED], ids=CHECKED)
def test_gradchecks(problem: Problem) -> None:
    f = scalar(problem)
    inputs = recording(at(problem))
    if not problem.settled.all():
        inputs = (*inputs[:-1], inputs[-1].detach())
    batched = {"check_batched_grad": True, "fast_mode": True}
    assert gradcheck(f, inputs, check_forward_ad=True, check_batched_forward_grad=True, **batched)
    assert gradgradcheck(f, inputs, check_fwd_over_rev=True, check_rev_over_rev=True, **batched)


@pytest.mark.parametrize("transform", [hessian, lambda f: jacfwd(jacrev(f)), lambda f: jacrev(jacfwd(f))])
@pytest.mark.parametrize("problem", [PROBLEMS[0], PROBLEMS[7]], ids=["index", "soft"])
def test_hessian(problem: Problem, transform: Callable[..., Any]) -> None:
    """Of the weight; in the direction of the table it is the curve of the weight alone."""
    f, (hidden, weight, *rest) = scalar(problem), at(problem)
    found = transform(lambda w: f(hidden, w, *rest))(weight)
    v = along(problem)[1]
    leaves = weight.clone().requires_grad_()
    step = 2.0**-20
    expected = (
        torch.func.grad(lambda w: f(hidden, w, *rest))(leaves.detach() + step * v)
        - torch.func.grad(lambda w: f(hidden, w, *rest))(leaves.detach() - step * v)
    ) / (2 * step)
    np.testing.assert_allclose(torch.einsum("ijkl,kl->ij", found, v), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("chunk_rows", [1, None])
def test_vmap_of_grad(chunk_rows: int | None) -> None:
    """A gradient of every row's own, of the weight too."""
    hidden, weight, bias = at(PROBLEMS[0])
    labels = torch.tensor(PROBLEMS[0].targets)

    def one(h: torch.Tensor, w: torch.Tensor, b: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return linear_cross_entropy(h, w, t, bias=b, chunk_rows=chunk_rows)

    found = vmap(torch.func.grad(one, argnums=(0, 1, 2)), in_dims=(0, None, None, 0))(hidden, weight, bias, labels)
    p = torch.softmax(hidden @ weight.T + bias, -1) - torch.nn.functional.one_hot(labels, 4)
    for a, b in zip(found, (p @ weight, p[:, :, None] * hidden[:, None, :], p), strict=True):
        assert_close(a, b)


def test_vmap_over_batches() -> None:
    """Of several rows, in blocks, with heads of their own."""
    hidden, weight, bias = (torch.stack([a, 0.5 * a]) for a in at(PROBLEMS[0]))
    labels = torch.tensor(PROBLEMS[0].targets)
    f = torch.func.grad(lambda h, w, b: linear_cross_entropy(h, w, labels, bias=b, chunk_rows=2), argnums=(0, 1, 2))
    found = vmap(f)(hidden, weight, bias)
    for i in range(2):
        for a, b in zip(found, f(hidden[i], weight[i], bias[i]), strict=True):
            assert_close(a[i], b)


def test_jacobians_of_rows() -> None:
    hidden, weight, bias = at(PROBLEMS[0])
    labels = torch.tensor(PROBLEMS[0].targets)
    f = lambda w: linear_cross_entropy(hidden, w, labels, bias=bias, reduction="none", chunk_rows=2)  # noqa: E731
    p = torch.softmax(hidden @ weight.T + bias, -1) - torch.nn.functional.one_hot(labels, 4)
    for transform in (jacfwd, jacrev):
        assert_close(transform(f)(weight), p[:, :, None] * hidden[:, None, :])


def test_dual_numbers_outside_of_func() -> None:
    problem = PROBLEMS[0]
    with forward_ad.dual_level():
        pairs = zip(at(problem), along(problem), strict=True)
        found = scalar(problem)(*(forward_ad.make_dual(x, v) for x, v in pairs))
        assert_close(forward_ad.unpack_dual(found).tangent, problem.exact.along)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_kept_graph_gives_the_same_gradients_again(reduction: str) -> None:
    problem = Problem("again", options={"reduction": reduction})
    inputs = recording(at(problem, "float32"))
    value = scalar(problem)(*inputs)
    first = [g.clone() for g in grad(value, inputs, retain_graph=True)]
    # Somebody's to write to.
    for g in grad(value, inputs, retain_graph=True):
        g.zero_()
    again = grad(2.0 * value, inputs)
    for a, b in zip(first, again, strict=True):
        torch.testing.assert_close(2.0 * a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_has_no_gradient(frozen: int) -> None:
    problem = PROBLEMS[0]
    inputs = list(recording(at(problem)))
    inputs[frozen] = inputs[frozen].detach()
    scalar(problem)(*inputs).backward()
    for i, x in enumerate(inputs):
        if i == frozen:
            assert x.grad is None
        else:
            assert_close(x.grad, problem.exact.gradient[i])


def test_checkpointed() -> None:
    problem = PROBLEMS[0]
    inputs = recording(at(problem))
    torch.utils.checkpoint.checkpoint(scalar(problem), *inputs, use_reentrant=False).backward()
    assert_derivatives(problem, [x.grad for x in inputs], problem.exact.gradient, "float64")


@pytest.mark.parametrize("name", ["index", "index_none", "ignored", "everything", "soft"])
def test_compiled_into_one_graph(name: str) -> None:
    problem = next(p for p in PROBLEMS if p.name == name)
    torch._dynamo.reset()
    f = torch.compile(scalar(problem), fullgraph=True)
    inputs = recording(at(problem, "float32"))
    value = f(*inputs)
    assert_close(value.detach(), problem.exact.value, "float32")
    assert_derivatives(problem, numbers(grad(value, inputs)), problem.exact.gradient, "float32")


def test_compiled_transforms() -> None:
    """torch.func inside torch.compile: the gradient of rows of their own."""
    torch._dynamo.reset()
    hidden, weight, _ = at(PROBLEMS[0])
    labels = torch.tensor(PROBLEMS[0].targets)

    def each(h: torch.Tensor, w: torch.Tensor, t: torch.Tensor) -> Any:
        return vmap(torch.func.grad(linear_cross_entropy, argnums=(0, 1)), in_dims=(0, None, 0))(h, w, t)

    found = torch.compile(each, fullgraph=True)(hidden, weight, labels)
    p = torch.softmax(hidden @ weight.T, -1) - torch.nn.functional.one_hot(labels, 4)
    for a, b in zip(found, (p @ weight, p[:, :, None] * hidden[:, None, :]), strict=True):
        assert_close(a, b)


def test_the_table_is_right_about_a_row_by_hand() -> None:
    """The exact answers against the textbook, once."""
    problem = linear_problems.PROBLEMS[1]
    h, w = problem.arrays
    x = h @ w.T
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) - np.eye(4)[problem.targets]
    assert_close(problem.exact.gradient[0], p @ w)
    assert_close(problem.exact.gradient[1], p.T @ h)


class Largest(TorchDispatchMode):
    """Remembers how many elements the largest result of any operation has."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for x in tree_leaves(found):
            if isinstance(x, torch.Tensor):
                self.elements = max(self.elements, x.numel())
        return found


def backward(f: Scalar, x: Tensors) -> Any:
    leaves = recording(x)
    return grad(f(*leaves), leaves)


def twice(f: Scalar, x: Tensors) -> Any:
    leaves = recording(x)
    first = grad(f(*leaves), leaves, create_graph=True)
    return grad(inner(first, first), leaves)


@pytest.mark.parametrize(
    "call",
    [
        lambda f, x: f(*x),
        backward,
        twice,
        lambda f, x: torch.func.grad(f, argnums=(0, 1))(*x),
        lambda f, x: jvp(f, x, x),
    ],
    ids=["forward", "backward", "twice", "func", "forward mode"],
)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_nothing_has_the_size_of_the_logits(call: Callable[..., Any], reduction: str) -> None:
    """Neither in any mode nor for a second derivative."""
    hidden, weight, labels = torch.randn(64, 4), torch.randn(100, 4), torch.randint(0, 100, (64,))
    f = lambda h, w: linear_cross_entropy(h, w, labels, reduction=reduction, chunk_rows=8).sum()  # noqa: E731
    with Largest() as seen:
        call(f, (hidden, weight))
    assert 8 * 100 <= seen.elements < 64 * 100


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("tied", [False, True])
def test_third_order_of_a_function_of_the_loss(reduction: str, tied: bool) -> None:
    """Every derivative recorded, and the loss squared, so that cotangents depend on the inputs as well."""
    hidden, weight, bias = recording(at(PROBLEMS[0]))
    labels = torch.tensor(PROBLEMS[0].targets)

    def derivatives(loss: Scalar) -> list[torch.Tensor]:
        h = torch.tanh(hidden @ weight.T @ weight) if tied else hidden
        found, value = [], (loss(h) ** 2).sum()
        for _ in range(3):
            (gradient,) = grad(value, weight, create_graph=True)
            found.append(gradient)
            value = (gradient * gradient.detach().cos()).sum()
        return found

    def ours(h: torch.Tensor) -> torch.Tensor:
        return linear_cross_entropy(h, weight, labels, bias=bias, reduction=reduction, chunk_rows=2)

    def dense(h: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(h @ weight.T + bias, labels, reduction=reduction)

    for one, other in zip(derivatives(ours), derivatives(dense), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
