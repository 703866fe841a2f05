"""Distances in units in the last place."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

PRECISION = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
"""Bits of the significand, the leading one included."""

_LOWEST_EXPONENT = {"float16": -24, "bfloat16": -133, "float32": -149, "float64": -1074}


def ulp(exact: Array, dtype: str) -> Array:
    """The gap between neighbours of the dtype at each finite value, as float64.

    Below the smallest normal number, and at 0, it is the gap of the subnormals. Values that are not finite get NaN.
    """
    _, exponent = np.frexp(exact)
    lowest = _LOWEST_EXPONENT[dtype]
    gap = np.ldexp(1.0, np.where(exact == 0, lowest, np.maximum(exponent - PRECISION[dtype], lowest)))
    return np.where(np.isfinite(exact), gap, np.nan)


def distance(computed: Array, exact: Array, tail: Array | float, dtype: str, scale: Array | float = 0.0) -> Array:
    """How far each computed number is from ``exact + tail``, in ulp of the dtype at the exact value.

    At ``scale`` where that is larger. Where the exact value is NaN or infinite the distance is 0 for the same value and
    infinite for any other; a computed NaN or infinity in place of a number is infinitely far.
    """
    return in_units(computed, exact, tail, ulp(np.maximum(np.abs(exact), scale), dtype))


def in_units(computed: Array, exact: Array, tail: Array | float, unit: Array) -> Array:
    """The same in units of the caller's own."""
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.abs((computed.astype(np.float64) - exact) - tail) / unit
    same = (computed == exact) | (np.isnan(computed) & np.isnan(exact))
    return np.where(np.isfinite(exact) & np.isfinite(computed), finite, np.where(same, 0.0, np.inf))
