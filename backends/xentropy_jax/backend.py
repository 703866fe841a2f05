"""JAX: one cached jit per program, custom_jvp for every mode of differentiation, float64 without a switch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from xentropy.backend import ArrayAPIBackend
from xentropy.linear import LinearProgram, LinearRule
from xentropy.program import AnyProgram
from xentropy.rule import Arrays, Rule
from xentropy.sharded import ShardedProgram, ShardedRule
from xentropy.softmax import magnitude
from xentropy.sums import masked_put, set_aside_two_level, split_sum
from xentropy_jax import groups, linear
from xentropy_jax.keeping import keeps, kept, run_keeping
from xentropy_jax.log1p import log1p
from xentropy_jax.quotient import quotient
from xentropy_jax.sharding import meshed
from xentropy_jax.tangent import push
from xentropy_jax.wide import run_wide
from xentropy_numpy.backend import backend as numpy_backend

Array = Any


@jax.custom_jvp
def _rounded(product: Array) -> Array:
    """A product of which no fused multiply-add is made.

    ``split_sum`` reads its terms twice. Where XLA computes them twice and contracts one copy with what follows, the
    halves don't add up: 10 to 27 ulp of a loss of 64 to 512 classes. Barriers, and roundings that change nothing, are
    gone by then (in JAX 0.10); a selection stays.
    """
    return jnp.where(product < 0.0, product, jnp.abs(product))


_rounded.defjvp(lambda primals, tangents: (_rounded(*primals), *tangents))


class JaxBackend(ArrayAPIBackend):
    """Serves jax.Array and tracers."""

    name = "jax"

    def namespace(self, *arrays: Array) -> Any:
        return jnp

    def asarray(self, values: np.ndarray[Any, Any] | float, like: Array) -> Array:
        return jnp.asarray(values)

    def concrete(self, x: Array, *, sync: bool) -> Array | None:
        # Eager gradient tracers carry their value; those of jit and vmap have none.
        while isinstance(x, jax.core.Tracer):
            x = getattr(x, "primal", None)
        if x is None or not isinstance(x, jax.Array):
            return x
        if not x.is_fully_addressable:
            return None
        on_cpu = all(device.platform == "cpu" for device in x.devices())
        return x if sync or on_cpu else None

    def all_below(self, index: Array, size: int) -> bool:
        # In NumPy: inside jit, operations of JAX's on what is concrete would be traced.
        return numpy_backend.all_below(np.asarray(index).astype(np.int64), size)

    def as_index(self, x: Array) -> Array:
        return x.astype(jnp.int64 if x.dtype in (np.int64, np.uint64) else jnp.int32)

    def run(self, program: Any, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
        if isinstance(program, LinearProgram):
            return linear.run(self, program, arrays, constants, weights)
        if isinstance(program, ShardedProgram):
            return groups.run(self, program, arrays, constants, weights)
        program = meshed(program, arrays)
        if program.widens and not jax.config.jax_enable_x64:
            return run_wide(_compiled, program, arrays, constants, weights)
        return _compiled(kept(self, program, arrays), arrays, constants, weights)

    def attach(self, rule: Rule, arrays: Arrays, constants: Arrays) -> Arrays:
        if isinstance(rule, ShardedRule):
            return groups.attach(self, rule, arrays, constants)
        outputs: Arrays = _attached(rule, arrays, constants)
        return outputs

    def map_rows(self, fn: Callable[..., Arrays], arrays: Sequence[Array | None]) -> Arrays:
        return fn(*arrays)

    def scan_rows(
        self,
        fn: Callable[..., tuple[Arrays, Arrays]],
        carry: Arrays,
        rows: Sequence[Array | None],
        step: int,
        keep: Array | None,
    ) -> tuple[Arrays, Arrays]:
        return linear.scan_rows(fn, carry, rows, step, keep)

    def product(self, a: Array, b: Array, memory: Array | None = None) -> Array:
        return linear.product(a, b)

    def add_product(self, total: Array, a: Array, b: Array) -> Array:
        return linear.add_product(total, a, b)

    def devices(self) -> int:
        # How many of them a mesh has along its classes is not known while a program is traced.
        return min(int(jax.device_count()), 64)

    def part(self, group: Any) -> Any:
        return groups.part(group)

    def tell(self, message: bytes, group: Any, like: Array) -> list[bytes]:
        return groups.tell(message, group)

    def all_gather(self, x: Array, group: Any) -> Array:
        return groups.all_gather(x, group)

    def spread(self, x: Array, group: Any) -> Array:
        return groups.spread(x, group)

    def all_sum(self, x: Array, group: Any) -> Array:
        return groups.all_sum(x, group)

    def records(self) -> bool:
        return False

    def value_and_grad(self, loss: Callable[..., Array], arrays: Arrays) -> tuple[Array, Arrays]:
        value, gradients = jax.value_and_grad(loss, argnums=tuple(range(len(arrays))))(*arrays)
        return value, gradients

    def detach(self, x: Array) -> Array:
        return jax.lax.stop_gradient(x)

    def widen(self, x: Array) -> Array:
        return x

    def total(self, x: Array) -> Array:
        return split_sum(self, x)

    def dot(self, a: Array, b: Array) -> Array:
        return split_sum(self, _rounded(a * b))

    def columns(self, x: Array) -> Array:
        return jnp.arange(x.shape[-1], dtype=jnp.int32)

    def pick(self, x: Array, index: Array) -> Array:
        return jnp.take_along_axis(x, jnp.expand_dims(index, range(1, x.ndim)), axis=1)[:, 0]

    def put(self, x: Array, index: Array, value: Array | float) -> Array:
        # Into memory that is there, once XLA knows that x is needed no more. With a mask, the gradient at 4096 x 1000
        # takes 3.1 ms instead of 1.3: its loop is not vectorised.
        return x.at[jnp.arange(x.shape[0]), index].set(value, mode="promise_in_bounds", unique_indices=True)

    def without(self, x: Array, index: Array) -> Array:
        # Part of the loop that reads it; a scatter would copy x first.
        return masked_put(self, x, index, -np.inf)

    def log(self, x: Array) -> Array:
        return jnp.log(x)

    def log1p(self, x: Array) -> Array:
        return log1p(x)

    def quotient(self, x: Array, origin: Array | float, number: float) -> Array:
        # A product from which what it equals is subtracted leaves its rounding error, contracted: 97 ulp of a confident
        # row's capped logits, in parts.
        return quotient(_rounded(x), origin, number)

    def argmax(self, x: Array) -> Array:
        # Not jnp.argmax: lowered after x64 was switched off again, it mixes dtypes, and takes 75 ms at 1024 x 32,000,
        # these two reductions 53.
        largest = jnp.max(x, axis=-1, keepdims=True)
        return jnp.min(jnp.where(x == largest, self.columns(x), x.shape[-1] - 1), axis=-1)

    def tanh(self, x: Array) -> Array:
        # XLA's float32 tanh errs by up to 4.7 ulp, its expm1 by 0.7 (5.4 in JAX 0.10). Beyond 0.6 the
        # error is all in what is left to 1.
        size = magnitude(jnp, x)
        tail, left = jnp.expm1(-2.0 * size), jnp.exp(-2.0 * size)
        found = jnp.where(size < 0.6, -tail / (2.0 + tail), 1.0 - 2.0 * left / (1.0 + left))
        return jnp.where(x >= 0.0, 1.0, -1.0) * found

    def set_aside(self, x: Array, excluded: Array) -> tuple[Array, Array]:
        return set_aside_two_level(self, x, excluded)


backend = JaxBackend()


@partial(jax.jit, static_argnums=0)
def _compiled(program: AnyProgram, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
    return program(backend, arrays, constants, weights)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _attached(rule: Rule, arrays: Arrays, constants: Arrays) -> Arrays:
    return rule.run(backend, arrays, constants)


@partial(_attached.defjvp, symbolic_zeros=True)
def _attached_jvp(rule: Rule, primals: tuple[Arrays, Arrays], tangents: tuple[Arrays, Arrays]) -> tuple[Arrays, Arrays]:
    arrays, constants = primals
    given = [None if isinstance(tangent, SymbolicZero) else tangent for tangent in tangents[0]]
    if keeps(rule) and given[0] is not None:
        output, more = run_keeping(backend, rule, arrays, constants)
        return (output,), (push(backend, rule, arrays, constants, more, given, output),)
    outputs = _attached(rule, arrays, constants)
    known = sum(tangent is not None for tangent in given)
    if (known == 1 or isinstance(rule, LinearRule)) and len(outputs) == 1:
        return outputs, (push(backend, rule, arrays, constants, (), given, outputs[0]),)
    return outputs, rule.push_forward(backend, arrays, constants, given, outputs)
