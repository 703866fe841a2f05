"""Numbers as the page writes them."""

from __future__ import annotations

import math


def scientific(value: float) -> str:
    """Two digits: 1.2e-7, 0.35, 2.1; inf and nan by name."""
    if not math.isfinite(value) or value == 0 or 0.01 <= abs(value) < 99.5:
        return f"{value:.2g}"
    if 99.5 <= abs(value) < 1000:
        return f"{value:.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def exact(value: float) -> str:
    """All digits that tell one number from its neighbours."""
    return repr(value)


def percent(share: float) -> str:
    """A part of a bound, rounded up, so that what is beyond it never looks like 100 %."""
    if not math.isfinite(share):
        return "has to be hit exactly"
    return f"{math.ceil(100 * share)} %" if share < 100 else f"{scientific(share)} times the bound"
