"""Arrays as the nested lists of numbers that somebody would write into a program."""

from __future__ import annotations

import math

import numpy as np

from xentropy.parity.cases import Array


def written(values: Array) -> str:
    """Source of the values: the shortest numbers that are these again, rounded once; ``inf`` and ``nan`` by name."""
    if values.ndim:
        return f"[{', '.join(written(one) for one in values)}]"
    return str(int(values)) if values.dtype.kind in "iu" else _number(values)


def _number(value: Array) -> str:
    wide = float(value)
    if not math.isfinite(wide):
        return repr(wide)
    if value.dtype != np.float32:
        return repr(wide)
    # Python reads a double first: where that is not one that rounds to the float, all of its digits are written.
    short = str(np.float32(wide))
    return short if np.float32(float(short)) == value else repr(wide)
