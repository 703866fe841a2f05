"""NumPy, beside the log-softmax of SciPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax

import xentropy
from benchmarks.cases import SMOOTHING, Case
from benchmarks.contender import BACKWARD, FORWARD, OURS, Contender, Loss, Step, line_up, ours

PACKAGES = ("numpy", "scipy")
MODES = ("NumPy",)

Array = np.ndarray[Any, Any]


def _ours(case: Case) -> Loss:
    loss = ours(case)
    differentiated = xentropy.value_and_grad(loss)
    return lambda x, t, backward: (differentiated if backward else loss)(x, t)


def _scipy(case: Case) -> Loss:
    return {"labels": _of_labels, "smoothed": _of_smoothed, "soft": _of_soft, "binary": _of_elements}[case.kind]


@lru_cache(maxsize=1)
def _inputs(case: Case) -> tuple[Array, Array]:
    return case.logits(), case.targets()


def _builder(pick: Callable[[Case], Loss], _mode: str, direction: str) -> Callable[[Case], Step | None]:
    def build(case: Case) -> Step | None:
        if case.dtype == "bfloat16":
            return None
        (x, t), loss = _inputs(case), pick(case)
        return lambda: loss(x, t, direction == BACKWARD)

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


def _floor(_mode: str, direction: str) -> Callable[[Case], Step]:
    def build(case: Case) -> Step:
        x, _ = _inputs(case)
        return x.sum if direction == FORWARD else (lambda: np.negative(x))

    return build


def contenders() -> Iterator[Contender]:
    """Everybody, mode by mode."""
    return line_up(MODES, {OURS: _ours, "SciPy": _scipy}, _builder, _floor)
