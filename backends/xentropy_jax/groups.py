"""Classes along an axis of a mesh: the exchanges inside of a shard_map, and a loss that has one in its forward.

Where JAX checks along which axes the devices hold different values (``check_vma=True``), a sum over an axis holds the
same on each of its devices, and so does its cotangent: the way back exchanges nothing. Where it doesn't check, whatever
comes out of a device counts, and the transpose of a sum is a sum. The tangents here are sums over the group of what
each device has, so that both ways of counting are right, and the transpose is JAX's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from xentropy.dtypes import narrow
from xentropy.linear import LinearRule
from xentropy.rule import Arrays, Needs
from xentropy.sharded import Found, ShardedProgram, ShardedRule
from xentropy.sums import blocked_sum
from xentropy_jax.tangent import push

if TYPE_CHECKING:
    from xentropy_jax.backend import JaxBackend

Array = Any


def axes(group: Any) -> tuple[str, ...]:
    """The names of the axes, all of which are known here.

    Raises:
        TypeError: the group is neither a name nor a tuple of them.
        ValueError: there is no such axis here.
    """
    names = group if isinstance(group, tuple) else (group,)
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"group must be the name of an axis of the mesh, or a tuple of names, got {group!r}")
    for name in names:
        try:
            lax.axis_size(name)
        except NameError:
            raise ValueError(
                f"group: there is no axis named {name!r} here; call the loss inside of a jax.shard_map over a mesh "
                "that has it"
            ) from None
    return names


def part(group: Any) -> Array:
    """Which part this device has; of several axes, the last one counts fastest."""
    index = jnp.int32(0)
    for name in axes(group):
        index = index * lax.axis_size(name) + lax.axis_index(name)
    return index


def tell(message: bytes, group: Any) -> list[bytes]:
    """The messages of all parts, which one program makes: they are alike."""
    return [message] * lax.axis_size(axes(group))


def varying(x: Array) -> frozenset[str]:
    """Along which axes the devices hold different values, as far as JAX checks it."""
    of_type = jax.typeof(x)
    # Under its name of JAX 0.10, or the one before.
    new = getattr(of_type, "manual_axis_type", None)
    found: frozenset[str] = of_type.vma if new is None else new.varying
    return found


def spread(x: Array, group: Any) -> Array:
    """x, as something that may differ from device to device."""
    return _varying_along(x, axes(group))


def _varying_along(x: Array, names: Sequence[str]) -> Array:
    # Where nobody checks, and along the axes of a vmap, a device's own number has no such type either. The cast would
    # be differentiated all the same, in JAX 0.8: as a sum over the devices.
    missing = tuple(name for name in names if name not in varying(x) and name in varying(lax.axis_index(name)))
    if not missing:
        return x
    return lax.pcast(x, missing, to="varying") if hasattr(lax, "pcast") else lax.pvary(x, missing)


def varying_like(x: Array, *others: Array) -> Array:
    """x, as something that differs from device to device where any of the others does."""
    return _varying_along(x, tuple(frozenset().union(*map(varying, others))))


def all_gather(x: Array, group: Any) -> Array:
    """x of all parts, one after the other, which all devices hold alike."""
    names = axes(group)
    x = _varying_along(x, names)
    if not varying(x).intersection(names):
        # Nobody checks.
        return lax.all_gather(x, names)
    if hasattr(lax, "all_gather_invariant"):  # JAX 0.8
        return lax.all_gather_invariant(x, names)
    return lax.all_gather(x, names, to="invarying")


def all_sum(x: Array, group: Any) -> Array:
    """The sum of x over all parts, which all devices hold alike."""
    names = axes(group)
    return lax.psum(_varying_along(x, names), names)


def attach(backend: JaxBackend, rule: ShardedRule, arrays: Arrays, constants: Arrays) -> Arrays:
    """The rule's outputs, differentiable."""
    found: Arrays = _attached(backend, rule, arrays, constants)
    return found


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _attached(backend: JaxBackend, rule: ShardedRule, arrays: Arrays, constants: Arrays) -> Arrays:
    return rule.run(backend, arrays, constants)


@partial(_attached.defjvp, symbolic_zeros=True)
def _attached_jvp(
    backend: JaxBackend, rule: ShardedRule, primals: tuple[Arrays, Arrays], tangents: tuple[Arrays, Arrays]
) -> tuple[Arrays, Arrays]:
    given = [None if isinstance(tangent, SymbolicZero) else tangent for tangent in tangents[0]]
    outputs, kept = _run_keeping(backend, rule, *primals)
    return outputs, _pushed(backend, rule, primals, given, outputs, kept)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _run_keeping(backend: JaxBackend, rule: ShardedRule, arrays: Arrays, constants: Arrays) -> tuple[Arrays, Arrays]:
    """``rule.run_keeping``, whose outputs have the rule's derivative, and what is kept JAX's own."""
    return rule.run_keeping(backend, arrays, constants)


@_run_keeping.defjvp
def _run_keeping_jvp(
    backend: JaxBackend, rule: ShardedRule, primals: tuple[Arrays, Arrays], tangents: tuple[Arrays, Arrays]
) -> tuple[tuple[Arrays, Arrays], tuple[Arrays, Arrays]]:
    found = outputs, kept = _run_keeping(backend, rule, *primals)
    of_kept = jax.jvp(partial(rule.run_keeping, backend), primals, tangents)[1][1]
    return found, (_pushed(backend, rule, primals, tangents[0], outputs, kept), of_kept)


def _pushed(
    backend: JaxBackend,
    rule: ShardedRule,
    primals: tuple[Arrays, Arrays],
    tangents: Sequence[Array | None],
    outputs: Arrays,
    kept: Arrays,
) -> Arrays:
    """The tangents of the three outputs: the sums over the group of what each device's own arrays do to them."""
    arrays, constants = primals
    nothing = jnp.zeros_like(outputs[0])
    if all(tangent is None for tangent in tangents):
        return tuple(map(jnp.zeros_like, outputs))
    more = rule.for_gradient(nothing, kept, constants)
    known = [tangent for tangent in tangents if tangent is not None]
    part: Any = rule.part
    parts = [push(backend, part, arrays, more, (), tangents, varying_like(outputs[0], *arrays, *known))]
    of_soft = tangents[rule.shared :]
    if of_soft and of_soft[0] is not None:
        parts.append(_weight_pushed(backend, of_soft[0], constants, outputs[1].dtype))
    pushed = all_sum(jnp.stack(parts), rule.group)
    of_weight = pushed[1] if len(parts) > 1 else nothing
    return varying_like(pushed[0], outputs[0]), varying_like(of_weight, outputs[1]), jnp.zeros_like(outputs[2])


def _weight_pushed(backend: JaxBackend, tangent: Array, constants: Arrays, dtype: Any) -> Array:
    """How what the rows count for in a mean changes with the probabilities of a device's classes."""
    _, class_weight, _, keep = constants
    tangent = tangent.astype(dtype)
    if class_weight is not None:
        tangent = tangent * class_weight.astype(dtype)
    moved = blocked_sum(backend, tangent)
    return moved if keep is None else jnp.where(keep, moved, 0.0)


def run(backend: JaxBackend, program: ShardedProgram, arrays: Arrays, constants: Arrays, weights: Arrays) -> Found:
    """The program, compiled, under float64 if it is asked for."""
    rule: Any = program.rule
    linear = isinstance(rule.part, LinearRule)
    if linear:
        arrays = (spread(arrays[0], rule.group), *arrays[1:])
    way = _run if _wide(program) or (linear and program.reduction != "none") else _value
    return Found(*way(backend, program, arrays, constants, weights))


def _wide(program: ShardedProgram) -> bool:
    """Whether float64 needs a switch; see ``xentropy_jax.wide``."""
    return program.widens and not jax.config.jax_enable_x64


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _run(
    backend: JaxBackend, program: ShardedProgram, arrays: Arrays, constants: Arrays, weights: Arrays
) -> tuple[Array, Array]:
    """The program, whose gradients come with its value."""
    with jax.enable_x64(jax.config.jax_enable_x64 or program.widens):
        found: tuple[Array, Array] = _value(backend, program, arrays, constants, weights)
        return found


@partial(_run.defjvp, symbolic_zeros=True)
def _run_jvp(
    backend: JaxBackend, program: ShardedProgram, primals: tuple[Arrays, ...], tangents: tuple[Arrays, ...]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    rule: Any = program.rule
    needs = tuple(not isinstance(tangent, SymbolicZero) for tangent in tangents[0])
    known = [tangent for tangent, need in zip(tangents[0], needs, strict=True) if need]
    if program.reduction == "none" and isinstance(rule.part, LinearRule):
        # A gradient of the weights for every row would be too many.
        return _run(backend, program, *primals), _rows_pushed(backend, program, primals, needs, known)
    value, found, gradients = (_wide_joint if _wide(program) else _joint)(backend, program, needs, *primals)
    total = jnp.zeros_like(value)
    for gradient, pushed in zip(gradients, known, strict=True):
        # Blocked, since a plain sum over all classes would err by its length.
        term = gradient * pushed.astype(gradient.dtype)
        for _ in range(term.ndim - value.ndim):
            term = blocked_sum(backend, term)
        total = total + term.astype(value.dtype)
    return (value, found), (varying_like(all_sum(total, rule.group), value), jnp.zeros_like(found))


def _rows_pushed(
    backend: JaxBackend, program: ShardedProgram, primals: tuple[Arrays, ...], needs: Needs, known: Sequence[Array]
) -> tuple[Array, Array]:
    """The tangents by the rule of every row, in float32."""
    narrower: Any = program.computing(program.result)
    arrays, constants, weights = primals

    def moved(*given: Array) -> tuple[Array, Array]:
        rest = iter(given)
        full = tuple(next(rest) if need else array for array, need in zip(arrays, needs, strict=True))
        found: tuple[Array, Array] = _value(backend, narrower, full, constants, weights)
        return found

    at = tuple(array for array, need in zip(arrays, needs, strict=True) if need)
    pushed: tuple[Array, Array] = jax.jvp(moved, at, tuple(known))[1]
    return pushed


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _wide_joint(
    backend: JaxBackend, program: ShardedProgram, needs: Needs, arrays: Arrays, constants: Arrays, weights: Arrays
) -> tuple[Array, Array, Arrays]:
    with jax.enable_x64(True):
        value, found, gradients = _joint(backend, program, needs, arrays, constants, weights)
        # Not in half precision: what multiplies them, a tangent or a scaled loss, comes before that rounding.
        return value, found, tuple(narrow(jnp, gradient, jnp.float32, lax.stop_gradient) for gradient in gradients)


@_wide_joint.defjvp
def _wide_joint_jvp(
    backend: JaxBackend,
    program: ShardedProgram,
    needs: Needs,
    primals: tuple[Arrays, ...],
    tangents: tuple[Arrays, ...],
) -> tuple[Any, Any]:
    narrower: Any = program.computing(program.result)
    arrays, constants, weights = primals
    _, pushed = jax.jvp(
        lambda *given: _joint(backend, narrower, needs, given, constants, weights), arrays, tuple(tangents[0])
    )
    return _wide_joint(backend, program, needs, *primals), pushed


@partial(jax.jit, static_argnums=(0, 1))
def _value(
    backend: JaxBackend, program: ShardedProgram, arrays: Arrays, constants: Arrays, weights: Arrays
) -> tuple[Array, Array]:
    value, found = program(backend, arrays, constants, weights)
    return value, found.astype(value.dtype)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _joint(
    backend: JaxBackend, program: ShardedProgram, needs: Needs, arrays: Arrays, constants: Arrays, weights: Arrays
) -> tuple[Array, Array, Arrays]:
    """The value, and the gradients of its sum by a device's own arrays that are needed, in the compute dtype.

    Not by JAX's transposition, which counts the loss of every device where nobody checks what varies.
    """
    rule: Any = program.rule

    def reduced(losses: Array, each: Array) -> Array:
        return program.reduced_by(backend, losses, each, constants, weights)

    (losses, each, found), kept = _run_keeping(backend, rule, arrays, constants)
    value, pull = jax.vjp(reduced, losses, each)
    of_loss, of_weight = pull(varying_like(jnp.ones_like(value), value))
    more = rule.for_gradient(of_weight, kept, constants)
    if isinstance(rule.part, LinearRule):
        gradients = rule.part.gradients(backend, arrays, more, of_loss, needs)
    else:
        gradients = rule.part.gradient(backend, rule.options, arrays, more, (of_loss,), needs)
    return value, found.astype(value.dtype), tuple(gradient for gradient in gradients if gradient is not None)
