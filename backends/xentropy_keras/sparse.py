"""``sparse_categorical_crossentropy`` under Keras's signature."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.backend import set_keras_mask  # no public name sets the mask of a tensor that takes no attributes

import xentropy
from xentropy_keras import recovery
from xentropy_keras.arguments import Tensor, class_axis, labels, option, predictions, probabilities, require_row_shape
from xentropy_keras.symbolic import symbolic


@symbolic
def sparse_categorical_crossentropy(
    y_true: Tensor,
    y_pred: Tensor,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Tensor:
    """Cross-entropy of class indices, as ``keras.losses.sparse_categorical_crossentropy``.

    Args:
        y_true: class indices, of the predictions' shape without ``axis``, or with an axis of size 1 in its place;
            floats are cut to whole numbers, bool is 0 and 1.
        y_pred: probabilities, normalised along ``axis`` and then clipped to [epsilon, 1 - epsilon] of
            ``keras.config.epsilon()``; or logits.
        from_logits: True if y_pred holds logits.
        ignore_class: rows with this label have loss and gradient 0, and are masked in the result; labels may then have
            leading axes of size 1, which the result has too.
        axis: the axis of the classes.

    Returns:
        Losses in nats, without ``axis``, in y_pred's dtype.

    Raises:
        ValueError: shapes that do not fit, no classes, no such ``axis``.
        IndexError: a label out of range, where values are known.
        tf.errors.InvalidArgumentError: a label out of range, in a TensorFlow graph on CPUs. On accelerators, under XLA
            and in jit, its row's loss and gradient are NaN.

    Where it differs from Keras's: Keras's on JAX gives a label out of range a loss of 0, on TensorFlow it raises
    InvalidArgumentError outside of graphs too; Keras's on TensorFlow takes no axis but the last, and clips before it
    normalises, so that rows that don't sum to 1 have another loss than their one-hot labels in
    ``categorical_crossentropy``; a logit of -inf at another class than the label counts for nothing, where Keras's loss
    on JAX is NaN; a row of zeros is uniform, as with TensorFlow, where Keras's is NaN on torch and JAX; Keras's result
    for half-precision predictions on JAX is float32. Logits are treated as in ``categorical_crossentropy``.

    Example:
        >>> import numpy as np
        >>> loss = sparse_categorical_crossentropy(np.array([1, 2]), [[0.05, 0.95, 0], [0.1, 0.8, 0.1]])
        >>> [round(float(x), 4) for x in loss]
        [0.0513, 2.3026]
    """
    y_pred = predictions(y_pred)
    axis = class_axis(y_pred, axis)
    y_true = labels(y_true)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[axis] == 1:
        y_true = np.squeeze(y_true, axis) if isinstance(y_true, np.ndarray) else ops.squeeze(y_true, axis)
    ignored = _whole(option(ignore_class))
    given_shape = ops.shape(y_true)
    if ignored is not None:
        y_true = _without_leading_ones(y_true, len(y_pred.shape) - 1)
    require_row_shape(y_true, y_pred, axis)
    y_true = _checked(y_true, y_pred, axis, ignored)
    loss: Any = partial(xentropy.cross_entropy, axis=axis, ignore_index=ignored, reduction="none")
    losses = recovery.evaluate(
        y_pred,
        from_logits=from_logits,
        of_logits=lambda x: loss(x, y_true),
        of_probabilities=lambda p: loss(probabilities(p, axis), y_true, from_logits=False),
        activation=partial(ops.softmax, axis=axis),
        axis=axis,
    )
    losses = ops.cast(losses, y_pred.dtype)
    if ignored is not None:
        used = ops.convert_to_tensor(y_true != ignored)
        if len(given_shape) != len(y_true.shape):
            losses, used = ops.reshape(losses, given_shape), ops.reshape(used, given_shape)
        set_keras_mask(losses, mask=used)
    return losses


def _without_leading_ones(y_true: Tensor, rank: int) -> Tensor:
    """Labels of shape (1, rows) as (rows,): with ignore_class, and only then, Keras broadcasts rows to labels."""
    extra = len(y_true.shape) - rank
    if extra <= 0 or tuple(y_true.shape[:extra]) != (1,) * extra:
        return y_true
    leading = tuple(range(extra))
    return np.squeeze(y_true, leading) if isinstance(y_true, np.ndarray) else ops.squeeze(y_true, leading)


def _checked(y_true: Tensor, y_pred: Tensor, axis: int, ignored: Any) -> Tensor:
    """The labels; in a graph of TensorFlow's, those whose computation fails where one is out of range."""
    if keras.backend.backend() != "tensorflow":
        return y_true
    import tensorflow as tf  # noqa: PLC0415  (users of Keras need not have TensorFlow)

    from xentropy_tensorflow.softmax_losses import range_assertions  # noqa: PLC0415

    if tf.executing_eagerly():
        return y_true
    y_true = tf.cast(y_true, tf.int64)
    used = y_true if ignored is None else tf.where(y_true == ignored, tf.zeros_like(y_true), y_true)
    with tf.control_dependencies(range_assertions(used, ops.moveaxis(y_pred, axis, -1))):
        return tf.identity(y_true)


def _whole(ignore_class: Any) -> Any:
    """255.0 as 255; the core refuses what is no integer."""
    return int(ignore_class) if isinstance(ignore_class, float) and ignore_class.is_integer() else ignore_class
