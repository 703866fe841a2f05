"""What is computed of one block, or of the records of one row of blocks: functions of NumPy-like arrays.

Numbers of a row leave a task side by side in one float64 array, (rows, numbers): float32, indices and booleans are in
it as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from xentropy import shard_statistics, shards
from xentropy.backend import Backend, quiet
from xentropy.options import SoftmaxOptions
from xentropy.registry import resolve
from xentropy.rule import Arrays, Rule
from xentropy.shards import Merged, Outcome, Record

Array = Any


@dataclass(frozen=True)
class Kind:
    """What tells how numbers lie side by side: the options, what targets are, and the number of parts."""

    options: SoftmaxOptions
    labelled: bool
    weighted: bool
    parts: int

    @property
    def record(self) -> Record:
        """Which fields the record of a part has."""
        return shards.kind(self.options, labelled=self.labelled, weighted=self.weighted)

    @property
    def record_size(self) -> int:
        """Numbers of a record, and the place of the logit set aside (of token statistics: ``below``)."""
        return len(self.record.fields()) + 1

    @property
    def merged(self) -> list[str]:
        """Which fields of ``Merged`` are the same for all parts, and there."""
        absent = {"maximum", "mine"}
        absent |= set() if self.options.label_smoothing else {"share"}
        absent |= set() if self.options.z_loss else {"z_pull"}
        return [name for name in Merged._fields if name not in absent]

    @property
    def merged_size(self) -> int:
        """Numbers of a merged row: the loss, those, the part of the largest logit, and how each part measures that."""
        return 2 + len(self.merged) + (self.parts if self.options.activates else 1)


@dataclass(frozen=True)
class Block:
    """A block of logits and what belongs to it; ``place`` is (the first of its classes, its number among the parts)."""

    x: Array
    soft: Array | None
    label: Array | None
    weight: Array | None
    mask: Array | None
    keep: Array | None
    place: Array

    @property
    def arrays(self) -> Arrays:
        """What the loss is a function of."""
        return (self.x,) if self.soft is None else (self.x, self.soft)

    def constants(self, backend: Backend) -> Arrays:
        """Those of ``shards.forward``: labels are counted from the block's first class, and -1 elsewhere."""
        label = self.label
        if label is not None:
            label = backend.as_index(shards.own_label(backend, label, int(self.place[0]), self.x.shape[1]))
        weight = None if self.weight is None else self.weight[None, :]
        mask = self.mask if self.mask is None or self.mask.ndim == 2 else self.mask[None, :]
        return label, weight, mask, self.keep


def record(*block: Array, options: SoftmaxOptions) -> Array:
    """The record of a block, (rows, 1, numbers)."""
    return _of_block(Block(*block), Rule(shards.forward, shards.gradient, options))


def statistics_record(*block: Array, options: SoftmaxOptions) -> Array:
    """The record of a block for token statistics, (rows, 1, numbers)."""
    return _of_block(Block(*block), Rule(shard_statistics.forward, shards.gradient, options))


def _of_block(block: Block, rule: Rule) -> Array:
    backend = resolve(block.x)
    with quiet():
        return _beside(backend, rule.run(backend, block.arrays, block.constants(backend)))[:, None, :]


def merged(records: Array, keep: Array | None, *, kind: Kind) -> Array:
    """The loss of rows whose records are given, (rows, parts, numbers), and what the gradient of each part needs."""
    backend = resolve(records)
    xp = backend.namespace(records)
    compute = getattr(xp, kind.options.compute)
    parts = kind.record.filled(_apart(records[..., :-1]))
    with quiet():
        outcome = shards.merge(backend, kind.options, parts, 0, keep, compute)
        places = shards.places_of(backend, kind.options, parts)
        seen = range(kind.parts if kind.options.activates else 1)
        maxima = (xp.astype(shards.seen_from(backend, parts, places, j), compute) for j in seen)
        return _beside(backend, (*_common(outcome, kind), places.winner, *maxima))


def background(*given: Array, kind: Kind) -> Array:
    """Of a block, its record and its merged rows: what classes with a focal factor each add, (rows, 1, numbers)."""
    *of_block, record, merged = given
    block, rule = Block(*of_block), Rule(shards.focal_background, shards.gradient, kind.options)
    backend = resolve(block.x)
    constants = block.constants(backend)
    with quiet():
        more = (*constants, _largest(backend, record), merged[:, 0], *_seen(backend, merged, block, kind), constants[3])
        return _beside(backend, rule.run(backend, block.arrays, more))[:, None, :]


def with_background(merged: Array, sums: Array, keep: Array | None, *, kind: Kind) -> Array:
    """What ``merged`` has returned, with what the parts' ``background`` adds: (rows, parts, numbers)."""
    backend = resolve(merged)
    xp = backend.namespace(merged)
    fields = dict.fromkeys(Merged._fields)
    fields |= dict(zip(kind.merged, _apart(merged[:, 1:]), strict=False))
    outcome = Outcome(merged[:, 0], merged[:, 0], merged[:, 0], Merged(**fields))
    with quiet():
        outcome = shards.with_background(backend, outcome, _apart(xp.sum(sums, axis=1)), keep)
    common = _common(outcome, kind)
    return _beside(backend, (*common, *_apart(merged[:, len(common) :])))


def gradient(*given: Array, kind: Kind) -> Array:
    """The gradient of a block, given its record, its merged rows and a cotangent of every row's loss."""
    *of_block, record, merged, cotangent = given
    block, rule = Block(*of_block), Rule(shards.forward, shards.gradient, kind.options)
    backend = resolve(block.x)
    constants, needs = block.constants(backend), (True, *(False for _ in block.arrays[1:]))
    with quiet():
        more = (*constants, _largest(backend, record), cotangent, *_seen(backend, merged, block, kind), constants[3])
        return rule.pull_back(backend, block.arrays, more, (cotangent,), needs)[0]


def statistics(records: Array, *, kind: Kind) -> Array:
    """Log-sum-exp, log-probability and entropy of rows whose records are given, (rows, 3)."""
    backend = resolve(records)
    compute = getattr(backend.namespace(records), kind.options.compute)
    parts = kind.record.filled(_apart(records[..., :-1]))
    with quiet():
        return _beside(backend, shard_statistics.merge(backend, kind.options, parts, records[..., -1], compute))


def added(*block: Array, rule: Rule, classes: int) -> Array:
    """A block's share of losses that are sums over the classes, (rows, 1, 1); ``classes`` are those of all blocks."""
    backend = resolve(block[0])
    with quiet():
        rule, arrays, constants = _alone(backend, Block(*block), rule, classes)
        return _beside(backend, rule.run(backend, arrays, constants))[:, None, :]


def added_gradient(*given: Array, rule: Rule, classes: int) -> Array:
    """The gradient of a block whose loss is ``added``, given a cotangent of every row's loss as well."""
    *of_block, cotangent = given
    block, backend = Block(*of_block), resolve(given[0])
    with quiet():
        rule, arrays, constants = _alone(backend, block, rule, classes)
        needs = (True, *(False for _ in arrays[1:]))
        return rule.pull_back(backend, arrays, constants, (cotangent,), needs)[0]


def _alone(backend: Backend, block: Block, rule: Rule, classes: int) -> tuple[Rule, Arrays, Arrays]:
    """What a rule makes of a block as if there were no other: rows whose label is elsewhere are removed.

    Smoothing is a share of all classes, and so becomes a probability of each. A label that no block has is NaN in all.
    """
    label, weight, _, keep = block.constants(backend)
    options: Any = rule.options
    if block.label is not None and not options.label_smoothing:
        mine = (label >= 0) | (block.label < 0)
        return rule, (block.x,), (label, weight, None, mine if keep is None else mine & keep)
    xp = backend.namespace(block.x)
    compute = getattr(xp, options.compute)
    if block.label is None:
        soft = xp.astype(block.soft, compute)
    else:
        soft = xp.where(backend.columns(block.x)[None, :] == label[:, None], xp.ones_like(block.x, dtype=compute), 0.0)
        soft = xp.where((block.label < 0)[:, None], math.nan, soft)
    if options.label_smoothing:
        soft = (1.0 - options.label_smoothing) * soft + options.label_smoothing / classes
        rule = replace(rule, options=replace(options, label_smoothing=0.0))
    return rule, (block.x, soft), (None, weight, None, keep)


def total(x: Array) -> Array:
    """The sum of a block over its last axis, which stays."""
    with quiet():
        return resolve(x).total(x)[..., None]


def pick(x: Array, index: Array, place: Array) -> Array:
    """``x[row, index[row]]`` where it is in this block, else 0; (rows, 1)."""
    backend = resolve(x)
    xp, here = backend.namespace(x), index - int(place[0])
    inside = (here >= 0) & (here < x.shape[1])
    found = backend.pick(x, backend.as_index(xp.where(inside, here, 0)))
    return xp.where(inside, found, xp.zeros_like(found))[:, None]


def _beside(backend: Backend, numbers: Arrays) -> Array:
    """Numbers of rows side by side along the last axis; a number for all rows is one for each."""
    xp = backend.namespace(*(number for number in numbers if hasattr(number, "dtype")))
    wide = [xp.astype(number, xp.float64) if hasattr(number, "dtype") else number for number in numbers]
    none = next(xp.zeros_like(number) for number in wide if hasattr(number, "dtype"))
    return xp.stack([none + number for number in wide], axis=-1)


def _apart(numbers: Array) -> Arrays:
    return tuple(numbers[..., i] for i in range(numbers.shape[-1]))


def _common(outcome: Outcome, kind: Kind) -> Arrays:
    return outcome.loss, *(getattr(outcome.merged, name) for name in kind.merged)


def _largest(backend: Backend, record: Array) -> Array:
    return backend.as_index(record[:, 0, -1])


def _seen(backend: Backend, merged: Array, block: Block, kind: Kind) -> Arrays:
    """The fields of ``Merged`` as the part of this block sees them."""
    xp, number, count = backend.namespace(merged), int(block.place[1]), 1 + len(kind.merged)
    maximum = merged[:, count + 1 + (number if kind.options.activates else 0)]
    fields = dict.fromkeys(Merged._fields)
    fields |= dict(zip(kind.merged, _apart(merged[:, 1:count]), strict=True))
    fields["maximum"] = xp.astype(maximum, getattr(xp, kind.options.compute), copy=False)
    fields["mine"] = merged[:, count] == number
    return tuple(fields[name] for name in Merged._fields)
