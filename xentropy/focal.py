"""The focal factor (1 - p)^gamma on a negative log-likelihood, and its derivative.

Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, equation 4, written as a function of l = -log p:
phi(l) = (1 - exp(-l))^gamma * l.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any


def modulated(backend: Backend, nll: Array, gamma: float) -> Array:
    """phi(l): the negative log-likelihood times its focal factor."""
    if gamma == 0.0:
        return nll
    xp = backend.namespace(nll)
    # Widened: native float32 expm1 errs by up to 5 ulp, and the power multiplies that by gamma.
    wide = backend.widen(nll)
    return xp.astype(_power(xp, -xp.expm1(-wide), gamma) * wide, nll.dtype, copy=False)


def slope(backend: Backend, nll: Array, gamma: float) -> Array:
    """phi'(l) = q^gamma * (1 + gamma * p * l / q), p = exp(-l), q = 1 - p; with its limits at l = 0 and l = inf."""
    xp = backend.namespace(nll)
    wide = backend.widen(nll)
    p = xp.exp(-wide)
    q = -xp.expm1(-wide)
    some = q > 0.0
    ratio = xp.where(p > 0.0, wide, 0.0) / xp.where(some, q, 1.0)
    result = _power(xp, q, gamma) * (1.0 + gamma * p * xp.where(some, ratio, 1.0))
    return xp.astype(result, nll.dtype, copy=False)


def _power(xp: Any, q: Array, gamma: float) -> Array:
    """q^gamma; at q = 0 a constant 0, whose derivative is not the infinity that gamma < 1 has there."""
    some = q > 0.0
    power = xp.pow(xp.where(some, q, 1.0), gamma)
    return xp.where(q == 0.0, 0.0, xp.where(some, power, q))
