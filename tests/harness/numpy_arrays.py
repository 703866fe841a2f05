"""NumPy under test."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from harness.base import Array, Harness


class NumpyHarness(Harness):
    name = "numpy"
    floats = (
        ("float16", "bfloat16", "float32", "float64") if find_spec("ml_dtypes") else ("float16", "float32", "float64")
    )
    autodiff = False

    array_type = (np.ndarray, np.generic)

    def asarray(self, values: np.ndarray[Any, Any], dtype: str | None = None) -> Array:
        if dtype == "bfloat16":
            import ml_dtypes

            return np.array(values, dtype=ml_dtypes.bfloat16)
        # A copy that nobody may write to: every test with NumPy arrays checks that inputs stay untouched.
        copy = np.array(values, dtype=dtype)
        copy.flags.writeable = False
        return copy

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        return np.asarray(x, dtype=np.float32) if self.dtype(x) == "bfloat16" else np.asarray(x)


HARNESS = NumpyHarness()
