"""PolyLoss with optax's signature."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from xentropy_jax.arguments import Rows, probability_rows, require, row_losses


def poly_loss_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    epsilon: ArrayLike = 2.0,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    r"""PolyLoss, as ``optax.losses.poly_loss_cross_entropy``: cross-entropy plus a multiple of what it expects to miss.

    $$\ell = \sum_j t_j (-\log p_j) + \epsilon \sum_j t_j (1 - p_j)$$

    (Leng et al., "PolyLoss", 2022.)

    Args:
        logits: floats of shape (..., classes).
        labels: floats, the target of each class, of a shape that broadcasts against the logits'.
        epsilon: coefficient of the second term, of a shape that broadcasts against the rows'.
        axis: the axis of the classes; several axes, or None for all, hold the classes of one row together.
        where: bool, True for a class that counts, as in ``softmax_cross_entropy``.

    Returns:
        The loss of every row, in the dtype that logits, labels and epsilon promote to.

    Raises:
        TypeError: logits or labels that are no floats, or shapes of as many axes that don't fit.
        ValueError: an axis that doesn't exist, a ``where`` that isn't bool, shapes that don't fit.

    It differs from optax's as ``softmax_cross_entropy`` does; 1 - p keeps its relative accuracy too.

    Example:
        >>> import jax.numpy as jnp
        >>> loss = poly_loss_cross_entropy(jnp.array([4.0, 2.0, 1.0]), jnp.array([1.0, 0.0, 0.0]))
        >>> print(f"{loss:.4f}")
        0.4823
    """
    x = require("logits", logits, np.floating)
    require("labels", labels, np.floating)
    result = jnp.result_type(logits, labels, epsilon)
    rows = probability_rows(x, labels, axis, where, jnp.result_type(logits, labels))
    if rows.logits.shape[-1] == 0:
        return jnp.zeros(jnp.broadcast_shapes(rows.logits.shape[:-1], jnp.shape(epsilon)), result)
    losses = row_losses(rows)
    missed = _missed(rows.logits, rows.labels.astype(losses.dtype), rows.mask)
    return (losses + jnp.asarray(epsilon).astype(losses.dtype) * missed).astype(result)


def _surprise(logits: jax.Array, mask: jax.Array | None) -> jax.Array:
    """-log p of every class, which is the derivative of the cross-entropy by its targets."""
    ones = jnp.ones(logits.shape, jnp.float64 if logits.dtype == jnp.float64 else jnp.float32)
    ones = ones if mask is None else jnp.where(mask, ones, 0.0)
    losses, pull_back = jax.vjp(lambda t: row_losses(Rows(logits, t, mask)), ones)
    (surprise,) = pull_back(jnp.ones_like(losses))
    return surprise


# A rule of its own: autodiff of 1 - p would cancel where p is nearly 1.
@jax.custom_jvp
def _missed(logits: jax.Array, targets: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The sum of t (1 - p)."""
    return jnp.sum(targets * -jnp.expm1(-_surprise(logits, mask)), axis=-1)


@_missed.defjvp
def _missed_jvp(
    primals: tuple[jax.Array, jax.Array, jax.Array | None], tangents: tuple[jax.Array, jax.Array, jax.Array | None]
) -> tuple[jax.Array, jax.Array]:
    """By the logits, p_k sum(t p) - t_k p_k: the derivative of the cross-entropy with targets t p held constant."""
    logits, targets, mask = primals
    surprise = _surprise(logits, mask)
    weighted = targets * jnp.exp(-surprise)
    missing = -jnp.expm1(-surprise)
    _, by_logits = jax.jvp(lambda x: row_losses(Rows(x, weighted, mask)), (logits,), (tangents[0],))
    return jnp.sum(targets * missing, axis=-1), by_logits + jnp.sum(missing * tangents[1], axis=-1)
