"""``categorical_crossentropy`` and ``categorical_focal_crossentropy`` under Keras's signatures."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

import xentropy
from xentropy_keras import recovery
from xentropy_keras.arguments import (
    Tensor,
    class_axis,
    option,
    predictions,
    probabilities,
    require_same_shape,
    smoothing,
    soft_targets,
)
from xentropy_keras.symbolic import symbolic


@symbolic
def categorical_crossentropy(
    y_true: Tensor,
    y_pred: Tensor,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Cross-entropy of one-hot or soft targets, as ``keras.losses.categorical_crossentropy``.

    Args:
        y_true: one-hot rows or probabilities, of the predictions' shape; any dtype.
        y_pred: probabilities, normalised along ``axis`` and then clipped to [epsilon, 1 - epsilon] of
            ``keras.config.epsilon()``; or logits.
        from_logits: True if y_pred holds logits.
        label_smoothing: epsilon in [0, 1]: targets become y (1 - epsilon) + epsilon / classes.
        axis: the axis of the classes.

    Returns:
        Losses in nats, without ``axis``, in y_pred's dtype.

    Raises:
        ValueError: the shapes differ, there are no classes, ``axis`` is none, label_smoothing is outside [0, 1].

    Where it differs from Keras's: smoothing divides by the number of classes, where Keras divides by the size of the
    last axis whichever axis the classes are on; confident logits keep their loss and gradient, where Keras's are
    exactly 0; a logit of -inf with target 0 counts for nothing, where Keras's loss is NaN; the gradient is right for
    targets that don't sum to 1, where Keras's on TensorFlow is not; half precision is computed in float32; smoothing
    outside [0, 1] is refused; a row of zeros is uniform, where Keras's is NaN. Of probabilities whose logits Keras's
    softmax has left on them, the loss is the logits', not clipped, with torch as with TensorFlow; but where the logits
    belong to another activation, the probabilities count.

    Example:
        >>> loss = categorical_crossentropy([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]])
        >>> [round(float(x), 4) for x in loss]
        [0.0513, 2.3026]
    """
    y_pred = predictions(y_pred)
    y_true = soft_targets(y_true, y_pred)
    axis = class_axis(y_pred, axis)
    require_same_shape(y_true, y_pred)
    _warn_of_one_class(y_pred, axis, "categorical_crossentropy")
    loss: Any = partial(
        xentropy.cross_entropy, axis=axis, label_smoothing=smoothing(label_smoothing), reduction="none", validate=False
    )
    losses = recovery.evaluate(
        y_pred,
        from_logits=from_logits,
        of_logits=lambda x: loss(x, y_true),
        of_probabilities=lambda p: loss(probabilities(p, axis), y_true, from_logits=False),
        activation=partial(ops.softmax, axis=axis),
        axis=axis,
    )
    return ops.cast(losses, y_pred.dtype)


@symbolic
def categorical_focal_crossentropy(
    y_true: Tensor,
    y_pred: Tensor,
    alpha: float | Sequence[float] | Tensor = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Focal cross-entropy of one-hot or soft targets, as ``keras.losses.categorical_focal_crossentropy``.

    Each class's term is multiplied by alpha and by (1 - p)^gamma (Lin et al. 2017).

    Args:
        y_true: one-hot rows or probabilities, broadcastable with the predictions; any dtype.
        y_pred: probabilities, normalised and clipped as in ``categorical_crossentropy``, or logits.
        alpha: one weight, or one for every class; axes of size 1 besides may be there.
        gamma: exponent of the focal factor, at least 0.
        from_logits: True if y_pred holds logits.
        label_smoothing: epsilon in [0, 1]: targets become y (1 - epsilon) + epsilon / classes.
        axis: the axis of the classes.

    Returns:
        Losses in nats, without ``axis``, in y_pred's dtype.

    Raises:
        ValueError: the shapes don't broadcast, there are no classes, alpha has another length, ``axis`` is none, gamma
            is negative or label_smoothing is outside [0, 1].

    Where it differs from Keras's: logits are never clipped, where Keras's loss of a label at a logit of -50 is 4.03,
    with gradient 0; a list of alphas and the smoothing follow the axis of the classes, where Keras's follow the last
    axis; alphas that differ between rows and a negative gamma are refused; and as in ``categorical_crossentropy``.

    Example:
        >>> loss = categorical_focal_crossentropy([[0, 1, 0], [0, 0, 1]], [[0.05, 0.9, 0.05], [0.1, 0.85, 0.05]])
        >>> [f"{float(x):.4g}" for x in loss]
        ['0.0002634', '0.6759']
    """
    y_pred = predictions(y_pred)
    y_true = soft_targets(y_true, y_pred)
    dtype = y_pred.dtype
    own_axis = class_axis(y_pred, axis)
    _warn_of_one_class(y_pred, own_axis, "categorical_focal_crossentropy")
    if from_logits and y_pred.shape[own_axis] == 1 and tuple(y_true.shape) != tuple(y_pred.shape):
        # The softmax is that of one class, before it is broadcast to those of the targets.
        y_pred, from_logits = ops.exp(y_pred - y_pred), False
    if not from_logits:
        y_pred = probabilities(y_pred, own_axis)
    y_true, y_pred = _broadcast(y_true, y_pred)
    axis = class_axis(y_pred, axis)
    require_same_shape(y_true, y_pred)
    alpha = _class_weights(alpha, y_pred, axis)
    one = isinstance(alpha, numbers.Real) or (hasattr(alpha, "shape") and len(alpha.shape) == 0)
    losses = xentropy.cross_entropy(
        y_pred,
        y_true,
        axis=axis,
        class_weight=None if one else alpha,
        label_smoothing=smoothing(label_smoothing),
        from_logits=bool(from_logits),
        focal_gamma=option(gamma),
        reduction="none",
        validate=False,
    )
    if one:
        losses = losses * ops.cast(alpha, losses.dtype)
    return ops.cast(losses, dtype)


def _class_weights(alpha: Any, y_pred: Tensor, axis: int) -> Any:
    """Alpha as one number or with one axis, where it broadcasts along the classes alone."""
    alpha = option(ops.convert_to_tensor(alpha) if isinstance(alpha, keras.Variable) else alpha)
    if isinstance(alpha, (list, tuple)) and all(isinstance(a, (numbers.Real, list, tuple)) for a in alpha):
        alpha = np.asarray(alpha)
    shape = tuple(getattr(alpha, "shape", ()))
    if shape and math.prod(shape) == 1:
        return option(ops.reshape(alpha, ()) if ops.is_tensor(alpha) else np.reshape(alpha, ()))
    padded = (1,) * (len(y_pred.shape) - len(shape)) + shape
    if len(shape) > 1 and math.prod(padded) == padded[axis]:
        return ops.reshape(alpha, (-1,)) if ops.is_tensor(alpha) else np.reshape(alpha, -1)
    classes = y_pred.shape[axis]
    if shape and None not in (classes, *shape) and shape != (classes,):
        raise ValueError(f"alpha must be one number, or one for each of y_pred's {classes} classes, got shape {shape}")
    return alpha


def _broadcast(y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    if tuple(y_true.shape) == tuple(y_pred.shape):
        return y_true, y_pred
    return y_true + ops.cast(ops.zeros_like(y_pred), y_true.dtype), y_pred * ops.cast(
        ops.ones_like(y_true), y_pred.dtype
    )


def _warn_of_one_class(y_pred: Tensor, axis: int, name: str) -> None:
    if y_pred.shape[axis] == 1:
        warnings.warn(
            f"{name} of y_pred of shape {tuple(y_pred.shape)} has one class along axis {axis}; for two classes in one "
            "number there is binary_crossentropy",
            SyntaxWarning,
            stacklevel=4,
        )
