"""Linear losses: blocks of rows in a lax.scan, and gradients that are there with the value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from xentropy.dtypes import narrow
from xentropy.linear import LinearProgram
from xentropy.rule import Arrays, Needs
from xentropy.sums import blocked_sum
from xentropy_jax.groups import varying_like

if TYPE_CHECKING:
    from xentropy_jax.backend import JaxBackend

Array = Any
Block = Callable[..., tuple[Arrays, Arrays]]

# Classes whose products are added to a gradient at a time: XLA makes a product before it adds it, and one of the
# gradient's size would be half of the memory.
CLASSES = 2048


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def run(backend: JaxBackend, program: LinearProgram, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
    """The program, compiled, under float64 if it is asked for."""
    with jax.enable_x64(jax.config.jax_enable_x64 or program.widens):
        return _value(backend, program, arrays, constants, weights)


@partial(run.defjvp, symbolic_zeros=True)
def _run_jvp(
    backend: JaxBackend, program: LinearProgram, primals: tuple[Arrays, ...], tangents: tuple[Arrays, ...]
) -> tuple[Array, Array]:
    arrays, constants, weights = primals
    rule: Any = program.rule
    needs = tuple(not isinstance(tangent, SymbolicZero) for tangent in tangents[0])
    known = [tangent for tangent, need in zip(tangents[0], needs, strict=True) if need]
    # Probabilities go into the denominator too, and rows have a cotangent each, which comes later than the value.
    if program.reduction == "none" or any(needs[rule.shared :]):
        value, pushed = _pushed(backend, program, primals, needs, known)
        if program.widens:
            value = run(backend, program, arrays, constants, weights)
        return value, pushed
    value, gradients = _value_and_gradients(backend, program, needs, arrays, constants, weights)
    tangent = jnp.zeros_like(value)
    for gradient, pushed in zip(gradients, known, strict=True):
        # Blocked, since a plain sum over all classes and features would err by its length.
        term = gradient * pushed.astype(gradient.dtype)
        for _ in range(term.ndim):
            term = blocked_sum(backend, term)
        tangent = tangent + term.astype(value.dtype)
    return value, tangent


def _pushed(
    backend: JaxBackend, program: LinearProgram, primals: tuple[Arrays, ...], needs: Needs, known: Sequence[Array]
) -> tuple[Array, Array]:
    """By the rule of every row, which knows its transpose; in float32 where float64 needs a switch."""
    arrays, constants, weights = primals
    if program.widens and not jax.config.jax_enable_x64:
        program = program.computing(program.result)  # type: ignore[assignment]

    def moved(*given: Array) -> Array:
        rest = iter(given)
        full = tuple(next(rest) if need else array for array, need in zip(arrays, needs, strict=True))
        return _value(backend, program, full, constants, weights)

    at = tuple(array for array, need in zip(arrays, needs, strict=True) if need)
    value, pushed = jax.jvp(moved, at, tuple(known))
    return value, pushed


def _value_and_gradients(
    backend: JaxBackend, program: LinearProgram, needs: Needs, arrays: Arrays, constants: Arrays, weights: Arrays
) -> tuple[Array, Arrays]:
    if program.widens and not jax.config.jax_enable_x64:
        found: tuple[Array, Arrays] = _wide_value_and_gradients(backend, program, needs, arrays, constants, weights)
    else:
        found = _both(backend, program, needs, arrays, constants, weights)
    return found


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _wide_value_and_gradients(
    backend: JaxBackend, program: LinearProgram, needs: Needs, arrays: Arrays, constants: Arrays, weights: Arrays
) -> tuple[Array, Arrays]:
    with jax.enable_x64(True):
        value, gradients = _both(backend, program, needs, arrays, constants, weights)
        # Not in half precision: what multiplies them, a tangent or a scaled loss, comes before that rounding.
        return value, tuple(narrow(jnp, gradient, jnp.float32, lax.stop_gradient) for gradient in gradients)


@_wide_value_and_gradients.defjvp
def _wide_value_and_gradients_jvp(
    backend: JaxBackend,
    program: LinearProgram,
    needs: Needs,
    primals: tuple[Arrays, ...],
    tangents: tuple[Arrays, ...],
) -> tuple[tuple[Array, Arrays], tuple[Array, Arrays]]:
    narrower: Any = program.computing(program.result)
    arrays, constants, weights = primals
    _, pushed = jax.jvp(
        lambda *given: _both(backend, narrower, needs, given, constants, weights), arrays, tuple(tangents[0])
    )
    return _wide_value_and_gradients(backend, program, needs, *primals), pushed


@partial(jax.jit, static_argnums=(0, 1))
def _value(backend: JaxBackend, program: LinearProgram, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
    return program(backend, arrays, constants, weights)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _both(
    backend: JaxBackend, program: LinearProgram, needs: Needs, arrays: Arrays, constants: Arrays, weights: Arrays
) -> tuple[Array, Arrays]:
    """The value and the gradients that are needed, in the compute dtype, by operations that JAX differentiates."""
    value, gradients = program.value_and_gradient(backend, arrays, constants, weights, needs)
    return value, tuple(gradient for gradient in gradients if gradient is not None)


def scan_rows(
    fn: Block, carry: Arrays, rows: Sequence[Array | None], step: int, keep: Array | None
) -> tuple[Arrays, Arrays]:
    """See ``Backend.scan_rows``: whole blocks in a loop, the rest after it.

    Where rows may be removed, those that are not come first, so that there are blocks without any, which are left out.
    """
    first = rows[0]
    assert first is not None
    count = first.shape[0]
    if count <= step:
        return fn(carry, *rows)
    cut = [a is not None and a.shape[0] == count for a in rows]
    moving: list[Any] = [a for a, moves in zip(rows, cut, strict=True) if moves]
    order = None if keep is None else jnp.argsort(jnp.logical_not(keep), stable=True)
    if order is not None:
        moving = [a[order] for a in moving]

    def block(carry: Arrays, given: Sequence[Array]) -> tuple[Arrays, Arrays]:
        rest = iter(given)
        return fn(carry, *[next(rest) if moves else a for a, moves in zip(rows, cut, strict=True)])

    # Inside of a shard_map, a sum is as different from device to device as what is added to it.
    zero = varying_like(jnp.float32(0.0), *moving)
    carry = jax.tree.map(lambda total: total + zero.astype(total.dtype), carry)
    # Nothing of a block is kept for a derivative: it is computed again.
    body = jax.checkpoint(_skipping(block, zero), prevent_cse=False)
    whole = count - count % step
    blocks = [a[:whole].reshape(whole // step, step, *a.shape[1:]) for a in moving]
    carry, outputs = lax.scan(body, carry, _with_kept(blocks, keep, order, whole, step))
    outputs = tuple(output.reshape(whole, *output.shape[2:]) for output in outputs)
    if whole < count:
        rest = [a[whole:] for a in moving]
        carry, last = body(carry, (rest, None if keep is None or order is None else jnp.any(keep[order[whole:]])))
        outputs = tuple(jnp.concatenate(pair) for pair in zip(outputs, last, strict=True))
    if order is not None:
        back = jnp.argsort(order)
        outputs = tuple(output[back] for output in outputs)
    return carry, outputs


def _with_kept(blocks: Any, keep: Array | None, order: Array | None, whole: int, step: int) -> tuple[Any, Any]:
    """The blocks, and whether each has a row that is kept."""
    if keep is None or order is None:
        return blocks, None
    return blocks, jnp.any(keep[order[:whole]].reshape(whole // step, step), axis=1)


def _skipping(block: Block, zero: Array) -> Callable[[Arrays, Any], tuple[Arrays, Arrays]]:
    """The block where any of its rows is kept (None: all are), and zeros where none is."""

    def body(carry: Arrays, given: Any) -> tuple[Arrays, Arrays]:
        parts, any_kept = given
        if any_kept is None:
            return block(carry, parts)
        outputs = jax.eval_shape(block, carry, parts)[1]
        nothing = tuple(jnp.zeros(output.shape, output.dtype) + zero.astype(output.dtype) for output in outputs)
        found: tuple[Arrays, Arrays]
        found = lax.cond(any_kept, block, lambda carry, _: (carry, nothing), carry, parts)
        return found

    return body


def product(a: Array, b: Array) -> Array:
    """a times the transpose of b."""
    return lax.dot_general(a, b, (((1,), (1,)), ((), ())))


def add_product(total: Array, a: Array, b: Array) -> Array:
    """``total`` plus the transpose of a times b, some classes at a time."""
    classes = total.shape[0]
    if classes <= 2 * CLASSES:
        return total + _turned(a, b)
    whole = classes - classes % CLASSES

    def add(i: Array, total: Array) -> Array:
        start = i * CLASSES
        part = _turned(lax.dynamic_slice_in_dim(a, start, CLASSES, 1), b)
        part = lax.dynamic_slice_in_dim(total, start, CLASSES, 0) + part
        return lax.dynamic_update_slice_in_dim(total, part, start, 0)

    total = lax.fori_loop(jnp.int32(0), jnp.int32(whole // CLASSES), add, total)
    if whole == classes:
        return total
    part = total[whole:] + _turned(a[:, whole:], b)
    return lax.dynamic_update_slice_in_dim(total, part, whole, 0)


def _turned(a: Array, b: Array) -> Array:
    return lax.dot_general(a, b, (((0,), (0,)), ((), ())))
