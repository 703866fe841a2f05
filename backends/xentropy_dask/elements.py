"""Losses of elements, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xentropy.backend import quiet
from xentropy.registry import resolve
from xentropy.rule import Arrays, Rule
from xentropy_dask.blocks import blockwise, rechunked

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any


@dataclass(frozen=True)
class ChunkedElements(Rule):
    """A rule of elements, whose losses are added up along the rows or not, and its gradient."""

    def run(self, backend: Backend, arrays: Arrays, constants: Arrays) -> Arrays:
        """The loss of every element, or row."""
        given = _alike(arrays, constants)
        if self.elementwise:
            meta = np.empty((0, 0), self.options.compute)
            return (blockwise(losses, "rj", given, meta=meta, rule=self._plain),)
        sums = blockwise(losses, "rj", given, meta=np.empty((0, 0)), adjust_chunks={"j": 1}, rule=self._plain)
        return (sums.sum(axis=-1),)

    def value_and_gradient(
        self, backend: Backend, arrays: Arrays, constants: Arrays, cotangent: Array | float
    ) -> tuple[Array, Array]:
        """The same, and the gradient for a cotangent of each."""
        given = _alike(arrays, constants)
        index = "rj" if self.elementwise else "r"
        pull = rechunked(cotangent, *arrays[0].chunks[: len(index)])
        meta = np.empty((0, 0), arrays[0].dtype)
        gradients = blockwise(gradient, "rj", (*given, (pull, index)), meta=meta, rule=self._plain)
        return self.run(backend, arrays, constants)[0], gradients

    @property
    def _plain(self) -> Rule:
        return Rule(self.forward, self.gradient, self.options, elementwise=self.elementwise, joint=self.joint)


def losses(x: Array, y: Array, *constants: Array, rule: Rule) -> Array:
    """The losses of a block, or their sums along its rows, (rows, 1)."""
    with quiet():
        (found,) = rule.run(resolve(x), (x, y), (*constants, None))
    return found if rule.elementwise else found[:, None]


def gradient(x: Array, y: Array, *given: Array, rule: Rule) -> Array:
    """The gradient of a block, for a cotangent of what ``losses`` returns."""
    *constants, cotangent = given
    with quiet():
        return rule.pull_back(resolve(x), (x, y), (*constants, None), (cotangent,), (True, False))[0]


def _alike(arrays: Arrays, constants: Arrays) -> tuple[tuple[Array | None, str], ...]:
    """All but the last of the constants, in the chunks of the first."""
    chunks = arrays[0].chunks
    given = (*arrays, *constants[:-1])
    return tuple((None if array is None else rechunked(array, *chunks), "rj") for array in given)
