"""Rows that are hard to get right to the last bits, for every number of classes; for float32 and float64."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import reference
from reference import Exact

CLASSES = (2, 3, 10, 129, 1000, 32_000, 1_000_000)
# Rows longer than this are checked in float64, or not at all where they are float64 themselves.
MANY_DIGITS_UP_TO = 129
SCALES = (1.0, 8.0, 30.0)


@dataclass(frozen=True, eq=False)
class Rows:
    """Logits and class indices with the exact losses, gradients of each row's loss, and spans."""

    logits: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    losses: Exact
    gradients: Exact
    spans: np.ndarray[Any, Any]

    @property
    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        return {"logits": self.logits, "targets": self.labels}

    @property
    def relative(self) -> np.ndarray[Any, Any]:
        """The bound on every loss and on every gradient at a label, in ulp."""
        return 4.0 + self.spans


def rows(logits: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> Rows:
    """Rows with their exact answers."""
    short = logits.shape[-1] <= MANY_DIGITS_UP_TO or logits.dtype == np.float64
    exact = reference.softmax_by_label if short else reference.softmax_by_label_in_float64
    one_hot = np.arange(logits.shape[-1]) == labels[:, None]
    spans = np.array([reference.span(x, hot) for x, hot in zip(logits, one_hot, strict=True)])
    return Rows(logits, labels, *exact(logits, labels), spans)


@cache
def mixed(classes: int, dtype: str) -> Rows:
    """Random rows at three scales and an offset of a million; the label at random, the largest and the smallest."""
    rng = np.random.default_rng(classes)
    table, labels = [], []
    for scale in SCALES:
        for kind in ("random", "largest", "smallest")[: 1 if classes > 1000 else 3]:
            x = (rng.normal(size=classes) * scale).astype(dtype)
            table.append(x)
            labels.append({"random": classes // 2, "largest": x.argmax(), "smallest": x.argmin()}[kind])
    x = (rng.normal(size=classes) * 8.0 + 1e6).astype(dtype)
    table += [x, -x, np.full(classes, 1e6, dtype=dtype)]
    labels += [int(x.argmax()), int(x.argmin()), classes - 1]
    return rows(np.array(table), np.array(labels))


@cache
def many() -> Rows:
    """More rows than any library computes in one go."""
    rng = np.random.default_rng(7)
    logits = (rng.normal(size=(700, 1000)) * rng.choice([1.0, 8.0, 30.0], size=(700, 1))).astype(np.float32)
    return rows(logits, rng.integers(0, 1000, size=700))


@cache
def confident(dtype: str) -> Rows:
    """[x, 0, 0] with class 0, from undecided to where the loss leaves the normal numbers."""
    steps = np.arange(0.0, 86.0, 0.5) if dtype == "float32" else np.arange(0.0, 700.0, 5.0)
    logits = np.zeros((steps.size, 3), dtype=dtype)
    logits[:, 0] = steps
    return rows(logits, np.zeros(steps.size, dtype=np.int64))


@cache
def wrong(dtype: str) -> Rows:
    """[-x, 0, 0] with class 0: as far off as the former were right."""
    right = confident(dtype)
    return rows(-right.logits, right.labels)
