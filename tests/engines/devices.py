"""JAX: a part a device of a mesh, on as many devices as the CPU is said to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec

import xentropy
from engines import Whole

MOST = 4
AXIS = "classes"
WHOLE = PartitionSpec()


class UnequalError(ValueError):
    """The classes can't be shared out in equal parts, which is all that a mesh knows."""


def divide_cpu() -> None:
    """Into as many devices as there are parts; only before JAX computes anything."""
    jax.config.update("jax_num_cpu_devices", MOST)


@cache
def mesh(*sizes: int, kind: AxisType = AxisType.Auto) -> Mesh:
    """The classes along the last axis; before it rows, where there are two."""
    names = ("rows", AXIS)[-len(sizes) :]
    devices = jax.devices("cpu")[: int(np.prod(sizes))]
    return jax.make_mesh(sizes, names, axis_types=(kind,) * len(sizes), devices=devices)


def by_class(array: Any) -> PartitionSpec:
    """The last axis over all devices."""
    return PartitionSpec(*[None] * (np.ndim(array) - 1), AXIS)


def specs(arrays: Mapping[str, Any]) -> dict[str, PartitionSpec]:
    """How each argument of a loss is shared out."""
    along = {"logits", "class_weight", "class_mask"}
    if np.asarray(arrays["targets"]).dtype.kind == "f":
        along = along | {"targets"}
    return {name: by_class(a) if name in along else WHOLE for name, a in arrays.items()}


def mapped(
    arrays: Mapping[str, Any], static: Mapping[str, Any], parts: int, *, check_vma: bool = True
) -> Callable[[Mapping[str, Any]], Any]:
    """The loss of all classes, as a function of the arrays by name."""
    given: Callable[[Mapping[str, Any]], Any] = jax.shard_map(
        lambda own: xentropy.cross_entropy(**own, **static, group=AXIS),
        mesh=mesh(parts),
        in_specs=(specs(arrays),),
        out_specs=WHOLE,
        check_vma=check_vma,
    )
    return given


def evaluate(
    arrays: Mapping[str, np.ndarray[Any, Any]],
    static: Mapping[str, Any],
    parts: int,
    wrt: tuple[str, ...],
    *,
    check_vma: bool = True,
) -> Whole:
    """See ``engines.Engine``.

    Raises:
        UnequalError: the classes can't be shared out in equal parts.
    """
    if arrays["logits"].shape[-1] % parts:
        raise UnequalError(f"{arrays['logits'].shape[-1]} classes on {parts} devices")
    loss = mapped(arrays, static, parts, check_vma=check_vma)
    fixed = {name: a for name, a in arrays.items() if name not in wrt}

    def total(moving: Mapping[str, Any], fixed: Mapping[str, Any]) -> tuple[Any, Any]:
        value = loss({**fixed, **moving})
        return value.sum(), value

    moving = {name: arrays[name] for name in wrt}
    if not wrt:
        gradients, value = {}, jax.jit(total)(moving, fixed)[1]
    else:
        gradients, value = jax.jit(jax.grad(total, has_aux=True))(moving, fixed)
    pieces = [np.asarray(piece.data) for piece in value.addressable_shards]
    for piece in pieces:
        np.testing.assert_array_equal(piece, pieces[0])
    return Whole(pieces[0], tuple(np.asarray(gradients[name]) for name in wrt))
