"""The part of the Array API namespace that the core uses, on TensorFlow's own operations."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

Array = Any

bool = tf.bool
int32, int64, float32, float64 = tf.int32, tf.int64, tf.float32, tf.float64
exp, expm1, log, log1p, tanh, abs = tf.exp, tf.math.expm1, tf.math.log, tf.math.log1p, tf.tanh, tf.abs
round = tf.round
logical_and, logical_or, logical_not = tf.logical_and, tf.logical_or, tf.logical_not
minimum, maximum = tf.minimum, tf.maximum


def astype(x: Array, dtype: Any, *, copy: builtins.bool = True) -> Array:
    """x in another dtype; tensors are immutable, so ``copy`` makes no difference."""
    return tf.cast(x, dtype)


def where(condition: Array, x: Array | float, y: Array | float) -> Array:
    """x where the condition holds, y elsewhere; a Python number takes the other's dtype."""
    dtype = x.dtype if tf.is_tensor(x) else y.dtype  # type: ignore[union-attr]
    return tf.where(condition, tf.convert_to_tensor(x, dtype), tf.convert_to_tensor(y, dtype))


def pow(x: Array, exponent: float) -> Array:
    """x to a fixed power."""
    return tf.pow(x, tf.cast(exponent, x.dtype))


def sum(x: Array, *, axis: int, keepdims: builtins.bool = False) -> Array:
    """Sum over one axis."""
    return tf.reduce_sum(x, axis=axis, keepdims=keepdims)


def max(x: Array, *, axis: int) -> Array:
    """Maximum over one axis."""
    return tf.reduce_max(x, axis=axis)


def matmul(x: Array, y: Array) -> Array:
    """The matrix product."""
    return tf.matmul(x, y)


def concat(arrays: Sequence[Array], *, axis: int = 0) -> Array:
    """The arrays one after the other along an axis."""

    @tf.custom_gradient
    def concatenated(*parts: Array) -> tuple[Array, Any]:
        def pulled(cotangent: Array) -> list[Array]:
            # Gathered rows have slices for theirs.
            cotangent = tf.convert_to_tensor(cotangent)
            stops = tf.cumsum([tf.shape(part)[axis] for part in parts])
            before = (slice(None),) * axis
            return [
                cotangent[(*before, slice(stops[i] - tf.shape(part)[axis], stops[i]))] for i, part in enumerate(parts)
            ]

        return tf.concat(parts, axis), pulled

    # By slices that TensorFlow differentiates under XLA too, unlike those of its own derivative.
    return concatenated(*arrays)


def stack(arrays: Sequence[Array], *, axis: int = 0) -> Array:
    """The arrays along a new axis."""
    return tf.stack(arrays, axis)


def argmax(x: Array, *, axis: int = 0) -> Array:
    """Index of the first maximum over one axis."""
    return tf.argmax(x, axis=axis)


def any(x: Array, *, axis: int | None = None) -> Array:
    """Whether any element is True."""
    return tf.reduce_any(x, axis=axis)


def take(x: Array, indices: Array, *, axis: int) -> Array:
    """The slices of x at the indices, along an axis."""
    return tf.gather(x, indices, axis=axis)


def reshape(x: Array, shape: Sequence[Any]) -> Array:
    """x in another shape; a size may be a scalar tensor."""
    return tf.reshape(x, shape if shape else tf.zeros([0], tf.int32))


def broadcast_to(x: Array, shape: Sequence[Any]) -> Array:
    """x repeated to a shape; a size may be a scalar tensor."""
    return tf.broadcast_to(x, shape if len(shape) else tf.zeros([0], tf.int32))


def permute_dims(x: Array, axes: Sequence[int]) -> Array:
    """x with its axes in another order."""
    return tf.transpose(x, axes)


def zeros_like(x: Array, dtype: Any = None) -> Array:
    """Zeros in the shape of x."""
    return tf.zeros_like(x, dtype=dtype)


def ones_like(x: Array, dtype: Any = None) -> Array:
    """Ones in the shape of x."""
    return tf.ones_like(x, dtype=dtype)


class iinfo:  # noqa: N801  (the standard's name)
    """The range of an integer dtype."""

    def __init__(self, dtype: Any) -> None:
        """Read the range off the dtype."""
        self.min, self.max = dtype.min, dtype.max
