"""Two stacks and one loss: a network learns in PyTorch, and is watched in JAX by a rewrite of its loss."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import torch
from torch.nn import functional


def training_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """What the network is trained with: the mean over all rows."""
    return functional.cross_entropy(logits, targets.long())


def watched_loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """The same mean, written by hand."""
    log_p = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_p, targets[:, None], axis=-1).mean()
