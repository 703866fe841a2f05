"""The linear loss under JAX's transforms: both modes and orders, jit, vmap, and float64 without the switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import assert_close
from linear_problems import PROBLEMS, Problem, assert_derivatives

from xentropy import linear_cross_entropy

Arrays = tuple[jax.Array, ...]
Function = Callable[..., Any]


def named(*names: str) -> pytest.MarkDecorator:
    """The problems of these names, or all."""
    chosen = [p for p in PROBLEMS if not names or p.name in names]
    return pytest.mark.parametrize("problem", chosen, ids=[p.name for p in chosen])


def dot(found: jax.Array, cotangent: jax.Array) -> jax.Array:
    return (found * cotangent).sum()


def scalar(problem: Problem, **more: Any) -> Function:
    return problem.bind(jnp.asarray, dot, **more)


def at(problem: Problem, dtype: str = "float32") -> Arrays:
    return tuple(jnp.asarray(a, dtype) for a in problem.arrays)


def along(problem: Problem, dtype: str = "float32") -> Arrays:
    return tuple(jnp.asarray(a, dtype) for a in problem.direction)


def everything(problem: Problem) -> tuple[int, ...]:
    return tuple(range(len(problem.arrays)))


@named()
@pytest.mark.parametrize("mode", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_first_order(problem: Problem, mode: Function) -> None:
    value, found = mode(jax.value_and_grad(scalar(problem), everything(problem)))(*at(problem))
    assert_close(value, problem.exact.value, "float32")
    assert_derivatives(problem, found, problem.exact.gradient, "float32")


@named("index", "ignored", "everything", "soft")
def test_forward_mode(problem: Problem) -> None:
    _, found = jax.jit(lambda *x: jax.jvp(scalar(problem), x, along(problem)))(*at(problem))
    assert_close(found, problem.exact.along, "float32")


@named("index", "weights_none", "everything", "soft")
def test_second_order(problem: Problem) -> None:
    f, v = scalar(problem), along(problem)
    gradient = jax.grad(f, everything(problem))

    def orders(*x: jax.Array) -> Any:
        forward_over_reverse = jax.jvp(gradient, x, v)[1]
        weighed = lambda *y: sum(jnp.vdot(a, b) for a, b in zip(gradient(*y), v, strict=True))  # noqa: E731
        return forward_over_reverse, jax.grad(weighed, everything(problem))(*x)

    for found in jax.jit(orders)(*at(problem)):
        assert_derivatives(problem, found, problem.exact.curve, "float32")


def test_reverse_over_forward_and_forward_over_forward() -> None:
    problem = PROBLEMS[0]
    f, v = scalar(problem), along(problem)

    def orders(*x: jax.Array) -> Any:
        pushed = lambda *y: jax.jvp(f, y, v)[1]  # noqa: E731
        return jax.grad(pushed, everything(problem))(*x), jax.jvp(pushed, x, v)[1]

    found, twice = jax.jit(orders)(*at(problem))
    assert_derivatives(problem, found, problem.exact.curve, "float32")
    expected = sum(np.vdot(c, d) for c, d in zip(problem.exact.curve, problem.direction, strict=True))
    assert_close(twice, expected, "float32")


def test_hessian() -> None:
    """Symmetric, and in the direction of the table the curve of the weight."""
    problem = PROBLEMS[0]
    with jax.enable_x64(True):
        hidden, weight, bias = at(problem, "float64")
        f = scalar(problem)
        found = jax.jit(jax.hessian(lambda w: f(hidden, w, bias)))(weight)
        assert_close(found, np.transpose(found, (2, 3, 0, 1)))
        x = problem.arrays[0] @ problem.arrays[1].T + problem.arrays[2]
        p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        blocks = p[:, :, None] * np.eye(4) - p[:, :, None] * p[:, None, :]
        assert_close(found, np.einsum("ncd,ni,nj->cidj", blocks, problem.arrays[0], problem.arrays[0]) / 3.0)


def test_vmap_of_grad() -> None:
    """A gradient of every row's own, of the weight too; and of batches in blocks, with heads of their own."""
    hidden, weight, bias = at(PROBLEMS[0])
    labels = jnp.asarray(PROBLEMS[0].targets)

    def one(h: jax.Array, w: jax.Array, b: jax.Array, t: jax.Array) -> jax.Array:
        return linear_cross_entropy(h, w, t, bias=b, chunk_rows=2)

    gradient = jax.grad(one, (0, 1, 2))
    found = jax.jit(jax.vmap(gradient, (0, None, None, 0)))(hidden, weight, bias, labels)
    x = PROBLEMS[0].arrays[0] @ PROBLEMS[0].arrays[1].T + PROBLEMS[0].arrays[2]
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) - np.eye(4)[PROBLEMS[0].targets]
    for a, b in zip(found, (p @ weight, p[:, :, None] * hidden[:, None, :], p), strict=True):
        assert_close(a, b, "float32")
    batches = [jnp.stack([a, 0.5 * a]) for a in (hidden, weight, bias)]
    found = jax.jit(jax.vmap(gradient, (0, 0, 0, None)))(*batches, labels)
    assert_derivatives(PROBLEMS[0], [a[0] for a in found], PROBLEMS[0].exact.gradient, "float32")


@named("index", "ignored", "soft", "weights_none")
def test_float64_without_the_switch(problem: Problem) -> None:
    f = jax.value_and_grad(scalar(problem, precision="float64"), everything(problem))
    value, found = f(*at(problem))
    assert value.dtype == jnp.float32
    # Rounded once, unless rows have a cotangent each or go into the denominator: then the gradient is float32's.
    np.testing.assert_allclose(value, problem.exact.value, rtol=2.0**-23)
    assert_derivatives(problem, found, problem.exact.gradient, "float32")


@pytest.mark.parametrize("rows", [1, 4, 5, 8, 11])
def test_removed_rows_in_a_jit(rows: int) -> None:
    """Some blocks have none that is kept, some are not whole; NaN in what is removed."""
    random = np.random.default_rng(rows)
    weight = random.standard_normal((7, 3)).astype(np.float32)
    hidden, labels = random.standard_normal((rows, 3)).astype(np.float32), random.integers(0, 7, rows)
    for kept in (np.arange(rows) % 3 == 1, np.zeros(rows, dtype=bool), np.ones(rows, dtype=bool)):
        given = np.where(kept[:, None], hidden, np.nan).astype(np.float32)
        f = jax.jit(
            jax.value_and_grad(lambda h, w, t: linear_cross_entropy(h, w, t, ignore_index=-1, chunk_rows=4), (0, 1))
        )
        value, (of_hidden, of_weight) = f(given, weight, np.where(kept, labels, -1))
        x = hidden.astype(np.float64) @ weight.T.astype(np.float64)
        p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        losses = -np.log(p[np.arange(rows), labels]) * kept
        p[np.arange(rows), labels] -= 1.0
        p *= kept[:, None] / max(kept.sum(), 1)
        assert_close(value, losses.sum() / max(kept.sum(), 1), "float32")
        assert_close(of_hidden, p @ weight, "float32")
        assert_close(of_weight, p.T @ hidden, "float32")


@pytest.mark.parametrize("ignore_index", [None, 2])
def test_shard_map(ignore_index: int | None) -> None:
    """Rows that differ from device to device under a head that doesn't: its gradient is the sum of all devices'."""
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    rows, whole = jax.sharding.PartitionSpec("rows"), jax.sharding.PartitionSpec()
    hidden, weight, bias = at(PROBLEMS[0])
    labels = jnp.asarray(PROBLEMS[0].targets)

    def mapped(h: jax.Array, w: jax.Array, b: jax.Array, t: jax.Array) -> jax.Array:
        loss = linear_cross_entropy(h, w, t, bias=b, chunk_rows=2, reduction="sum", ignore_index=ignore_index)
        return jax.lax.psum(loss, "rows")

    f = jax.shard_map(mapped, mesh=mesh, in_specs=(rows, whole, whole, rows), out_specs=whole)
    found = jax.jit(jax.grad(f, (0, 1, 2)))(hidden, weight, bias, labels)
    x = PROBLEMS[0].arrays[0] @ PROBLEMS[0].arrays[1].T + PROBLEMS[0].arrays[2]
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) - np.eye(4)[PROBLEMS[0].targets]
    p *= (np.array(PROBLEMS[0].targets) != ignore_index)[:, None]
    for a, b in zip(found, (p @ weight, p.T @ hidden, p.sum(axis=0)), strict=True):
        assert_close(a, b, "float32")


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_compiled_memory(reduction: str) -> None:
    """What XLA sets aside for loss and gradients, and for their derivative, is less than the logits would take."""
    rows, classes, chunk = 2048, 1000, 16

    def loss(h: jax.Array, w: jax.Array, t: jax.Array) -> jax.Array:
        return linear_cross_entropy(h, w, t, reduction=reduction, chunk_rows=chunk).sum()

    shapes = [jax.ShapeDtypeStruct((n, 8), jnp.float32) for n in (rows, classes)]
    labels = jax.ShapeDtypeStruct((rows,), jnp.int32)
    gradient = jax.grad(loss, (0, 1))
    curve = lambda h, w, t: jax.jvp(lambda *x: gradient(*x, t), (h, w), (h, w))[1]  # noqa: E731
    for f in (gradient, curve):
        analysis = jax.jit(f).lower(*shapes, labels).compile().memory_analysis()
        assert analysis.temp_size_in_bytes < 4 * rows * classes / 4
