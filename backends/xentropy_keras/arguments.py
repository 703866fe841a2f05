"""From what Keras's users give to what the core takes: tensors, dtypes, shapes, probabilities, labels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any
"""A tensor of the backend that Keras runs on, or anything that ``keras.ops.convert_to_tensor`` takes."""

_USABLE_LABEL = 2**30


def predictions(y_pred: Tensor) -> Tensor:
    """y_pred as a tensor of floats; integers become Keras's default float."""
    y_pred = ops.convert_to_tensor(y_pred)
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(y_pred.dtype)):
        return y_pred
    return ops.cast(y_pred, keras.config.floatx())


def wide(x: Tensor, like: Tensor) -> Tensor:
    """x in the dtype that predictions ``like`` compute in: float64 for float64, float32 for all others."""
    dtype = keras.backend.standardize_dtype(like.dtype)
    return ops.cast(x, "float64" if dtype == "float64" else "float32")


def soft_targets(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """y_true as floats, in the dtype that the predictions compute in."""
    return wide(ops.convert_to_tensor(y_true), y_pred)


def probabilities(y_pred: Tensor, axis: int | None = None) -> Tensor:
    """Probabilities clipped to [epsilon, 1 - epsilon] of ``keras.config.epsilon()``, rows along ``axis`` normalised.

    Rows of zeros count as uniform.
    """
    p = wide(y_pred, y_pred)
    if axis is not None:
        total = ops.sum(p, axis=axis, keepdims=True)
        nothing = ops.all(p == 0.0, axis=axis, keepdims=True)
        # Twice, for the derivative of 0 / 0 is NaN where it is not chosen too.
        shares = p / ops.where(nothing, ops.ones_like(total), total)
        p = ops.where(nothing, ops.full_like(p, 1.0 / max(p.shape[axis] or 1, 1)), shares)
    # As tensors: with torch, ops.clip rounds numbers to float32 first.
    low, high = keras.config.epsilon(), 1.0 - keras.config.epsilon()
    return ops.clip(p, ops.cast(low, p.dtype), ops.cast(high, p.dtype))


def class_axis(y_pred: Tensor, axis: int) -> int:
    """The axis of the classes, counted from the front.

    Raises:
        ValueError: axis is no integer, or there is none such.
    """
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise ValueError(f"`axis` must be of type `int`, got axis={axis!r} of type {type(axis).__name__}")
    rank = len(y_pred.shape)
    if not -rank <= axis < rank:
        raise ValueError(f"`axis` is {axis}, but y_pred has shape {tuple(y_pred.shape)}")
    return int(axis) % rank


def labels(y_true: Tensor) -> Tensor:
    """y_true as integers: bool becomes 0 and 1, floats are cut to whole numbers.

    NumPy's integers stay as they are, for JAX would wrap those that don't fit 32 bits into range.
    """
    if not isinstance(y_true, np.ndarray):
        y_true = ops.convert_to_tensor(y_true)
    dtype = keras.backend.standardize_dtype(y_true.dtype)
    if keras.backend.is_int_dtype(dtype):
        return y_true
    if keras.backend.is_float_dtype(dtype):
        # NaN and what no 32 bits hold must stay out of range; each library casts it to something else.
        y_true = ops.convert_to_tensor(y_true)
        y_true = ops.where(ops.abs(y_true) < _USABLE_LABEL, y_true, -_USABLE_LABEL)
    return ops.cast(y_true, "int32")


def require_same_shape(y_true: Tensor, y_pred: Tensor) -> None:
    """Raise ValueError unless the shapes agree wherever both are known."""
    if not agree(tuple(y_true.shape), tuple(y_pred.shape)):
        raise ValueError(
            f"y_true and y_pred must have the same shape, got {tuple(y_true.shape)} and {tuple(y_pred.shape)}"
        )


def require_row_shape(y_true: Tensor, y_pred: Tensor, axis: int) -> None:
    """Raise ValueError unless y_true has the shape of y_pred without the axis of the classes."""
    shape = tuple(y_pred.shape)
    if not agree(tuple(y_true.shape), shape[:axis] + shape[axis + 1 :]):
        raise ValueError(
            f"y_true must have the same shape as y_pred without axis {axis}, got {tuple(y_true.shape)} and {shape}"
        )


def option(value: Any) -> Any:
    """An option as a Python number where it is bool or has no axes; the core checks its domain.

    Tensors of a graph that is being traced have no value yet and stay as they are.
    """
    if isinstance(value, bool):
        return float(value)
    if getattr(value, "shape", None) is None or len(value.shape) > 0:
        return value
    try:
        value = ops.convert_to_numpy(value).item()
    except (AttributeError, NotImplementedError, TypeError):
        return value
    return float(value) if isinstance(value, bool) else value


def smoothing(label_smoothing: Any) -> Any:
    """label_smoothing as a number; None is 0."""
    return 0.0 if label_smoothing is None else option(label_smoothing)


def agree(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Whether two shapes are the same wherever both are known."""
    return len(a) == len(b) and all(x == y or x is None or y is None for x, y in zip(a, b, strict=True))
