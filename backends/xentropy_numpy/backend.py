"""NumPy: row blocks into one preallocated output, in place on the block's own scratch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from array_api_compat import numpy as namespace

from xentropy.backend import ArrayAPIBackend, fill_blocks, quiet
from xentropy.rule import Arrays

Array = Any


class NumpyBackend(ArrayAPIBackend):
    """Serves numpy.ndarray and NumPy scalars."""

    name = "numpy"

    def namespace(self, *arrays: Array) -> Any:
        return namespace

    def asarray(self, values: np.ndarray[Any, Any] | float, like: Array) -> Array:
        return np.asarray(values)

    def concrete(self, x: Array, *, sync: bool) -> Array | None:
        return x

    def map_rows(self, fn: Callable[..., Arrays], arrays: Sequence[Array | None]) -> Arrays:
        with quiet():
            return fill_blocks(fn, arrays, lambda like, shape: np.empty(shape, like.dtype))

    def pick(self, x: Array, index: Array) -> Array:
        return np.take_along_axis(x, index[:, None], axis=-1)[:, 0]

    def put(self, x: Array, index: Array, value: Array | float) -> Array:
        np.put_along_axis(x, index[:, None], value if isinstance(value, float) else value[:, None], axis=-1)
        return x


backend = NumpyBackend()
