"""A user of the JAX drop-ins, as a strict type checker sees them; every ignored error must be there."""

from typing import assert_type

import jax
import jax.numpy as jnp

import xentropy_jax

logits, labels = jnp.zeros((2, 3)), jnp.array([0, 1])
assert_type(xentropy_jax.softmax_cross_entropy(logits, logits, axis=0), jax.Array)
assert_type(xentropy_jax.softmax_cross_entropy_with_integer_labels(logits, labels, where=logits > 0), jax.Array)
assert_type(xentropy_jax.safe_softmax_cross_entropy(logits, logits), jax.Array)
assert_type(xentropy_jax.sigmoid_binary_cross_entropy(logits, logits), jax.Array)
assert_type(xentropy_jax.sigmoid_focal_loss(logits, logits, alpha=0.25, gamma=1.0), jax.Array)
assert_type(xentropy_jax.poly_loss_cross_entropy(logits, logits, epsilon=2.0), jax.Array)
assert_type(xentropy_jax.linear_cross_entropy(logits, logits.T, labels, reduction="mean"), jax.Array)

xentropy_jax.softmax_cross_entropy(logits)  # type: ignore[call-arg]
xentropy_jax.softmax_cross_entropy(logits, labels, reduction="mean")  # type: ignore[call-arg]
