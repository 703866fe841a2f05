"""Binary losses with optax's signatures."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from xentropy import binary_cross_entropy
from xentropy_jax.arguments import common_shape, in_compute_dtype, require


def sigmoid_binary_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    """Binary cross-entropy of every element, in nats, as ``optax.sigmoid_binary_cross_entropy``.

    Args:
        logits: floats of any shape.
        labels: probabilities of the positive class, of a shape that broadcasts against the logits'. Numbers of any
            kind; they are converted to the logits' dtype.

    Returns:
        The loss of every element, of the shape that logits and labels broadcast to, in the logits' dtype.

    Raises:
        TypeError: logits that are no floats.
        ValueError, TypeError: shapes that don't fit (TypeError, as in optax, for as many axes).

    It differs from optax's at infinite logits, where it and its gradient are the limits (optax: NaN where the loss
    is 0), and in half precision, which is rounded once, at the end.

    Example:
        >>> import jax.numpy as jnp
        >>> loss = sigmoid_binary_cross_entropy(jnp.array([0.0, 2.0]), jnp.array([1, 0]))
        >>> [f"{value:.4f}" for value in loss]
        ['0.6931', '2.1269']
    """
    x, y = _elements(logits, labels)
    return _losses(x, y).astype(x.dtype)


def sigmoid_focal_loss(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    alpha: ArrayLike | None = None,
    gamma: ArrayLike = 2.0,
) -> jax.Array:
    r"""Focal loss of every element, in nats, as ``optax.sigmoid_focal_loss``.

    With $p = \sigma(z)$ and $q = (1 - y)\,p + y\,(1 - p)$ it is the binary cross-entropy times $q^\gamma$ and, with
    an ``alpha``, times $\alpha y + (1 - \alpha)(1 - y)$ (Lin et al., "Focal Loss for Dense Object Detection", 2017).

    Args:
        logits: floats of any shape.
        labels: probabilities of the positive class, of a shape that broadcasts against the logits'. Numbers of any
            kind; they are converted to the logits' dtype.
        alpha: weight of positives, 1 - alpha of negatives; None weighs neither. It broadcasts.
        gamma: exponent of the focal factor. It broadcasts.

    Returns:
        The loss of every element, of the shape that all broadcast to, in the dtype that logits, alpha and gamma
        promote to.

    Raises:
        TypeError: logits that are no floats.
        ValueError, TypeError: shapes that don't fit (TypeError, as in optax, for as many axes).

    It differs from optax's as ``sigmoid_binary_cross_entropy`` does, and errs by at most 5 ulp of float32 between
    logits of -20 and 20, where optax's, an exponential of a logarithm, errs by 15.

    Example:
        >>> import jax.numpy as jnp
        >>> loss = sigmoid_focal_loss(jnp.array([2.0, 2.0]), jnp.array([1, 0]))
        >>> [f"{value:.4f}" for value in loss]
        ['0.0018', '1.6501']
    """
    x, y = _elements(logits, labels)
    options = (gamma,) if alpha is None else (gamma, alpha)
    result = jnp.result_type(x, *options)
    x, y = in_compute_dtype(x, result), in_compute_dtype(y, result)
    losses = _losses(x, y)
    y = y.astype(losses.dtype)
    focused = _focused(losses, x.astype(losses.dtype), y, jnp.asarray(gamma, losses.dtype))
    if alpha is not None:
        positive = jnp.asarray(alpha, losses.dtype)
        share = positive * y + (1.0 - positive) * (1.0 - y)
        # A share of 0 silences an infinite loss.
        focused = share * jnp.where((share == 0.0) & jnp.isinf(focused), 0.0, focused)
    return focused.astype(result)


def _elements(logits: ArrayLike, labels: ArrayLike) -> tuple[jax.Array, jax.Array]:
    x = require("logits", logits, np.floating)
    jax.dtypes.result_type(labels)  # raises for what is no array
    y = jnp.asarray(labels).astype(x.dtype)
    shape = common_shape({"logits": x.shape, "labels": y.shape}, [x.shape, y.shape])
    return jnp.broadcast_to(x, shape), jnp.broadcast_to(y, shape)


def _losses(logits: jax.Array, labels: jax.Array) -> jax.Array:
    logits = in_compute_dtype(logits, logits.dtype)
    return binary_cross_entropy(logits, labels.astype(logits.dtype), reduction="none", validate=False)


def _focused(losses: jax.Array, x: jax.Array, y: jax.Array, gamma: jax.Array) -> jax.Array:
    missed = (1.0 - y) * jax.nn.sigmoid(x) + y * jax.nn.sigmoid(-x)
    some = missed > 0.0
    # Where nothing is missed the factor is a constant: 0^gamma has an infinite derivative for gamma < 1.
    constant = jax.lax.stop_gradient(jnp.power(missed, gamma))
    factor = jnp.where(some, jnp.power(jnp.where(some, missed, 1.0), gamma), constant)
    # At an infinite logit the factor has a derivative of 0, which must not meet the infinite loss.
    flat = jnp.isinf(x)
    return jnp.where(flat, losses * constant, jnp.where(flat, 0.0, losses) * factor)
