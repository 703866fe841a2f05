"""A rule's derivative as an operation of JAX's, which knows both ways to apply it: to a tangent and to a cotangent.

JAX finds the second from the first, and puts the cotangent behind all the rest: one more pass over an array of the
logits' size, where the rule has one number per row to multiply. ``jax.custom_derivatives.linear_call`` tells it the
transpose as well, but can't be vmapped (JAX 0.12).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from xentropy.rule import Arrays, Rule

if TYPE_CHECKING:
    from xentropy_jax.backend import JaxBackend

Array = Any

_pushed = Primitive("xentropy_tangent")


def push(
    backend: JaxBackend,
    rule: Rule,
    arrays: Arrays,
    constants: Arrays,
    kept: Arrays,
    tangents: Sequence[Array | None],
    output: Array,
) -> Array:
    """The tangent of the rule's one output, given one tangent (or None, for zero) per array.

    With what ``rule.run_keeping`` kept, unless this is differentiated in its turn.
    """
    moved = tuple(i for i, tangent in enumerate(tangents) if tangent is not None)
    known = [tangents[i] for i in moved]
    if any(_varies(tangent) != _varies(output) for tangent in known):
        # In a shard_map: JAX's own operations say where a cotangent has to be added up.
        return rule.push_forward(backend, arrays, constants, tangents, (output,))[0]
    flat, tree = jax.tree.flatten((arrays, constants, kept))
    found: Array = _pushed.bind(*flat, output, *known, backend=backend, rule=rule, tree=tree, moved=moved)
    return found


def _push(
    *flat: Array, backend: JaxBackend, rule: Rule, tree: Any, moved: tuple[int, ...], again: bool = False
) -> Array:
    (*rest, output), tangents = _parted(flat, moved)
    arrays, constants, kept = jax.tree.unflatten(tree, rest)
    given: list[Array | None] = [None for _ in arrays]
    for i, tangent in zip(moved, tangents, strict=True):
        given[i] = tangent
    return rule.push_forward(backend, arrays, constants, given, (output,), () if again else kept)[0]


def _parted(flat: Sequence[Array], moved: tuple[int, ...]) -> tuple[Sequence[Array], Sequence[Array]]:
    return flat[: -len(moved)], flat[-len(moved) :]


def _varies(x: Array) -> Any:
    """Along which axes of a mesh the devices hold different values, under its name of JAX 0.12 or the one before."""
    of_type = jax.typeof(x)
    return getattr(of_type, "manual_axis_type", getattr(of_type, "vma", None))


def _transposed(
    cotangent: Array, *flat: Array, backend: JaxBackend, rule: Rule, tree: Any, moved: tuple[int, ...]
) -> list[Array | None]:
    (*rest, output), tangents = _parted(flat, moved)
    others: list[Array | None] = [None for _ in (*rest, output)]
    if type(cotangent) is ad.Zero:
        return [*others, *(ad.Zero(tangent.aval) for tangent in tangents)]
    arrays, constants, kept = jax.tree.unflatten(tree, rest)
    needs = tuple(i in moved for i in range(len(arrays)))
    found = rule.pull_back(backend, arrays, constants, (cotangent,), needs, kept)
    return [*others, *(found[i] for i in moved)]


def _jvp(
    primals: Sequence[Array], tangents: Sequence[Array], *, moved: tuple[int, ...], **more: Any
) -> tuple[Array, Array]:
    params = {**more, "moved": moved}
    found = _pushed.bind(*primals, **params)
    given, (fixed, linear) = _parted(primals, moved)[0], _parted(tangents, moved)
    if all(type(tangent) is ad.Zero for tangent in fixed):
        return found, _pushed.bind(*given, *map(ad.instantiate_zeros, linear), **params)
    known = tuple(map(ad.instantiate_zeros, tangents))
    return found, jax.jvp(partial(_push, again=True, **params), tuple(primals), known)[1]


def _batched(args: Sequence[Array], axes: Sequence[int | None], **params: Any) -> tuple[Array, int]:
    return jax.vmap(partial(_push, **params), in_axes=tuple(axes))(*args), 0


_pushed.def_impl(jax.jit(_push, static_argnames=("backend", "rule", "tree", "moved")))
_pushed.def_abstract_eval(lambda *avals, moved, **_: avals[-1 - len(moved)])
mlir.register_lowering(_pushed, mlir.lower_fun(_push, multiple_results=False))
ad.primitive_jvps[_pushed] = _jvp
ad.primitive_transposes[_pushed] = _transposed
batching.primitive_batchers[_pushed] = _batched
