"""Keras's conventions in many digits, written from its documentation; nothing here comes from the core."""

from __future__ import annotations

from typing import Any

import mpmath

mpmath.mp.dps = 60


def softmax(row: Any) -> list[Any]:
    weights = [mpmath.exp(mpmath.mpf(float(x))) for x in row]
    return [w / mpmath.fsum(weights) for w in weights]


def categorical(targets: Any, p: Any, *, alpha: Any = None, gamma: float = 0.0, smoothing: float = 0.0) -> float:
    """The loss of one row of probabilities."""
    classes = len(p)
    alpha = [1.0] * classes if alpha is None else alpha
    terms = [
        mpmath.mpf(float(a))
        * (t * (1 - mpmath.mpf(smoothing)) + mpmath.mpf(smoothing) / classes)
        * (1 - q) ** gamma
        * -mpmath.log(q)
        for a, t, q in zip(alpha, (mpmath.mpf(float(t)) for t in targets), p, strict=True)
    ]
    return float(mpmath.fsum(terms))


def binary(
    y: float, p: Any, factor_p: Any = None, *, alpha: float | None = None, gamma: float = 0.0, smoothing: float = 0.0
) -> float:
    """The loss of one element; ``factor_p`` is the probability of the focal factor where it is not clipped."""
    y = mpmath.mpf(float(y)) * (1 - mpmath.mpf(smoothing)) + mpmath.mpf(smoothing) / 2
    factor_p = p if factor_p is None else factor_p
    loss = -(y * mpmath.log(p) + (1 - y) * mpmath.log(1 - p))
    weight = 1 if alpha is None else y * alpha + (1 - y) * (1 - alpha)
    wrong = 1 - (y * factor_p + (1 - y) * (1 - factor_p))
    return float(weight * wrong**gamma * loss)


def sigmoid(z: float) -> Any:
    return 1 / (1 + mpmath.exp(-mpmath.mpf(float(z))))
