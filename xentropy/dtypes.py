"""Which dtypes are logits, class indices or neither: told by name, so that no library has to be asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_FLOATING = frozenset({"float16", "bfloat16", "float32", "float64"})
_SMALLEST_NORMAL = 2.0**-126
_INTEGER = frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"})


# NumPy puts a dtype's name together anew each time, 3 us of it.
_NUMPY_NAMES = {np.dtype(name).type: name for name in (*_FLOATING, *_INTEGER, "bool") if name != "bfloat16"}


def name_of(dtype: Any) -> str:
    """The bare name of a dtype of any library, such as ``"float32"``."""
    if isinstance(dtype, np.dtype) and dtype.type in _NUMPY_NAMES:
        return _NUMPY_NAMES[dtype.type]
    return str(getattr(dtype, "name", dtype)).rsplit(".", 1)[-1]


def is_floating(array: Any) -> bool:
    """Whether the array holds float16, bfloat16, float32 or float64 numbers."""
    return name_of(array.dtype) in _FLOATING


def is_integer(array: Any) -> bool:
    """Whether the array holds signed or unsigned integers (bool is neither)."""
    return name_of(array.dtype) in _INTEGER


def require_floating(array: Any, argument: str) -> None:
    """Raise TypeError unless the array is of a supported floating-point dtype."""
    if not is_floating(array):
        allowed = ", ".join(sorted(_FLOATING))
        raise TypeError(f"{argument} has dtype {name_of(array.dtype)}; it must be one of {allowed}")


def narrow(xp: Any, x: Any, dtype: Any, detach: Callable[[Any], Any]) -> Any:
    """float64 results in a narrower dtype, to the same bits in every library.

    Some kernels flush float32 subnormals to 0, others keep them: all are 0 here. Some convert float64 to half
    precision in one step, others through float32: all go through float32 here.
    """
    # Subtracted, not selected: the derivative of a loss of 0 is the loss's, not that of a constant.
    x = xp.astype(x - detach(xp.where(xp.abs(x) < _SMALLEST_NORMAL, x, 0.0)), xp.float32)
    return xp.astype(x, dtype, copy=False)


def result_name(logits: Any) -> str:
    """The dtype of a loss of these logits: float64 for float64, float32 for everything narrower."""
    return "float64" if name_of(logits.dtype) == "float64" else "float32"
