"""float64 for float32 and half inputs, whatever the user's x64 switch says.

The switch is thrown around the whole program. Transposing a program that was traced inside from outside would mix
dtypes, so its derivative is a rule of its own: the gradient is computed inside, rounded to float32, and multiplied
outside by whatever the loss is. Derivatives of that gradient are those of the float32 program.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from xentropy.dtypes import narrow
from xentropy.program import Program
from xentropy.rule import Arrays

Array = Any
Compiled = Callable[[Program, Arrays, Arrays, Arrays], Array]


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def run_wide(compiled: Compiled, program: Program, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
    """``compiled(program, ...)`` with float64 at hand."""
    with jax.enable_x64(True):
        return compiled(program, arrays, constants, weights)


@run_wide.defjvp
def _run_wide_jvp(
    compiled: Compiled, program: Program, primals: tuple[Arrays, ...], tangents: tuple[Arrays, ...]
) -> tuple[Array, Array]:
    value = run_wide(compiled, program, *primals)
    gradients = _wide_gradients(compiled, program, *primals)
    tangent = jnp.zeros_like(value)
    for gradient, pushed in zip(gradients, tangents[0], strict=True):
        term = gradient.astype(value.dtype) * pushed.astype(value.dtype)
        tangent = tangent + term.sum(axis=tuple(range(value.ndim, term.ndim)))
    return value, tangent


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _wide_gradients(compiled: Compiled, program: Program, arrays: Arrays, constants: Arrays, weights: Arrays) -> Arrays:
    with jax.enable_x64(True):
        wide = tuple(array.astype(jnp.float64) for array in arrays)
        gradients = _gradients(compiled, program, wide, constants, weights)
        # Not in half precision: what multiplies them, a tangent or a scaled loss, comes before that rounding.
        return tuple(narrow(jnp, gradient, jnp.float32, jax.lax.stop_gradient) for gradient in gradients)


@_wide_gradients.defjvp
def _wide_gradients_jvp(
    compiled: Compiled, program: Program, primals: tuple[Arrays, ...], tangents: tuple[Arrays, ...]
) -> tuple[Arrays, Arrays]:
    arrays, constants, weights = primals
    program32 = program.computing(program.result)
    arrays32, tangents32 = (tuple(array.astype(jnp.float32) for array in given) for given in (arrays, tangents[0]))
    _, pushed = jax.jvp(
        lambda given: _gradients(compiled, program32, given, constants, weights), (arrays32,), (tangents32,)
    )
    return _wide_gradients(compiled, program, *primals), pushed


def _gradients(compiled: Compiled, program: Program, arrays: Arrays, constants: Arrays, weights: Arrays) -> Arrays:
    gradients: Arrays = jax.grad(lambda given: compiled(program, given, constants, weights).sum())(arrays)
    return gradients
