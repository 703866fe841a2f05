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
    index: int,
    tangent: Array,
    output: Array,
) -> Array:
    """The tangent of the rule's one output, given that of one array.

    With what ``rule.run_keeping`` kept, unless this is differentiated in its turn.
    """
    if _varies(tangent) != _varies(output):
        # In a shard_map: JAX's own operations say where a cotangent has to be added up.
        return rule.push_forward(backend, arrays, constants, _only(len(arrays), index, tangent), (output,))[0]
    flat, tree = jax.tree.flatten((arrays, constants, kept))
    found: Array = _pushed.bind(*flat, output, tangent, backend=backend, rule=rule, tree=tree, index=index)
    return found


def _push(*flat: Array, backend: JaxBackend, rule: Rule, tree: Any, index: int, again: bool = False) -> Array:
    *rest, output, tangent = flat
    arrays, constants, kept = jax.tree.unflatten(tree, rest)
    given, kept = _only(len(arrays), index, tangent), () if again else kept
    return rule.push_forward(backend, arrays, constants, given, (output,), kept)[0]


def _only(count: int, index: int, tangent: Array) -> list[Array | None]:
    return [tangent if i == index else None for i in range(count)]


def _varies(x: Array) -> Any:
    """Along which axes of a mesh the devices hold different values, under its name of JAX 0.12 or the one before."""
    of_type = jax.typeof(x)
    return getattr(of_type, "manual_axis_type", getattr(of_type, "vma", None))


def _transposed(
    cotangent: Array, *flat: Array, backend: JaxBackend, rule: Rule, tree: Any, index: int
) -> list[Array | None]:
    *rest, output, tangent = flat
    others: list[Array | None] = [None for _ in (*rest, output)]
    if type(cotangent) is ad.Zero:
        return [*others, ad.Zero(tangent.aval)]
    arrays, constants, kept = jax.tree.unflatten(tree, rest)
    needs = tuple(i == index for i in range(len(arrays)))
    return [*others, rule.pull_back(backend, arrays, constants, (cotangent,), needs, kept)[index]]


def _jvp(primals: Sequence[Array], tangents: Sequence[Array], **params: Any) -> tuple[Array, Array]:
    found = _pushed.bind(*primals, **params)
    if all(type(tangent) is ad.Zero for tangent in tangents[:-1]):
        return found, _pushed.bind(*primals[:-1], ad.instantiate_zeros(tangents[-1]), **params)
    known = tuple(map(ad.instantiate_zeros, tangents))
    return found, jax.jvp(partial(_push, again=True, **params), tuple(primals), known)[1]


def _batched(args: Sequence[Array], axes: Sequence[int | None], **params: Any) -> tuple[Array, int]:
    return jax.vmap(partial(_push, **params), in_axes=tuple(axes))(*args), 0


_pushed.def_impl(jax.jit(_push, static_argnames=("backend", "rule", "tree", "index")))
_pushed.def_abstract_eval(lambda *avals, **_: avals[-2])
mlir.register_lowering(_pushed, mlir.lower_fun(_push, multiple_results=False))
ad.primitive_jvps[_pushed] = _jvp
ad.primitive_transposes[_pushed] = _transposed
batching.primitive_batchers[_pushed] = _batched
