"""NumPy: row blocks into one preallocated output, in place on the block's own scratch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from array_api_compat import numpy as namespace

from xentropy import few, tape
from xentropy.backend import ArrayAPIBackend, fill_blocks, fill_scan, quiet
from xentropy.rule import Arrays
from xentropy.sums import SHORT, blocked_sum

Array = Any

# Classes whose products are added at a time.
CLASSES = 2048


class NumpyBackend(ArrayAPIBackend):
    """Serves numpy.ndarray and NumPy scalars."""

    name = "numpy"
    logits_share = 0.5

    def namespace(self, *arrays: Array) -> Any:
        return namespace

    def shape(self, x: Array) -> tuple[Any, ...]:
        shape: tuple[int, ...] = x.shape
        return shape

    def asarray(self, values: np.ndarray[Any, Any] | float, like: Array) -> Array:
        return np.asarray(values)

    def concrete(self, x: Array, *, sync: bool) -> Array | None:
        return x

    def all_below(self, index: Array, size: int) -> bool:
        # As unsigned numbers, negative ones are the largest.
        return bool(index.size == 0 or index.view(np.uint64).max() < size)

    def mean_of_few(self, logits: Array, targets: Any) -> Array | None:
        if not (type(logits) is type(targets) is np.ndarray) or targets.dtype.kind not in "iu":
            return None
        if not few.fits(logits.shape, targets.shape) or not 0 <= targets.min() <= targets.max() < logits.shape[1]:
            return None
        with quiet():
            found = few.mean(self, logits, targets)
            if found is None:
                return None
            value, gradient = np.float32(found[0]), found[1]
        return value if gradient is None else tape.record(value, logits, (gradient,))

    def map_rows(self, fn: Callable[..., Arrays], arrays: Sequence[Array | None]) -> Arrays:
        return fill_blocks(fn, arrays, lambda like, shape: np.empty(shape, like.dtype))

    def scan_rows(
        self,
        fn: Callable[..., tuple[Arrays, Arrays]],
        carry: Arrays,
        rows: Sequence[Array | None],
        step: int,
        keep: Array | None,
    ) -> tuple[Arrays, Arrays]:
        kept = None if keep is None or keep.all() else np.flatnonzero(keep)
        return fill_scan(fn, carry, rows, step, kept, lambda like, shape: np.zeros(shape, like.dtype))

    def add_product(self, total: Array, a: Array, b: Array) -> Array:
        # Some classes at a time: NumPy can't add a product, and one of the total's size would be half of the memory.
        for start in range(0, len(total), CLASSES):
            here = slice(start, start + CLASSES)
            total[here] += a[:, here].T @ b
        return total

    def widen(self, x: Array) -> Array:
        return x.astype(np.float64, copy=False)

    def total(self, x: Array) -> Array:
        return x.sum(-1, np.float64) if x.shape[-1] <= SHORT else blocked_sum(self, x)

    def writes(self, x: Array) -> bool:
        return True

    def empty_like(self, x: Array) -> Array:
        return np.empty(x.shape, x.dtype)

    def pick(self, x: Array, index: Array) -> Array:
        return x[np.arange(len(index)), index]

    def put(self, x: Array, index: Array, value: Array | float) -> Array:
        x[np.arange(len(index)), index] = value
        return x

    def exp_below(self, x: Array, origin: Array) -> Array:
        np.subtract(x, origin[:, None], out=x)
        return np.exp(x, out=x)

    def into(self, memory: Array, function: str, *args: Array) -> Array:
        return getattr(np, function)(*args, out=memory)

    def scale_into(self, out: Array, x: Array, factor: Array) -> None:
        np.multiply(x, factor.astype(x.dtype)[:, None], out=out, casting="same_kind")

    def softplus(self, x: Array) -> Array:
        return np.logaddexp(0.0, x)


backend = NumpyBackend()
