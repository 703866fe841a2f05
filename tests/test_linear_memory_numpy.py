"""Linear losses hold no array of the logits' size: what NumPy allocates, counted by Python."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from xentropy import linear_cross_entropy, value_and_grad

ROWS, FEATURES, CLASSES, CHUNK = 512, 8, 3000, 16


@pytest.mark.parametrize(
    "options",
    [{}, {"reduction": "sum", "z_loss": 0.1}, {"label_smoothing": 0.1, "softcap": 5.0, "focal_gamma": 1.0}],
    ids=lambda options: "-".join(options) or "plain",
)
def test_peak(options: dict[str, object]) -> None:
    random = np.random.default_rng(0)
    hidden, weight = (random.standard_normal((n, FEATURES), dtype=np.float32) for n in (ROWS, CLASSES))
    labels = random.integers(0, CLASSES, ROWS)
    whole, block = 4 * ROWS * CLASSES, 4 * CHUNK * CLASSES
    gradients = 4 * FEATURES * (ROWS + CLASSES)
    for call in (linear_cross_entropy, value_and_grad(linear_cross_entropy)):
        call(hidden, weight, labels, chunk_rows=CHUNK, **options)
        tracemalloc.start()
        call(hidden, weight, labels, chunk_rows=CHUNK, **options)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # Some options make a number of temporaries of a block, in float64.
        assert peak < 2 * gradients + 24 * block < whole
