"""What tf.nn checks of its losses' arguments, and rows as a matrix whatever rank the graph knows of."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

Array = Any

FLOATS = (tf.float16, tf.bfloat16, tf.float32, tf.float64)


def invalid(message: str, *, traced: type[Exception]) -> Exception:
    """tf.nn's exception for what its kernels refuse: InvalidArgumentError, but ``traced`` while a graph is built."""
    return tf.errors.InvalidArgumentError(None, None, message) if tf.executing_eagerly() else traced(message)


def require_dtype(argument: str, x: Array, allowed: tuple[Any, ...]) -> None:
    """Raise unless the tensor is of one of the dtypes."""
    if x.dtype not in allowed:
        names = ", ".join(dtype.name for dtype in allowed)
        raise invalid(f"{argument} has dtype {x.dtype.name}; it must be one of {names}", traced=TypeError)


def classes_last(x: Array, axis: int) -> Array:
    """x with its axis of classes moved to the end."""
    rank = x.shape.rank
    if rank is not None and not -rank <= axis < rank:
        raise invalid(f"axis {axis} is out of range for a tensor of shape {x.shape}", traced=ValueError)
    if axis == -1 or (rank is not None and axis % rank == rank - 1):
        return x
    count = tf.rank(x) if rank is None else rank
    place = axis if axis >= 0 else axis + count
    return tf.transpose(x, tf.concat([tf.range(place), tf.range(place + 1, count), [place]], axis=0))


def as_matrix(x: Array) -> Array:
    """(..., classes) as (rows, classes)."""
    return x if x.shape.rank == 2 else tf.reshape(x, tf.stack([-1, tf.shape(x)[-1]]))


def from_rows(losses: Array, like: Array, dtype: Any) -> Array:
    """One number a row in the shape that ``like`` has without its last axis."""
    losses = tf.reshape(losses, tf.shape(like)[:-1])
    if like.shape.rank is not None:
        losses.set_shape(like.shape[:-1])
    return tf.cast(losses, dtype)


def broadcast(first: Array, second: Array) -> tuple[Array, Array]:
    """Two tensors in the shape that they broadcast to."""
    if first.shape.is_fully_defined() and first.shape == second.shape:
        return first, second
    try:
        static = tf.broadcast_static_shape(first.shape, second.shape)
    except ValueError:
        message = f"tensors of shapes {first.shape} and {second.shape} do not broadcast to each other"
        raise invalid(message, traced=ValueError) from None
    shape = tf.broadcast_dynamic_shape(tf.shape(first), tf.shape(second))
    first, second = tf.broadcast_to(first, shape), tf.broadcast_to(second, shape)
    first.set_shape(static)
    second.set_shape(static)
    return first, second
