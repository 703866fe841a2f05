"""NumPy, beside the log-softmax of SciPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax

import xentropy
from benchmarks.cases import SMOOTHING, Case
from benchmarks.contender import BACKWARD, FLOOR, FORWARD, OURS, Contender, Step

PACKAGES = ("numpy", "scipy")
MODES = ("NumPy",)

Array = np.ndarray[Any, Any]


def _ours(direction: str) -> Callable[[Case], Step | None]:
    def build(case: Case) -> Step | None:
        if case.dtype == "bfloat16":
            return None
        x, t = case.logits(), case.targets()
        loss = xentropy.binary_cross_entropy if case.kind == "binary" else xentropy.cross_entropy
        options = {"label_smoothing": SMOOTHING} if case.kind == "smoothed" else {}
        call: Callable[..., Any] = loss if direction == FORWARD else xentropy.value_and_grad(loss)
        return lambda: call(x, t, **options)

    return build


def _scipy(direction: str) -> Callable[[Case], Step | None]:
    def build(case: Case) -> Step | None:
        if case.dtype == "bfloat16":
            return None
        x, t = case.logits(), case.targets()
        step = {"labels": _of_labels, "smoothed": _of_smoothed, "soft": _of_soft, "binary": _of_elements}[case.kind]
        return lambda: step(x, t, direction == BACKWARD)

    return build


def _of_labels(x: Array, t: Array, backward: bool) -> Any:
    log_p, rows = log_softmax(x, axis=-1), np.arange(len(t))
    loss = -log_p[rows, t].mean()
    if not backward:
        return loss
    gradient = np.exp(log_p, out=log_p)
    gradient[rows, t] -= 1.0
    gradient /= len(t)
    return loss, gradient


def _of_soft(x: Array, t: Array, backward: bool) -> Any:
    log_p = log_softmax(x, axis=-1)
    loss = -np.vdot(t, log_p) / len(t)
    if not backward:
        return loss
    gradient = np.exp(log_p, out=log_p)
    gradient -= t
    gradient /= len(t)
    return loss, gradient


def _of_smoothed(x: Array, t: Array, backward: bool) -> Any:
    spread = np.full_like(x, SMOOTHING / x.shape[-1])
    spread[np.arange(len(t)), t] += 1.0 - SMOOTHING
    return _of_soft(x, spread, backward)


def _of_elements(x: Array, t: Array, backward: bool) -> Any:
    loss = (np.logaddexp(0.0, x) - t * x).mean()
    return (loss, (expit(x) - t) / x.size) if backward else loss


def _floor(direction: str) -> Callable[[Case], Step]:
    def build(case: Case) -> Step:
        x = case.logits()
        return x.sum if direction == FORWARD else (lambda: np.negative(x))

    return build


def contenders() -> Iterator[Contender]:
    """Everybody, mode by mode."""
    (mode,) = MODES
    for direction in (FORWARD, BACKWARD):
        yield Contender(OURS, mode, direction, _ours(direction))
        yield Contender("SciPy", mode, direction, _scipy(direction))
        yield Contender(FLOOR, mode, direction, _floor(direction))
