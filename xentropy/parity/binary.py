"""The binary cases."""

from __future__ import annotations

import numpy as np

from xentropy.parity.cases import Case
from xentropy.parity.digits import load_digits
from xentropy.parity.draw import Array, Rng

# As many as there are digits, so that a framework that compiles a program for each shape compiles few.
ROWS = 1797


def _labels(rng: Rng) -> Array:
    return rng.integers(0, 2, ROWS).astype(np.float32)


def _even(reach: float) -> Array:
    return np.linspace(-reach, reach, ROWS, dtype=np.float32)


def hard(rng: Rng, reach: float) -> Case:
    """Targets of 0 and 1, logits evenly between plus and minus ``reach``."""
    return Case("binary-hard", _even(reach), _labels(rng), binary=True)


def logits(rng: Rng) -> list[Case]:
    """Hard, soft, smoothed and weighted targets; infinite logits; one digit against the others."""
    z, y = _even(84.0), _labels(rng)
    share = rng.random(ROWS, dtype=np.float32)
    weight = rng.uniform(0.0, 2.0, ROWS).astype(np.float32)
    weight[::7] = 0.0
    infinite = np.where(rng.random(ROWS) < 0.5, np.float32(np.inf), np.float32(-np.inf))
    return [
        Case("hard", z, y, binary=True),
        Case("soft", z / np.float32(4), share, binary=True),
        Case("smoothing", z / np.float32(4), y, binary=True, label_smoothing=0.1),
        Case("pos-weight", z, y, binary=True, pos_weight=np.full(ROWS, 3.0, dtype=np.float32)),
        Case("sample-weight", z, y, binary=True, sample_weight=weight),
        Case("infinite", infinite, y, binary=True),
        _is_it_an_eight(),
    ]


def _is_it_an_eight() -> Case:
    data = load_digits()
    others = np.delete(data.logits.astype(np.float64), 8, axis=1)
    margin = data.logits[:, 8] - np.log(np.exp(others).sum(axis=1))
    return Case("digits", margin.astype(np.float32), (data.labels == 8).astype(np.float32), binary=True)


def probabilities(rng: Rng) -> list[Case]:
    """Probabilities in place of logits: anywhere, close to both ends, exactly 0 and 1."""
    y = _labels(rng)
    anywhere = rng.random(ROWS, dtype=np.float32)
    tiny = np.exp(rng.uniform(-80.0, -1.0, ROWS)).astype(np.float32)
    ends = np.where(rng.random(ROWS) < 0.5, tiny, np.float32(1) - tiny).astype(np.float32)
    certain = np.where(rng.random(ROWS) < 0.5, np.float32(0), np.float32(1))
    return [
        Case("binary", anywhere, y, binary=True, from_logits=False),
        Case("binary-soft", anywhere, np.flip(anywhere).copy(), binary=True, from_logits=False),
        Case("binary-ends", ends, y, binary=True, from_logits=False),
        Case("binary-certain", certain, y, binary=True, from_logits=False),
    ]
