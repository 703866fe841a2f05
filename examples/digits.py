"""What the four trainings share: the digits, the first weights, the batches, the optimiser's two numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

HIDDEN, CLASSES = 32, 10
BATCH, EPOCHS = 64, 12
LEARNING_RATE, MOMENTUM = 0.1, 0.9
TRAINING = 22 * BATCH
RUNS = Path("runs")

Pair = tuple[np.ndarray, np.ndarray]


def load() -> tuple[Pair, Pair]:
    """(pixels, labels) to train on and (pixels, labels) held out: float32 of shape (n, 64) in [0, 1], int32."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    pixels = (digits.data[order] / 16).astype(np.float32)
    labels = digits.target[order].astype(np.int32)
    return (pixels[:TRAINING], labels[:TRAINING]), (pixels[TRAINING:], labels[TRAINING:])


def first_weights() -> list[np.ndarray]:
    """Weight (64, 32), bias (32), weight (32, 10), bias (10): the same float32 for everybody."""
    rng = np.random.default_rng(1)
    hidden = rng.normal(scale=64**-0.5, size=(64, HIDDEN))
    output = rng.normal(scale=HIDDEN**-0.5, size=(HIDDEN, CLASSES))
    return [array.astype(np.float32) for array in (hidden, np.zeros(HIDDEN), output, np.zeros(CLASSES))]


def batches(pixels: np.ndarray, labels: np.ndarray) -> Iterator[Pair]:
    """Every batch of every epoch, in the same order for everybody."""
    for _ in range(EPOCHS):
        for start in range(0, len(labels), BATCH):
            yield pixels[start : start + BATCH], labels[start : start + BATCH]


def report(name: str, framework: str, losses: list[float], accuracy: float) -> None:
    """Print the result and write the curve to runs/<name>.json."""
    RUNS.mkdir(exist_ok=True)
    curve = {"framework": framework, "losses": losses, "accuracy": accuracy}
    (RUNS / f"{name}.json").write_text(json.dumps(curve))
    print(f"{framework}: loss {losses[0]:.4f} -> {losses[-1]:.4f}, {accuracy:.1%} of the held-out digits right")
