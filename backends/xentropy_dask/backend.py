"""Dask: arrays in chunks along rows, classes or both, of which nothing is gathered but a few numbers of each row."""

from __future__ import annotations

from typing import Any

import dask.array as da

from xentropy.backend import ArrayAPIBackend, quiet
from xentropy.rule import Arrays
from xentropy_dask import tasks
from xentropy_dask.blocks import on_blocks, places, rechunked, without_empty
from xentropy_dask.rule import chunked

Array = Any


class DaskBackend(ArrayAPIBackend):
    """Serves dask.array.Array; every result is one, and nothing is computed before its owner asks for it."""

    name = "dask"

    def run(self, program: Any, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
        # A bound method, where a gradient is wanted as well.
        owner = getattr(program, "__self__", None)
        # A chunk that has no row, beside one that has the only one, would be taken for a row to be repeated.
        given = (tuple(a if a is None else without_empty(a) for a in some) for some in (arrays, constants, weights))
        arrays, constants, weights = given
        call = chunked(program) if owner is None else getattr(chunked(owner), program.__name__)
        with quiet():
            return call(self, arrays, constants, weights)

    def reshape(self, x: Array, shape: tuple[Any, ...]) -> Array:
        # Dask 2026.8 raises where there is nothing to reshape.
        return da.zeros(shape, dtype=x.dtype) if 0 in shape else super().reshape(x, shape)

    def concrete(self, x: Array, *, sync: bool) -> Array | None:
        # Dask finds no largest of chunks that are empty.
        return without_empty(x) if sync else None

    def argmax(self, x: Array) -> Array:
        return super().argmax(without_empty(x))

    def total(self, x: Array) -> Array:
        return on_blocks(tasks.total, "float64", x).sum(axis=-1)

    def columns(self, x: Array) -> Array:
        return da.arange(x.shape[-1], dtype="int64", chunks=(x.chunks[-1],))

    def pick(self, x: Array, index: Array) -> Array:
        x = without_empty(x)
        rows = rechunked(index, x.chunks[0])
        return on_blocks(tasks.pick, x.dtype, x, (rows, "r"), (places(x), "j")).sum(axis=-1, dtype=x.dtype)


backend = DaskBackend()
