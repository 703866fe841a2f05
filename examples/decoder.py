"""What the decoders share: a small causal transformer's sizes and first weights, its text, and a loop that measures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Literal, NamedTuple

import memory
import minilm
import numpy as np

LAYERS, HEADS, LENGTH = 2, 6, 128
BATCH, STEPS, LEARNING_RATE = 32, 4, 0.05
EPSILON = 1e-5
RUNS = Path("runs")

Loss = Literal["dense", "linear"]


class Weights(NamedTuple):
    """The first weights, the same float32 for everybody; matrices multiply from the right.

    Attributes:
        embedding: (tokens, width), of the sentence-transformer; the head too.
        positions: (LENGTH, width), of the sentence-transformer, and not trained.
        layers: of each layer a norm's scale, query, key, value, output (all four (width, width)), a norm's scale, and
            the two matrices of the perceptron, (width, 4 width) and (4 width, width).
        scale: of the last norm.
    """

    embedding: np.ndarray
    positions: np.ndarray
    layers: list[list[np.ndarray]]
    scale: np.ndarray


def first_weights() -> Weights:
    """See ``Weights``."""
    embedding, positions = minilm.embeddings(), minilm.embeddings("position")[:LENGTH]
    width = embedding.shape[1]
    rng, ones = np.random.default_rng(1), np.ones(width, dtype=np.float32)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return rng.normal(scale=0.02, size=(rows, columns)).astype(np.float32)

    layers = [
        [
            ones,
            *(matrix(width, width) for _ in range(4)),
            ones,
            matrix(width, 4 * width),
            matrix(4 * width, width),
        ]
        for _ in range(LAYERS)
    ]
    return Weights(embedding, positions, layers, ones)


def batches(batch: int, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Tokens and the tokens that follow them, int32 of shape (batch, LENGTH), of every step."""
    text = minilm.tokens(steps * batch * LENGTH + 1)
    shape = (steps, batch, LENGTH)
    return list(zip(text[:-1].reshape(shape), text[1:].reshape(shape), strict=True))


def train(name: str, loss: Loss, batch: int, steps: int, step: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """Take the steps, print their losses, memory and time, and write these to runs/decoder_<name>_<loss>.json.

    Seconds are the fastest step's, after a first one that compiles.
    """
    losses, seconds = [], []
    data = batches(batch, steps)
    peak = memory.Peak()
    for tokens, targets in data:
        begun = perf_counter()
        losses.append(step(tokens, targets))
        seconds.append(perf_counter() - begun)
    found = {"losses": losses, "bytes": peak.bytes(), "seconds": min(seconds[1:], default=seconds[0])}
    RUNS.mkdir(exist_ok=True)
    (RUNS / f"decoder_{name}_{loss}.json").write_text(json.dumps(found))
    print(
        f"{name}, {loss} loss: {', '.join(f'{value:.6f}' for value in losses)}; "
        f"{found['bytes'] / 1e6:.0f} MB at the peak, {found['seconds']:.2f} s a step"
    )
