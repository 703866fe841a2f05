"""Dask under test: a lazy library, cut into chunks along every axis."""

from __future__ import annotations

from typing import Any

import dask.array
import numpy as np

from harness.base import Array, Harness


class DaskHarness(Harness):
    name = "dask"
    floats = ("float16", "float32", "float64")
    autodiff = False
    reads_values = False

    array_type = dask.array.Array

    def asarray(self, values: np.ndarray[Any, Any], dtype: str | None = None) -> Array:
        values = np.array(values, dtype=dtype)
        halves = tuple(max(1, -(-size // 2)) for size in values.shape)
        return dask.array.from_array(values, chunks=halves)

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        # Computed when read, so NumPy's complaints about inf and NaN are the reader's to silence.
        with np.errstate(all="ignore"):
            return np.asarray(x.compute(scheduler="synchronous"))


HARNESS = DaskHarness()
