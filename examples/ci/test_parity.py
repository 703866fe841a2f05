"""The rewrite gives the numbers of the original, and the original those of an exact loss."""

import pytest
from team_losses import training_loss, watched_loss

import xentropy
from xentropy.parity import Loss


@pytest.mark.parity(reduction="mean", rtol=1e-6, atol=1e-7)
def test_the_rewrite_is_the_original(parity):
    """JAX says what PyTorch says."""
    parity(Loss(watched_loss, "jax"), Loss(training_loss, "torch"))


@pytest.mark.parity(reduction="mean", rtol=1e-6, atol=1e-7)
def test_the_original_is_right(parity):
    """PyTorch says what the exact loss says."""
    parity(Loss(training_loss, "torch"), Loss(xentropy.cross_entropy, "torch"))
