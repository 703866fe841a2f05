"""Random logits and targets, the pieces of the families."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Rng = np.random.Generator


def normal(rng: Rng, rows: int, classes: int, scale: float = 1.0) -> Array:
    """Normally distributed logits, float32."""
    return np.float32(scale) * rng.standard_normal((rows, classes), dtype=np.float32)


def indices(rng: Rng, rows: int, classes: int) -> Array:
    """Uniform class indices, int32."""
    return rng.integers(0, classes, rows, dtype=np.int32)


def soft_targets(rng: Rng, rows: int, classes: int) -> Array:
    """Class probabilities, most of the mass on a few classes, float32."""
    return rng.dirichlet(np.full(classes, 0.3), rows).astype(np.float32)
