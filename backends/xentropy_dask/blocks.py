"""Logits in chunks, and all that belongs to them in the same chunks: one task a block, one a row of blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
from dask.graph_manipulation import clone

from xentropy.rule import Arrays

Array = Any

_ROWS, _BLOCK = np.empty((0, 0)), np.empty((0, 0, 0))


@dataclass(frozen=True)
class Blocks:
    """Rows of logits and what belongs to them, in chunks that match: what ``tasks.Block`` is made of."""

    x: Array
    soft: Array | None
    label: Array | None
    weight: Array | None
    mask: Array | None
    keep: Array | None
    place: Array

    @property
    def parts(self) -> int:
        """How many chunks the classes are in."""
        return int(self.x.numblocks[1])

    def again(self, when: str) -> Blocks:
        """The same blocks, to be made once more for what comes ``when`` all of them have been seen.

        Kept, each would stay until then, and of what is larger than memory nothing can be kept.
        """
        large = {"x": self.x, "soft": self.soft, "mask": self.mask}
        given = {name: array for name, array in large.items() if array is not None}
        cloned = clone(*given.values(), seed=when)
        return replace(self, **dict(zip(given, cloned if len(given) > 1 else (cloned,), strict=True)))

    def each(self, task: Callable[..., Array], size: int, *more: tuple[Array, str], **options: Any) -> Array:
        """``task(*block, *more)``, whose numbers of a row go along the last axis: (rows, parts, size)."""
        chunks = {"adjust_chunks": {"j": 1}, "new_axes": {"n": size}}
        return blockwise(task, "rjn", (*self._arguments(), *more), meta=_BLOCK, **chunks, **options)

    def alike(self, task: Callable[..., Array], *more: tuple[Array, str], **options: Any) -> Array:
        """``task(*block, *more)``, of the shape and the dtype of the logits."""
        meta = np.empty((0, 0), dtype=self.x.dtype)
        return blockwise(task, "rj", (*self._arguments(), *more), meta=meta, **options)

    def rows(self, task: Callable[..., Array], size: int, *given: tuple[Array | None, str], **options: Any) -> Array:
        """``task(*given)`` for each row of blocks, with numbers of all parts at once: (rows, size)."""
        return blockwise(task, "rm", given, meta=_ROWS, new_axes={"m": size}, **options)

    def _arguments(self) -> tuple[tuple[Array | None, str], ...]:
        mask = "rj" if self.mask is not None and self.mask.ndim == 2 else "j"
        of_rows = ((self.label, "r"), (self.weight, "j"), (self.mask, mask), (self.keep, "r"))
        # The logits first: by their chunks Dask tells how large a block is.
        return (self.x, "rj"), (self.soft, "rj"), *of_rows, (self.place, "j")


def cut(arrays: Arrays, constants: Arrays) -> Blocks:
    """The arrays of a rule, all in the logits' chunks."""
    x = without_empty(arrays[0])
    rows, classes = x.chunks
    label, weight, mask, keep = constants
    if mask is not None:
        mask = rechunked(mask, rows, classes) if mask.shape[0] == x.shape[0] else rechunked(mask[0, :], classes)
    return Blocks(
        x,
        rechunked(arrays[1], rows, classes) if len(arrays) > 1 else None,
        None if label is None else rechunked(label, rows),
        None if weight is None else rechunked(weight[0, :], classes),
        mask,
        None if keep is None else rechunked(keep, rows),
        places(x),
    )


def places(x: Array) -> Array:
    """The first of the classes and the number of every chunk of them, one chunk for each."""
    sizes = np.array(x.chunks[-1], dtype=np.int64)
    both = np.stack([np.cumsum(sizes) - sizes, np.arange(len(sizes))], axis=-1)
    return da.from_array(both.reshape(-1), chunks=2)


def without_empty(x: Array) -> Array:
    """x without chunks that have nothing of it."""
    chunks = tuple(tuple(size for size in sizes if size) or (0,) for sizes in x.chunks)
    return x if chunks == x.chunks else x.rechunk(chunks)


def on_blocks(task: Callable[..., Array], dtype: Any, x: Array, *given: tuple[Array, str]) -> Array:
    """``task(x, *given)`` for every block: one number for all that it has of the last axis."""
    index, meta = "rj"[-x.ndim :], np.empty((0,) * x.ndim, dtype)
    return blockwise(task, index, ((x, index), *given), meta=meta, adjust_chunks={"j": 1})


def blockwise(
    task: Callable[..., Array], index: str, given: tuple[tuple[Array | None, str], ...], **options: Any
) -> Array:
    """``task`` of blocks whose chunks match, by the names of their axes; axes that are not in ``index`` come whole."""
    pairs = (item for array, where in given for item in (array, None if array is None else where))
    return da.blockwise(task, index, *pairs, align_arrays=False, concatenate=True, **options)


def rechunked(x: Array, *chunks: tuple[int, ...]) -> Array:
    """x in these chunks."""
    return x.rechunk(chunks)
