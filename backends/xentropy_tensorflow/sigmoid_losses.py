"""Binary losses with tf.nn's signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xentropy import binary_cross_entropy
from xentropy_tensorflow.arguments import FLOATS, broadcast, invalid, require_dtype
from xentropy_tensorflow.version1 import run

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Array = Any


def sigmoid_cross_entropy_with_logits(
    labels: tf.Tensor | ArrayLike | None = None,
    logits: tf.Tensor | ArrayLike | None = None,
    name: str | None = None,
) -> tf.Tensor:
    """Binary cross-entropy of every element, in nats, as ``tf.nn.sigmoid_cross_entropy_with_logits``.

    Args:
        labels: probabilities of the positive class, of the logits' shape and dtype.
        logits: float16, bfloat16, float32 or float64, of any shape.
        name: of the operation.

    Returns:
        The loss of every element, in the logits' dtype. Gradients flow to both logits and labels.

    Raises:
        ValueError: an argument is missing, or the shapes differ.
        tf.errors.InvalidArgumentError: logits that are no floats, or labels of another dtype; while a graph is built,
            TypeError.

    It differs from tf.nn's at infinite logits, where it and its gradient are the limits (tf.nn: NaN), and in half
    precision, which is rounded once, at the end.

    Example:
        >>> import tensorflow as tf
        >>> loss = sigmoid_cross_entropy_with_logits(tf.constant([1.0, 0.0]), tf.constant([0.0, 2.0]))
        >>> [f"{value:.4f}" for value in loss.numpy()]
        ['0.6931', '2.1269']
    """
    if labels is None or logits is None:
        raise ValueError(f"Both `labels` and `logits` must be provided, got labels={labels!r} and logits={logits!r}")
    with tf.name_scope(name or "logistic_loss"):
        y, x = _pair(labels, logits)
        return _elements(x, y, None)


def weighted_cross_entropy_with_logits(
    labels: tf.Tensor | ArrayLike,
    logits: tf.Tensor | ArrayLike,
    pos_weight: tf.Tensor | ArrayLike,
    name: str | None = None,
) -> tf.Tensor:
    """Binary cross-entropy with a weight on the positive term, as ``tf.nn.weighted_cross_entropy_with_logits``.

    Args:
        labels: probabilities of the positive class, of the logits' shape and dtype.
        logits: float16, bfloat16, float32 or float64, of any shape.
        pos_weight: weight of the positive term, a number, an array or a tensor of the logits' dtype, of a shape that
            broadcasts against the logits'.
        name: of the operation.

    Returns:
        The loss of every element, in the logits' dtype. Gradients flow to logits, labels and, if it is a tensor,
        ``pos_weight``.

    Raises:
        ValueError: the shapes of labels and logits differ.
        TypeError: ``pos_weight`` is a list.
        tf.errors.InvalidArgumentError: a wrong dtype, or a ``pos_weight`` that doesn't broadcast; while a graph is
            built, TypeError or ValueError.

    It differs from tf.nn's as ``sigmoid_cross_entropy_with_logits`` does.

    Example:
        >>> import tensorflow as tf
        >>> loss = weighted_cross_entropy_with_logits(tf.constant([1.0, 0.0]), tf.constant([0.0, 2.0]), 2.0)
        >>> [f"{value:.4f}" for value in loss.numpy()]
        ['1.3863', '2.1269']
    """
    with tf.name_scope(name or "logistic_loss"):
        y, x = _pair(labels, logits)
        if pos_weight is None or isinstance(pos_weight, (list, tuple)):
            raise TypeError(f"pos_weight must be a number, an array or a tensor, got {pos_weight!r}")
        given = hasattr(pos_weight, "dtype") and tf.is_tensor(pos_weight)
        weight = tf.convert_to_tensor(pos_weight, None if given else x.dtype)
        require_dtype("pos_weight", weight, (x.dtype,))
        if weight.shape.rank != 0:
            weight, x = broadcast(weight, x)
            weight, y = broadcast(weight, y)
        return _elements(x, y, weight, differentiable=given)


def _losses(logits: Array, labels: Array, weight: Array | None = None) -> Array:
    return binary_cross_entropy(logits, labels, pos_weight=weight, reduction="none")


def _pair(labels: Any, logits: Any) -> tuple[Array, Array]:
    x, y = tf.convert_to_tensor(logits, name="logits"), tf.convert_to_tensor(labels, name="labels")
    if not x.shape.is_compatible_with(y.shape):
        raise ValueError(f"`logits` and `labels` must have the same shape, received ({x.shape} vs {y.shape}).")
    require_dtype("logits", x, FLOATS)
    if y.dtype != x.dtype:
        raise invalid(f"labels have dtype {y.dtype.name}; it must be the logits', {x.dtype.name}", traced=TypeError)
    return y, x


def _elements(logits: Array, labels: Array, weight: Array | None, *, differentiable: bool = False) -> Array:
    wide, y = broadcast(logits, labels)
    x = wide
    if x.shape.rank is None:
        x, y = (tf.reshape(part, [-1]) for part in (x, y))
    if weight is not None and weight.shape.rank != 0:
        weight = tf.reshape(tf.broadcast_to(weight, tf.shape(wide)), tf.shape(x))
    losses = run(_losses, x, y) if weight is None else run(_losses, x, y, weight)
    if differentiable:
        losses = losses + _by_weight(x, y, weight)
    losses = tf.reshape(losses, tf.shape(wide))
    losses.set_shape(wide.shape)
    return tf.cast(losses, logits.dtype)


def _by_weight(logits: Array, labels: Array, weight: Array) -> Array:
    """0, with the derivative by the weight, which is a constant to the core: the loss is linear in it."""
    positive = run(_losses, logits, tf.ones_like(logits))
    y, q = tf.cast(labels, positive.dtype), tf.cast(weight, positive.dtype)
    # An infinite one times 0 would be NaN.
    largest = positive.dtype.max
    term = tf.minimum(y * tf.minimum(positive, largest), largest)
    return term * (q - tf.stop_gradient(q))
