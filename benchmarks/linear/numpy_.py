"""NumPy, beside the log-softmax of SciPy and two products by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
from scipy.special import log_softmax

import xentropy
from benchmarks.contender import BACKWARD, OURS, Contender, Loss, Step
from benchmarks.linear.cases import IGNORED, Array, LinearCase

PACKAGES = ("numpy", "scipy")
MODES = ("NumPy",)
KEEPS = False


def _ours(case: LinearCase) -> Loss:
    return partial(xentropy.value_and_grad(xentropy.linear_cross_entropy), **case.options)


def _scipy(_: LinearCase) -> Loss:
    return _by_hand


def _by_hand(h: Array, w: Array, y: Array) -> tuple[Any, tuple[Array, Array]]:
    kept = y != IGNORED
    rows, count = np.flatnonzero(kept), np.count_nonzero(kept)
    log_p = log_softmax(h @ w.T, axis=-1)
    loss = -log_p[rows, y[rows]].sum() / count
    g = np.exp(log_p, out=log_p)
    g[rows, y[rows]] -= 1.0
    g[~kept] = 0.0
    g /= count
    return loss, (g @ w, g.T @ h)


@lru_cache(maxsize=1)
def _inputs(case: LinearCase) -> tuple[Array, Array, Array]:
    return case.arrays()


def _builder(pick: Callable[[LinearCase], Loss]) -> Callable[[LinearCase], Step | None]:
    def build(case: LinearCase) -> Step | None:
        # No product of NumPy's takes bfloat16 in less than minutes.
        if case.dtype == "bfloat16":
            return None
        inputs, step = _inputs(case), pick(case)
        return lambda: step(*inputs)

    return build


def contenders() -> Iterator[Contender]:
    """Both."""
    for who, pick in ((OURS, _ours), ("SciPy", _scipy)):
        yield Contender(who, MODES[0], BACKWARD, _builder(pick))
