"""array-api-strict under test: the library that has the standard and nothing else."""

from __future__ import annotations

from typing import Any

import array_api_strict
import numpy as np

from harness.base import Array, Harness


class StrictHarness(Harness):
    name = "array-api-strict"
    autodiff = False

    array_type = type(array_api_strict.zeros(()))

    def asarray(self, values: np.ndarray[Any, Any], dtype: str | None = None) -> Array:
        return array_api_strict.asarray(np.array(values, dtype=dtype))

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        return np.asarray(x)


HARNESS = StrictHarness()
