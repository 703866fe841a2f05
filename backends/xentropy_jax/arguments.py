"""From optax's arguments to the core's: dtypes, axes that are merged and moved last, masks, broadcasting."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from xentropy import cross_entropy
from xentropy_jax import groups

Axis = int | tuple[int, ...] | None


class Rows(NamedTuple):
    """Arguments of a softmax loss of one common shape (..., classes).

    Attributes:
        logits: of a dtype that the core computes in.
        labels: class indices without the last axis, or targets.
        mask: bool, True for a class that counts; None without ``where``.
    """

    logits: jax.Array
    labels: jax.Array
    mask: jax.Array | None


def row_losses(rows: Rows, axis_name: str | tuple[str, ...] | None = None) -> jax.Array:
    """The core's loss of every row; one whose classes are all masked, on all devices, is removed."""
    logits, labels, mask = rows
    counts = None if mask is None else jnp.any(mask, axis=-1).astype(jnp.float32)
    if counts is not None and axis_name is not None:
        counts = (groups.all_sum(counts, axis_name) > 0.0).astype(jnp.float32)
    # optax raises for no value; what it can't use is NaN.
    return cross_entropy(
        logits,
        labels,
        class_mask=mask,
        sample_weight=counts,
        reduction="none",
        validate=False,
        group=axis_name,
    )


def require(argument: str, value: ArrayLike, kind: Any) -> jax.Array:
    """The argument as an array.

    Raises:
        TypeError: its dtype is not of the kind, or it is no array at all.
    """
    dtype = jax.dtypes.result_type(value)
    if not jnp.issubdtype(dtype, kind):
        raise TypeError(f"{argument} has dtype {dtype}, but it must be a subdtype of {kind.__name__}")
    return jnp.asarray(value)


def in_compute_dtype(x: jax.Array, result: jnp.dtype) -> jax.Array:
    """The numbers in float64 or float32, where the core would otherwise lose digits of the labels or not take them."""
    if result == np.float64:
        return x.astype(result)
    return x if x.dtype in (np.float32, jnp.float16, jnp.bfloat16) else x.astype(np.float32)


def probability_rows(
    logits: jax.Array, labels: ArrayLike, axis: Axis, where: ArrayLike | None, result: jnp.dtype
) -> Rows:
    """Logits and targets that broadcast against each other, classes along one axis, several, or all.

    Raises:
        ValueError: an axis that doesn't exist, or shapes that don't broadcast.
    """
    targets, ndim = jnp.asarray(labels), logits.ndim
    axes = _axes(range(ndim) if axis is None else axis, ndim)
    if axis is not None and targets.ndim > ndim and min(operator.index(a) for a in _as_tuple(axis)) >= 0:
        raise ValueError(
            f"axis {axis} is one axis of logits of shape {logits.shape} and another of labels of shape "
            f"{targets.shape}; count it from the end"
        )
    mask = None if where is None else _mask(where, axis, logits)
    if axis is None:
        targets = targets.sum(axis=tuple(range(max(targets.ndim - ndim, 0))))
    targets = targets.reshape((1,) * (ndim - targets.ndim) + targets.shape)
    # One logit against many targets: its probability is theirs all.
    alone = tuple(a for a in axes if logits.shape[a] == 1 != targets.shape[a])
    targets = targets.sum(axis=alone, keepdims=True) if alone else targets
    sizes = {a: logits.shape[a] for a in axes}
    parts = [_classes_last(part, axes, sizes) for part in (logits, targets, mask) if part is not None]
    shape = common_shape(_shapes(logits, labels, where), [part.shape for part in parts])
    x, t, *rest = (jnp.broadcast_to(part, shape) for part in parts)
    t = jnp.where(rest[0], t, 0) if rest else t
    return Rows(in_compute_dtype(x, result), in_compute_dtype(t.astype(result), result), rest[0] if rest else None)


def index_rows(logits: jax.Array, labels: jax.Array, axis: int | tuple[int, ...], where: ArrayLike | None) -> Rows:
    """Logits and class indices; an index counts along several axes in the order in which they are given.

    Raises:
        ValueError: an axis that is no int or tuple or doesn't exist, or shapes that don't broadcast.
    """
    if not isinstance(axis, (int, tuple)):
        raise ValueError(f"axis must be an int or a tuple of ints, got {axis!r} of type {type(axis).__name__}")
    axes = _axes(axis, logits.ndim)
    if labels.ndim != logits.ndim - len(axes):
        raise ValueError(
            f"labels have shape {labels.shape}, but for logits of shape {logits.shape} and axis {axis} they must "
            f"have {logits.ndim - len(axes)} axes"
        )
    sizes = {a: logits.shape[a] for a in axes}
    mask = None if where is None else _mask(where, axis, logits)
    parts = [_classes_last(part, axes, sizes) for part in (logits, mask) if part is not None]
    rows = common_shape(_shapes(logits, labels, where), [labels.shape, *(part.shape[:-1] for part in parts)])
    x, *rest = (jnp.broadcast_to(part, (*rows, part.shape[-1])) for part in parts)
    return Rows(in_compute_dtype(x, x.dtype), jnp.broadcast_to(labels, rows), rest[0] if rest else None)


def _shapes(logits: jax.Array, labels: ArrayLike, where: ArrayLike | None) -> dict[str, tuple[int, ...]]:
    given = {"logits": logits.shape, "labels": jnp.shape(labels)}
    return given if where is None else given | {"where": jnp.shape(where)}


def _mask(where: ArrayLike, axis: Axis, logits: jax.Array) -> jax.Array:
    mask = jnp.asarray(where)
    if mask.dtype != bool:
        raise ValueError(f"where has dtype {mask.dtype}; it must be bool, True for a class that counts")
    if mask.ndim != logits.ndim:
        if axis is None:
            raise ValueError(f"where has shape {mask.shape}; for axis=None it must have as many axes as the logits")
        mask = jnp.expand_dims(mask, axis)
    return mask


def _as_tuple(axis: int | Sequence[int]) -> tuple[int, ...]:
    return tuple(axis) if isinstance(axis, Sequence) else (axis,)


def _axes(axis: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """The axes counted from the end, in the order given."""
    found = tuple(operator.index(a) for a in _as_tuple(axis))
    for a in found:
        if not -ndim <= a < ndim:
            raise ValueError(f"axis {a} is out of bounds for logits with {ndim} axes")
    counted = tuple(a % ndim - ndim for a in found)
    if len(set(counted)) != len(counted):
        raise ValueError(f"axis {axis} names an axis twice")
    return counted


def _classes_last(x: jax.Array, axes: tuple[int, ...], sizes: dict[int, int]) -> jax.Array:
    """The class axes, broadcast to the logits' sizes, moved to the end and made one."""
    shape = list(x.shape)
    for a, size in sizes.items():
        shape[a] = size if shape[a] == 1 else shape[a]
    x = jnp.broadcast_to(x, shape)
    x = jnp.moveaxis(x, axes, range(-len(axes), 0))
    kept = x.ndim - len(axes)
    return x.reshape(*x.shape[:kept], math.prod(x.shape[kept:]))


def common_shape(given: dict[str, tuple[int, ...]], shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that all broadcast to; an error that names the shapes that were given."""
    try:
        found: tuple[int, ...] = jnp.broadcast_shapes(*shapes)  # sizes may be symbols
        return found
    except ValueError:
        named = " and ".join(f"{argument} of shape {shape}" for argument, shape in given.items())
        # As jax.numpy does it, whose multiplication optax leaves this to.
        error = TypeError if len(given["logits"]) == len(given["labels"]) else ValueError
        raise error(f"{named} do not fit: incompatible shapes for broadcasting") from None
