"""The focal factor (1 - p)^gamma on a negative log-likelihood, and its derivative.

Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, equation 4, written as a function of l = -log p:
phi(l) = (1 - exp(-l))^gamma * l.
"""

from __future__ import annotations

from typing import Any

Array = Any


def modulated(xp: Any, nll: Array, gamma: float) -> Array:
    """phi(l): the negative log-likelihood times its focal factor."""
    if gamma == 0.0:
        return nll
    return xp.pow(-xp.expm1(-nll), gamma) * nll


def slope(xp: Any, nll: Array, gamma: float) -> Array:
    """phi'(l) = q^gamma * (1 + gamma * p * l / q), p = exp(-l), q = 1 - p; with its limits at l = 0 and l = inf."""
    p = xp.exp(-nll)
    q = -xp.expm1(-nll)
    some = q > 0.0
    finite = p > 0.0
    ratio = xp.where(finite, nll, 0.0) / xp.where(some, q, 1.0)
    return xp.pow(q, gamma) * (1.0 + gamma * p * xp.where(some, ratio, 1.0))
