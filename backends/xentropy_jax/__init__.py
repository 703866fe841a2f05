"""The JAX backend of xentropy, and optax's classification losses on top of it.

``linear_cross_entropy`` is no loss of optax's: it is the core's, for the parameters of a dense layer.

>>> import jax.numpy as jnp, xentropy_jax
>>> loss = xentropy_jax.softmax_cross_entropy_with_integer_labels(jnp.array([1.2, -0.5, 0.1]), jnp.array(0))
>>> print(f"{loss:.4f}")
0.4158
"""

from xentropy_jax.head import linear_cross_entropy
from xentropy_jax.patching import patch, patched, unpatch
from xentropy_jax.poly_loss import poly_loss_cross_entropy
from xentropy_jax.sigmoid_losses import sigmoid_binary_cross_entropy, sigmoid_focal_loss
from xentropy_jax.softmax_losses import (
    safe_softmax_cross_entropy,
    softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels,
)

__all__ = [
    "linear_cross_entropy",
    "patch",
    "patched",
    "poly_loss_cross_entropy",
    "safe_softmax_cross_entropy",
    "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "unpatch",
]
