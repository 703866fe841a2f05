"""``binary_crossentropy`` and ``binary_focal_crossentropy`` under Keras's signatures."""

from __future__ import annotations

from functools import partial
from typing import Any

from keras import ops

import xentropy
from xentropy_keras import recovery
from xentropy_keras.arguments import (
    Tensor,
    option,
    predictions,
    probabilities,
    require_same_shape,
    smoothing,
    soft_targets,
    wide,
)
from xentropy_keras.symbolic import symbolic


@symbolic
def binary_crossentropy(
    y_true: Tensor,
    y_pred: Tensor,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int | tuple[int, ...] | None = -1,
) -> Tensor:
    """Binary cross-entropy, averaged over an axis, as ``keras.losses.binary_crossentropy``.

    Args:
        y_true: 0, 1 or probabilities of class 1, of the predictions' shape; any dtype.
        y_pred: probabilities of class 1, clipped to [epsilon, 1 - epsilon] of ``keras.config.epsilon()``, or logits.
        from_logits: True if y_pred holds logits.
        label_smoothing: epsilon in [0, 1]: targets become y (1 - epsilon) + epsilon / 2.
        axis: the axis, or axes, of the mean.

    Returns:
        Losses in nats, without ``axis``, in y_pred's dtype.

    Raises:
        ValueError: the shapes differ, or label_smoothing is outside [0, 1].

    Where it differs from Keras's: logits of +-inf have the loss that is the limit, where Keras's is NaN; half precision
    is computed in float32; smoothing outside [0, 1] is refused; integer predictions are taken on every backend. Of
    probabilities whose logits Keras's sigmoid has left on them, the loss is the logits', not clipped, with torch as
    with TensorFlow; but where the logits belong to another activation, the probabilities count.

    Example:
        >>> loss = binary_crossentropy([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]])
        >>> [round(float(x), 4) for x in loss]
        [0.9163, 0.7136]
    """
    y_pred = predictions(y_pred)
    y_true = soft_targets(y_true, y_pred)
    require_same_shape(y_true, y_pred)
    losses = _elements(y_true, y_pred, from_logits, smoothing(label_smoothing))
    return ops.cast(ops.mean(losses, axis=axis), y_pred.dtype)


@symbolic
def binary_focal_crossentropy(
    y_true: Tensor,
    y_pred: Tensor,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int | tuple[int, ...] | None = -1,
) -> Tensor:
    """Focal binary cross-entropy, averaged over an axis, as ``keras.losses.binary_focal_crossentropy``.

    Each element's loss is multiplied by the gamma-th power of the probability that the prediction is wrong,
    y (1 - p) + (1 - y) p, with smoothed y (Lin et al. 2017, for labels 0 and 1).

    Args:
        y_true: 0, 1 or probabilities of class 1, of the predictions' shape; any dtype.
        y_pred: probabilities of class 1, clipped as in ``binary_crossentropy`` in the cross-entropy, or logits.
        apply_class_balancing: whether to multiply by y alpha + (1 - y) (1 - alpha).
        alpha: weight of class 1.
        gamma: exponent of the focal factor, at least 0.
        from_logits: True if y_pred holds logits.
        label_smoothing: epsilon in [0, 1]: targets become y (1 - epsilon) + epsilon / 2.
        axis: the axis, or axes, of the mean.

    Returns:
        Losses in nats, without ``axis``, in y_pred's dtype.

    Raises:
        ValueError: the shapes differ, gamma is negative or label_smoothing is outside [0, 1].

    Where it differs from Keras's: logits are never clipped (with torch and JAX, Keras's loss of a logit of -50 at label
    1 is 16.12, its gradient 0); a negative gamma and smoothing outside [0, 1] are refused; a factor of 0 has a gradient
    of 0, where Keras's is NaN for gamma < 1; and as in ``binary_crossentropy``.

    Example:
        >>> loss = binary_focal_crossentropy([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]])
        >>> [round(float(x), 4) for x in loss]
        [0.3299, 0.2058]
    """
    gamma = option(gamma)
    if gamma < 0.0:
        raise ValueError(f"gamma must be >= 0, got {gamma!r}")
    y_pred = predictions(y_pred)
    y_true = soft_targets(y_true, y_pred)
    require_same_shape(y_true, y_pred)
    epsilon = smoothing(label_smoothing)
    losses = _elements(y_true, y_pred, from_logits, epsilon, gamma)
    if apply_class_balancing:
        smoothed = y_true * (1.0 - epsilon) + 0.5 * epsilon
        alpha = option(alpha)
        losses = (smoothed * alpha + (1.0 - smoothed) * (1.0 - alpha)) * losses
    return ops.cast(ops.mean(losses, axis=axis), y_pred.dtype)


def _elements(y_true: Tensor, y_pred: Tensor, from_logits: bool, epsilon: float, gamma: float | None = None) -> Tensor:
    """The loss of every element; focal where there is a gamma."""
    focal = gamma is not None
    loss: Any = partial(xentropy.binary_cross_entropy, label_smoothing=epsilon, reduction="none")

    def of_logits(z: Tensor) -> Tensor:
        losses = loss(z, y_true)
        if not gamma:
            return losses
        z = wide(z, z)
        return _factor(y_true, ops.sigmoid(-z), ops.sigmoid(z), epsilon, gamma) * losses

    def of_probabilities(p: Tensor) -> Tensor:
        losses = loss(probabilities(p), y_true, from_logits=False)
        if not gamma:
            return losses
        p = wide(p, p)
        return _factor(y_true, 1.0 - p, p, epsilon, gamma) * losses

    return recovery.evaluate(
        y_pred,
        from_logits=from_logits,
        of_logits=of_logits,
        of_probabilities=of_probabilities,
        activation=ops.sigmoid,
        keeps_from_logits=focal,
    )


def _factor(y_true: Tensor, not_p: Tensor, p: Tensor, epsilon: float, gamma: float) -> Tensor:
    """(1 - p_t)^gamma, Keras's factor: one for both terms of a soft target, where the core has one for each."""
    y_true = y_true * (1.0 - epsilon) + 0.5 * epsilon
    wrong = y_true * not_p + (1.0 - y_true) * p
    # Negative for targets outside [0, 1].
    some = wrong != 0.0
    # 0 to a power below 1 has an infinite derivative.
    return ops.where(some, ops.power(ops.where(some, wrong, ops.ones_like(wrong)), gamma), ops.zeros_like(wrong))
