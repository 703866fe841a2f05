"""The few numbers of a measurement that a baseline keeps, and what their errors are roundings of.

About eight rows of each case, evenly spread and the same in every run: of each row the loss, and the gradient at the
label (at the largest target, where targets share a row); of a linear loss as many entries of each of its gradients.

What a number may move by is a few roundings; the question is of what. Ours are of the size of the number itself, but
for a gradient that is the difference of a probability and a target, which has roundings of the row's weight, and a sum
of products, which has those of its terms. A framework's own loss subtracts its logits from the logarithm of a sum, or
1 from a probability, in the dtype of the logits: each is rounded at its own size before the difference is taken, so
a loss of 1e-6 beside a logit of 100 moves by an ulp of 100 when a compiler adds in another order. Its numbers are
held to roundings of the largest of the number, the row's largest finite logit and 1, times the row's weight; where the
input is probabilities, of 1. A loss that turns what is smaller than that into 0 moves by less than one of these, so
that its numbers have the scales of ours with them, for a comparison that is strict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from xentropy.parity.cases import Array, Case
from xentropy.parity.judge import SMALLEST
from xentropy.parity.linear import LinearCase, term_sums
from xentropy.parity.measure import Outcome
from xentropy.parity.reference import Reference
from xentropy.parity.ulp import distance, ulp

COUNT = 8
ITSELF = "the number"


class Scale(NamedTuple):
    """What the errors of numbers are roundings of, where it is larger than the number, and what each is called."""

    sizes: Array
    names: tuple[str, ...]

    @classmethod
    def of(cls, sizes: Array, name: str = ITSELF) -> Scale:
        """Sizes that are all called the same."""
        return cls(sizes, (name,) * len(sizes))


@dataclass(frozen=True, eq=False)
class Numbers:
    """Numbers of one kind that one backend gave for one case.

    Attributes:
        title: what they are, in words.
        places: where each stands, in words that go on from the title.
        values: float64, whatever they were computed in.
        dtype: what they are numbers of.
        wide: what they were computed in, before the last rounding.
        scale: what their errors are roundings of.
        strict: the same in a strict comparison, None where there is no other.
    """

    title: str
    places: tuple[str, ...]
    values: Array
    dtype: str
    wide: str
    scale: Scale
    strict: Scale | None = None

    @property
    def kind(self) -> type[np.floating[Any]]:
        """NumPy's type that holds each of them exactly, and that a file's digits are digits of."""
        return np.float64 if self.wide == "float64" else np.float32

    def strictly(self) -> Numbers:
        """The same, measured in the strict unit."""
        return self if self.strict is None else replace(self, scale=self.strict)

    def units(self, saved: Array) -> list[str]:
        """What the ulp of ``distances`` are ulp of, in words."""
        scaled = np.isfinite(saved) & (np.abs(saved) < self.scale.sizes) & (self.dtype == self.wide)
        return [name if large else ITSELF for name, large in zip(self.scale.names, scaled, strict=True)]

    def distances(self, saved: Array) -> Array:
        """How far each is from a saved number, in ulp; 0 where both are so small that hardware may make them 0."""
        scale = self.scale.sizes if self.dtype == self.wide else 0.0
        tiny = (np.abs(self.values) < SMALLEST[self.dtype]) & (np.abs(saved) < SMALLEST[self.dtype])
        return np.where(tiny, 0.0, distance(self.values, saved, 0.0, self.dtype, scale))

    def allowed(self, saved: Array, bound: float) -> Array:
        """What ``bound`` ulp are in the unit of ``distances``: the least move of a number in half precision is one."""
        if self.dtype == self.wide:
            return np.full(saved.shape, bound)
        error = bound * ulp(np.maximum(np.abs(saved), self.scale.sizes), self.wide) / ulp(saved, self.dtype)
        return np.where(np.isfinite(saved), 1.0 + error, bound)


def sample(case: Case, exact: Reference, outcome: Outcome, *, ours: bool) -> dict[str, Numbers]:
    """What is kept of an outcome, by the name that a baseline has for it; empty where nothing came back."""
    if outcome.loss is None:
        return {}
    rows = chosen(len(outcome.loss))
    of_rows, wide = tuple(f"of row {row}" for row in rows), case.wide_dtype if ours else case.dtype
    own, alone = None if ours else _own_scale(case, exact, rows), Scale.of(np.zeros(len(rows)))
    loss = outcome.loss[rows].astype(np.float64)
    found = {"loss": Numbers("the loss", of_rows, loss, wide, wide, *_scales(alone, own))}
    if outcome.gradient is not None:
        at = _at(case, exact, rows)
        gradient = outcome.gradient[at].astype(np.float64)
        scales = _scales(Scale.of(_shared_scale(exact)[at], "its row's weight"), own)
        found["gradient"] = Numbers("the gradient at the label", of_rows, gradient, case.dtype, wide, *scales)
    if isinstance(case, LinearCase) and outcome.products:
        found |= _products(case, exact, outcome.products)
    return found


def exact_sample(case: Case, exact: Reference) -> Numbers:
    """The exact losses of the same rows, which say whether two baselines had the same input."""
    rows, wide = chosen(len(exact.loss)), case.wide_dtype
    with np.errstate(under="ignore"):
        values = exact.loss[rows].astype(wide).astype(np.float64)
    alone = Scale.of(np.zeros(len(rows)))
    return Numbers("the exact loss", tuple(f"of row {row}" for row in rows), values, wide, wide, alone)


def chosen(count: int) -> Array:
    """At most ``COUNT`` of so many rows, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, COUNT).round().astype(np.int64))


def _at(case: Case, exact: Reference, rows: Array) -> tuple[Array, ...]:
    """The index of the gradient at each row's label."""
    if case.binary:
        return (rows,)
    by_label = case.targets.argmax(axis=1) if case.soft else case.targets.clip(0, case.logits.shape[1] - 1)
    return rows, by_label[rows]


def _weight(exact: Reference) -> Array:
    """What each entry of the gradient is the sum or difference of, where that is finite."""
    weight: Array = np.broadcast_to(np.where(np.isfinite(exact.scale), exact.scale, 0.0), exact.gradient.shape)
    return weight


def _shared_scale(exact: Reference) -> Array:
    """0 where an entry of the gradient carries its row's whole target mass, elsewhere the row's weight."""
    return np.where(exact.at_label, 0.0, _weight(exact))


def _scales(strict: Scale, own: Scale | None) -> tuple[Scale, Scale | None]:
    """The scale of a number, and another for strict comparisons where it is a framework's own."""
    return (strict, None) if own is None else (own, strict)


def _own_scale(case: Case, exact: Reference, rows: Array) -> Scale:
    """What a framework's own loss rounds in each of these rows."""
    if not case.from_logits:
        return Scale.of(np.ones(len(rows)), "1")
    logits = case.logits.reshape(len(case.logits), -1)[rows]
    largest = np.where(np.isfinite(logits), np.abs(logits), 0.0).max(axis=1)
    weight = _weight(exact).reshape(len(case.logits), -1)[rows, 0]
    sizes = np.maximum(1.0, largest) * np.maximum(1.0, weight)
    return Scale(sizes, tuple(_own_name(*row) for row in zip(largest, weight, strict=True)))


def _own_name(largest: float, weight: float) -> str:
    parts = {"its row's largest logit": largest, "its row's weight": weight}
    return " times ".join(name for name, size in parts.items() if size > 1) or "1"


def _products(case: LinearCase, exact: Reference, gradients: Sequence[Array]) -> dict[str, Numbers]:
    found = {}
    for name, gradient, sums in zip(("hidden", "weight", "bias"), gradients, term_sums(case, exact), strict=False):
        at = tuple(np.linspace(0, size - 1, COUNT).round().astype(np.int64) for size in gradient.shape)
        places = tuple(f"at [{', '.join(map(str, place))}]" for place in zip(*at, strict=True))
        values = gradient[at].astype(np.float64)
        scale = Scale.of(sums[at], "the sum of its terms' sizes")
        found[name] = Numbers(f"the gradient of {name}", places, values, case.dtype, case.wide_dtype, scale)
    return found
