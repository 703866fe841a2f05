"""Softmax losses with optax's signatures."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from xentropy_jax.arguments import index_rows, probability_rows, require, row_losses


def softmax_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayLike | None = None,
    *,
    axis_name: str | tuple[str, ...] | None = None,
) -> jax.Array:
    """Cross-entropy of class probabilities, in nats, as ``optax.softmax_cross_entropy``.

    ``axis_name`` is no argument of optax's.

    Args:
        logits: floats of shape (..., classes).
        labels: the target of each class, of a shape that broadcasts against the logits'. Never renormalised.
        axis: the axis of the classes; several axes, or None for all, hold the classes of one row together.
        where: bool, True for a class that counts, of the logits' shape (or one that broadcasts to it), or of the
            rows' shape. Targets of classes that don't count are left out; a row without any has a loss of 0.
        axis_name: the axis of the mesh, or a tuple of them, that the classes are sharded over, inside of a
            ``jax.shard_map``: ``logits``, ``labels`` and ``where`` are a device's own slice then.

    Returns:
        The loss of every row, without the axes of the classes, in the dtype that logits and labels promote to.

    Raises:
        TypeError: logits that are no floats, or (as in optax) labels of as many axes whose shape doesn't fit.
        ValueError: an axis that doesn't exist, a ``where`` that isn't bool, shapes that don't fit.

    It differs from optax's: a row whose target is nearly certain keeps its loss and gradient (optax rounds both to 0
    from a margin of 17 in float32), a target of 0 counts for nothing at a logit of -inf too (optax: NaN), the
    gradient by a label that ``where`` leaves out is 0 (optax: NaN), and half precision is rounded once, at the end.

    Example:
        >>> import jax.numpy as jnp
        >>> loss = softmax_cross_entropy(jnp.array([1.2, -0.5, 0.1]), jnp.array([1.0, 0.0, 0.0]))
        >>> print(f"{loss:.4f}")
        0.4158
    """
    x = require("logits", logits, np.floating)
    result = jnp.result_type(logits, labels)
    rows = probability_rows(x, labels, axis, where, result)
    if rows.logits.shape[-1] == 0:
        return jnp.zeros(rows.logits.shape[:-1], result)
    return row_losses(rows, axis_name).astype(result)


def safe_softmax_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    """Cross-entropy of class probabilities, in nats, as ``optax.safe_softmax_cross_entropy``.

    Here it is ``softmax_cross_entropy`` along the last axis, which takes logits of -inf anyway.

    Args:
        logits: floats of shape (..., classes).
        labels: the target of each class, of a shape that broadcasts against the logits'.

    Returns:
        The loss of every row, in the dtype that logits and labels promote to.

    Raises:
        TypeError: logits that are no floats, or (as in optax) labels of as many axes whose shape doesn't fit.
        ValueError: shapes that don't fit.

    It differs from optax's: its derivatives are right at logits of -inf in forward mode too (optax: NaN), and a row
    whose target is nearly certain keeps its loss and gradient.

    Example:
        >>> import jax.numpy as jnp
        >>> loss = safe_softmax_cross_entropy(jnp.array([-jnp.inf, 0.0, 0.0]), jnp.array([0.0, 0.5, 0.5]))
        >>> print(f"{loss:.4f}")
        0.6931
    """
    return softmax_cross_entropy(logits, labels)


def softmax_cross_entropy_with_integer_labels(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: int | tuple[int, ...] = -1,
    where: ArrayLike | None = None,
    *,
    axis_name: str | tuple[str, ...] | None = None,
) -> jax.Array:
    """Cross-entropy of class indices, in nats, as ``optax.softmax_cross_entropy_with_integer_labels``.

    ``axis_name`` is no argument of optax's.

    Args:
        logits: floats of shape (..., classes).
        labels: integers of the logits' shape without the axes of the classes, or one that broadcasts against it.
        axis: the axis of the classes; an index counts along several axes in the order in which they are given.
        where: bool, True for a class that counts, of the logits' shape (or one that broadcasts to it), or of the
            rows' shape. A row without any has a loss of 0.
        axis_name: the axis of the mesh, or a tuple of them, that the classes are sharded over, inside of a
            ``jax.shard_map``: ``logits`` and ``where`` are a device's own slice then, and ``labels`` count the
            classes of all devices.

    Returns:
        The loss of every row, in the logits' dtype.

    Raises:
        TypeError: logits that are no floats or labels that are no integers.
        ValueError: an axis that is no int or tuple or doesn't exist, a ``where`` that isn't bool, shapes that don't
            fit, no classes.

    It differs from optax's: a label outside [0, classes) has a loss and a gradient of NaN (optax counts negative ones
    from the end, and gives those beyond it a finite gradient), and so has a label that ``where`` leaves out (optax:
    a negative loss); without any classes it raises (optax: -inf). A row whose label is nearly certain keeps its
    loss and gradient, and half precision is rounded once, at the end.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = jnp.array([[1.2, -0.5, 0.1], [0.0, 30.0, 1.0]])
        >>> loss = softmax_cross_entropy_with_integer_labels(logits, jnp.array([0, 1]))
        >>> [f"{value:.4g}" for value in loss]
        ['0.4158', '3.479e-13']
    """
    x = require("logits", logits, np.floating)
    rows = index_rows(x, require("labels", labels, np.integer), axis, where)
    return row_losses(rows, axis_name).astype(x.dtype)
