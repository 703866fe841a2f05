"""The float64 cases: small, because their exact values come from arithmetic in hundreds of digits."""

from __future__ import annotations

import numpy as np

from xentropy.parity.cases import Array, Case
from xentropy.parity.draw import Rng, indices

ROWS, CLASSES = 64, 10


def float64(rng: Rng) -> list[Case]:
    """Plain, confident, offset, soft and binary cases of float64 logits."""
    plain, labels = rng.standard_normal((ROWS, CLASSES)) * 4, indices(rng, ROWS, CLASSES)
    lead = np.linspace(0.0, 600.0, ROWS)
    right = rng.standard_normal((ROWS, CLASSES))
    right[np.arange(ROWS), labels] = lead
    targets = rng.dirichlet(np.full(CLASSES, 0.3), ROWS)
    z, y = np.linspace(-600.0, 600.0, 256), rng.integers(0, 2, 256).astype(np.float64)
    return [
        _case("plain", plain, labels),
        _case("right", right, labels),
        _case("wrong", right, (labels + 1) % np.int32(CLASSES)),
        _case("offset", plain + 1e6, labels),
        _case("soft", plain, targets),
        _case("smoothing", plain, labels, label_smoothing=0.1),
        _case("1000-classes", rng.standard_normal((4, 1000)), indices(rng, 4, 1000)),
        _case("binary", z, y, binary=True),
    ]


def _case(name: str, logits: Array, targets: Array, **options: object) -> Case:
    return Case(name, logits, targets, dtype="float64", **options)  # type: ignore[arg-type]
