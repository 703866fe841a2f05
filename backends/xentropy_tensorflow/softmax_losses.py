"""Softmax losses with tf.nn's signatures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xentropy import cross_entropy
from xentropy_tensorflow.arguments import FLOATS, as_matrix, broadcast, classes_last, from_rows, require_dtype
from xentropy_tensorflow.version1 import run

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Array = Any

_rows = partial(cross_entropy, reduction="none")


def softmax_cross_entropy_with_logits(
    labels: tf.Tensor | ArrayLike,
    logits: tf.Tensor | ArrayLike,
    axis: int | None = -1,
    name: str | None = None,
) -> tf.Tensor:
    """Cross-entropy of class probabilities, in nats, as ``tf.nn.softmax_cross_entropy_with_logits``.

    Args:
        labels: the target of each class, numbers of any kind, of a shape that broadcasts to the logits' when both are
            seen as (rows, classes). Never renormalised.
        logits: float16, bfloat16, float32 or float64, of shape (..., classes).
        axis: the axis of the classes; None is the last.
        name: of the operation.

    Returns:
        The loss of every row, in the logits' dtype. Gradients flow to both logits and labels.

    Raises:
        tf.errors.InvalidArgumentError: logits that are no floats, shapes or an axis that don't fit; while a graph is
            built, TypeError or ValueError.

    It differs from tf.nn's: the gradient of labels that don't sum to 1 is that of the loss (tf.nn's is as if they
    did), a row whose target is nearly certain keeps its loss and gradient (tf.nn rounds both to 0 from a margin of
    17 in float32), a label of 0 counts for nothing at a logit of -inf too (tf.nn: NaN), labels that
    broadcast have a gradient (tf.nn: an error), and ``axis`` may be any negative number.

    Example:
        >>> import tensorflow as tf
        >>> loss = softmax_cross_entropy_with_logits(tf.constant([1.0, 0.0, 0.0]), tf.constant([1.2, -0.5, 0.1]))
        >>> print(f"{loss.numpy():.4f}")
        0.4158
    """
    with tf.name_scope(name or "softmax_cross_entropy_with_logits"):
        x, t = tf.convert_to_tensor(logits, name="logits"), tf.convert_to_tensor(labels, name="labels")
        require_dtype("logits", x, FLOATS)
        t = tf.cast(t, tf.float64 if x.dtype == tf.float64 else tf.float32)
        axis = -1 if axis is None else axis
        rows = classes_last(x, axis)
        if rows.shape.rank is not None and rows.shape[-1] == 0:
            return tf.reduce_sum(rows * tf.cast(classes_last(t, axis), x.dtype), axis=-1)
        losses = run(_rows, *broadcast(as_matrix(rows), as_matrix(classes_last(t, axis))))
        return from_rows(losses, rows, x.dtype)


def sparse_softmax_cross_entropy_with_logits(
    labels: tf.Tensor | ArrayLike,
    logits: tf.Tensor | ArrayLike,
    name: str | None = None,
) -> tf.Tensor:
    """Cross-entropy of class indices, in nats, as ``tf.nn.sparse_softmax_cross_entropy_with_logits``.

    Args:
        labels: int32 or int64, of the logits' shape without the last axis.
        logits: float16, bfloat16, float32 or float64, of shape (..., classes).
        name: of the operation.

    Returns:
        The loss of every row, of the labels' shape and the logits' dtype.

    Raises:
        ValueError: logits without axes, shapes that are known not to fit.
        tf.errors.InvalidArgumentError: a label outside [0, classes), on a CPU (under XLA and on accelerators its loss
            and gradient are NaN, as tf.nn's); shapes that turn out not to fit; no classes; a wrong dtype (TypeError
            while a graph is built).

    It differs from tf.nn's: a row whose label is nearly certain keeps its loss and gradient (tf.nn rounds both to 0
    from a margin of 17 in float32), and bfloat16 is computed in float32.

    Example:
        >>> import tensorflow as tf
        >>> logits = tf.constant([[1.2, -0.5, 0.1], [0.0, 30.0, 1.0]])
        >>> [f"{loss:.4g}" for loss in sparse_softmax_cross_entropy_with_logits(tf.constant([0, 1]), logits).numpy()]
        ['0.4158', '3.479e-13']
    """
    with tf.name_scope(name or "SparseSoftmaxCrossEntropyWithLogits"):
        y, x = tf.convert_to_tensor(labels), tf.convert_to_tensor(logits)
        require_dtype("logits", x, FLOATS)
        require_dtype("labels", y, (tf.int32, tf.int64))
        _check_shapes(y, x)
        with tf.control_dependencies(_shape_assertions(y, x)):
            index = tf.reshape(y, [-1])
        with tf.control_dependencies(range_assertions(index, x)):
            index = tf.identity(index)
        try:
            losses = run(_rows, as_matrix(x), index)
        except IndexError:
            raise _outside(y, x) from None
        return from_rows(losses, x, x.dtype)


def _check_shapes(labels: Array, logits: Array) -> None:
    if logits.shape.rank is None:
        return
    if logits.shape.rank == 0:
        raise ValueError(f"`logits` cannot be a scalar. Received logits={logits}")
    if labels.shape.rank is not None and labels.shape.rank != logits.shape.rank - 1:
        raise ValueError(
            f"`labels.shape.rank` must equal `logits.shape.rank - 1`. Received labels of shape {labels.shape} and "
            f"logits of shape {logits.shape}"
        )
    if not labels.shape.is_compatible_with(logits.shape[:-1]):
        raise ValueError(
            f"`labels.shape` must equal `logits.shape` except for the last dimension. Received labels of shape "
            f"{labels.shape} and logits of shape {logits.shape}"
        )
    if logits.shape[-1] == 0:
        message = f"there must be at least one class, but logits have shape {logits.shape}"
        raise tf.errors.InvalidArgumentError(None, None, message)


def _shape_assertions(labels: Array, logits: Array) -> list[Array]:
    """Operations that fail where sizes that the graph doesn't know turn out not to fit."""
    if labels.shape.is_fully_defined() and logits.shape[:-1].is_fully_defined():
        return []
    many = "labels must be 1-D for 2-D logits, and in general have one axis less than these"
    rank = tf.debugging.assert_equal(tf.rank(labels), tf.rank(logits) - 1, message=many)
    with tf.control_dependencies([rank]):
        given = tf.shape(labels)
    expected = tf.shape(logits)[:-1]
    return [tf.debugging.assert_equal(given, expected, message="labels and logits must have the same rows")]


def range_assertions(index: Array, logits: Array) -> list[Array]:
    """Operations that fail for a label out of range, in a graph for CPUs; XLA leaves them out."""
    if tf.executing_eagerly() or tf.config.list_logical_devices("GPU"):
        return []
    classes = tf.shape(logits, out_type=index.dtype)[-1]
    outside = tf.logical_or(index < 0, index >= classes)
    # The largest of them, since a shape that depends on values is nothing for XLA.
    wrong = tf.reduce_max(tf.where(outside, index, index.dtype.min))
    said = ["Received a label value of", wrong, "which is outside the valid range [0,", classes, "). Labels:", index]
    return [tf.debugging.Assert(tf.logical_not(tf.reduce_any(outside)), said)]


def _outside(labels: Array, logits: Array) -> Exception:
    classes = logits.shape[-1]
    wrong = tf.boolean_mask(labels, tf.logical_or(labels < 0, labels >= classes))[0].numpy()
    message = f"Received a label value of {wrong} which is outside the valid range of [0, {classes})"
    error: Exception = tf.errors.InvalidArgumentError(None, None, message)
    return error
