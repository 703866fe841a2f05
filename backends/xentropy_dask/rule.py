"""Rules whose blocks are looked at one by one: a graph of ``tasks``, of which nothing is computed here.

A chunk of the classes is a part in the sense of ``xentropy.shards``. Every block says a few numbers of each of its
rows, those of a row of blocks are merged, and the gradient of a block needs its logits and the merged numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xentropy import likelihood, nll, shards, sigmoid, softmax, tokens
from xentropy.program import Program, RowStatistics
from xentropy.rule import Arrays, Rule
from xentropy_dask import tasks
from xentropy_dask.blocks import Blocks, cut, rechunked
from xentropy_dask.elements import ChunkedElements

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any


def chunked(program: Any) -> Any:
    """The program with a rule of blocks, if there is one."""
    if not isinstance(program, (Program, RowStatistics)) or not isinstance(program.rule, Rule):
        return program
    rule = program.rule
    kind = _KINDS.get(rule.forward)
    if kind is None:
        return program
    fields = {field.name: getattr(rule, field.name) for field in dataclasses.fields(rule)}
    return replace(program, rule=kind(**fields))


@dataclass(frozen=True)
class ChunkedSoftmax(Rule):
    """The loss of every row, and the gradient of the logits."""

    def run(self, backend: Backend, arrays: Arrays, constants: Arrays) -> Arrays:
        """The loss of every row."""
        return (self._forward(cut(arrays, constants))[1][:, 0],)

    def value_and_gradient(
        self, backend: Backend, arrays: Arrays, constants: Arrays, cotangent: Array | float
    ) -> tuple[Array, Array]:
        """The loss of every row, and the gradient for a cotangent of each."""
        blocks = cut(arrays, constants)
        records, merged = self._forward(blocks)
        each = (records, "rjn"), (merged, "rm"), (rechunked(cotangent, blocks.x.chunks[0]), "r")
        # Until the other classes' records are merged and, where the mean's denominator is the sum of targets, until all
        # of these have been seen.
        waits = blocks.parts > 1 or blocks.soft is not None
        blocks = blocks.again("gradient") if waits else blocks
        return merged[:, 0], blocks.alike(tasks.gradient, *each, kind=kind_of(self, blocks))

    def _forward(self, blocks: Blocks) -> tuple[Array, Array]:
        """What the blocks say, and what is known of the rows then."""
        kind, keep = kind_of(self, blocks), (blocks.keep, "r")
        size = kind.merged_size
        records = blocks.each(tasks.record, kind.record_size, options=self.options)
        merged = blocks.rows(tasks.merged, size, (records, "rjn"), keep, kind=kind)
        if shards.has_focal_background(kind.options, labelled=kind.labelled):
            each = (records, "rjk"), (merged, "rm")
            sums = blocks.again("background").each(tasks.background, 3, *each, kind=kind)
            merged = blocks.rows(tasks.with_background, size, (merged, "rn"), (sums, "rjk"), keep, kind=kind)
        return records, merged


@dataclass(frozen=True)
class ChunkedStatistics(Rule):
    """Log-sum-exp, log-probability of the label, and entropy of every row."""

    def run(self, backend: Backend, arrays: Arrays, constants: Arrays) -> Arrays:
        """The three of them."""
        blocks = cut(arrays, constants)
        kind = kind_of(self, blocks)
        records = blocks.each(tasks.statistics_record, kind.record_size, options=self.options)
        found = blocks.rows(tasks.statistics, 3, (records, "rjn"), kind=kind)
        dtype = getattr(backend.namespace(found), self.options.compute)
        return tuple(found[:, i].astype(dtype) for i in range(3))


@dataclass(frozen=True)
class ChunkedSum(Rule):
    """A loss that is a sum over classes, as those of probabilities and log-probabilities are, and its gradient."""

    def run(self, backend: Backend, arrays: Arrays, constants: Arrays) -> Arrays:
        """The loss of every row."""
        return (self._losses(cut(arrays, constants)),)

    def value_and_gradient(
        self, backend: Backend, arrays: Arrays, constants: Arrays, cotangent: Array | float
    ) -> tuple[Array, Array]:
        """The loss of every row, and the gradient for a cotangent of each."""
        blocks = cut(arrays, constants)
        losses, pull = self._losses(blocks), (rechunked(cotangent, blocks.x.chunks[0]), "r")
        blocks = blocks if blocks.soft is None else blocks.again("gradient")
        return losses, blocks.alike(tasks.added_gradient, pull, rule=self._plain, classes=blocks.x.shape[1])

    def _losses(self, blocks: Blocks) -> Array:
        each = blocks.each(tasks.added, 1, rule=self._plain, classes=blocks.x.shape[1])
        return each[:, :, 0].sum(axis=1)

    @property
    def _plain(self) -> Rule:
        options: Any = self.options
        # A label is -1 in all blocks but one.
        return Rule(self.forward, self.gradient, replace(options, checked_labels=False))


_KINDS: dict[Callable[..., Arrays], type[Rule]] = {
    softmax.forward: ChunkedSoftmax,
    tokens.forward: ChunkedStatistics,
    likelihood.forward: ChunkedSum,
    nll.forward: ChunkedSum,
    sigmoid.forward: ChunkedElements,
    sigmoid.forward_summed: ChunkedElements,
}


def kind_of(rule: Rule, blocks: Blocks) -> tasks.Kind:
    """How the numbers of these blocks lie side by side."""
    options: Any = rule.options
    return tasks.Kind(options, blocks.label is not None, blocks.weight is not None, blocks.parts)
