"""A cell of the matrix: one framework's loss, its own or ours, on one family."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from xentropy.parity.judge import Worst
from xentropy.parity.matrix import CaseResult, Entry, FamilyResult
from xentropy.parity.report import NONE, number

# Largest errors of the buckets, in ulp: half of what the bounds allow at least, all of it, a digit, three, five.
BUCKETS = (1.0, 4.0, 32.0, 1e3, 1e5)

LOSS, LABEL, ELSEWHERE, PRODUCTS = (
    "loss",
    "gradient at the label",
    "gradient elsewhere",
    "gradient of hidden, weight or bias",
)
ULP_QUANTITIES = (LOSS, LABEL)


@dataclass(frozen=True)
class Place:
    """Where a quantity is nearest to its bound, or farthest beyond it, in all cases of a family."""

    quantity: str
    result: CaseResult
    worst: Worst
    largest: float

    @property
    def unit(self) -> str:
        """What the distances are in; gradients elsewhere are judged by absolute ones."""
        return " ulp" if self.quantity in ULP_QUANTITIES else ""

    @property
    def distance(self) -> float:
        """From the exact value, in the unit."""
        exactly = self.worst.bound == 0 or math.isinf(self.worst.share) or math.isnan(self.worst.bound)
        return (math.inf if self.worst.share else 0.0) if exactly else self.worst.share * self.worst.bound

    @property
    def met(self) -> bool:
        """Whether it is within the bound."""
        return self.worst.share <= 1


@dataclass(frozen=True)
class Cell:
    """What the matrix says of a framework and a family.

    Attributes:
        backend: the framework's name.
        own: its own loss, not ours.
        places: one for each quantity that there is.
        faults: calls that failed, by case.
        skipped: calls that were not made, by case.
    """

    backend: str
    own: bool
    result: FamilyResult
    places: tuple[Place, ...]
    faults: tuple[tuple[CaseResult, str], ...]
    skipped: tuple[tuple[CaseResult, str], ...]

    @property
    def id(self) -> str:
        """The anchor of the cell."""
        return f"{self.backend}-{'own' if self.own else 'ours'}-{self.result.family.name}"

    @property
    def worst(self) -> Place | None:
        """The place that the cell opens: of what is measured in ulp, unless another quantity misses its bound by more.

        Such errors are small and absolute; what is read off a loss or a gradient is told in ulp.
        """
        candidates = [place for place in self.places if place.unit or not place.met]
        return max(candidates or self.places, key=lambda place: place.worst.share, default=None)

    @property
    def error(self) -> float | None:
        """The largest error in ulp, of losses and gradients at the label; NaN where a NaN came back for a number."""
        places = [place for place in self.places if place.unit]
        if any(place.worst.nan for place in places):
            return math.nan
        return max((place.largest for place in places), default=None)

    @property
    def met(self) -> bool | None:
        """Whether all bounds are met; None where nothing was measured."""
        if self.faults:
            return False
        return all(place.met for place in self.places) if self.places else None

    @property
    def text(self) -> str:
        """What is written in the cell."""
        if self.error is None:
            return "failed" if self.faults else NONE
        return number(self.error)

    @property
    def bucket(self) -> int | None:
        """The colour, from 0 for the best; None where nothing was measured."""
        if self.faults:
            return len(BUCKETS)
        return None if self.error is None else bucket(self.error)


def bucket(error: float) -> int:
    """The first bucket that holds the error; the last one is for all that is larger, and for what is no number."""
    return next((i for i, largest in enumerate(BUCKETS) if error <= largest), len(BUCKETS))


def make_cell(result: FamilyResult, backend: str, *, own: bool) -> Cell:
    """Gather a framework's entries of all cases of a family."""
    entries = [(case, (case.native if own else case.ours)[backend]) for case in result.cases]
    faults = tuple((case, entry.fault) for case, entry in entries if entry.fault)
    skipped = tuple((case, entry.skipped) for case, entry in entries if entry.skipped)
    return Cell(backend, own, result, tuple(_places(entries)), faults, skipped)


def _places(entries: list[tuple[CaseResult, Entry]]) -> Iterable[Place]:
    for quantity, attribute in ((LOSS, "loss"), (LABEL, "label"), (ELSEWHERE, "elsewhere"), (PRODUCTS, "products")):
        found = [(case, getattr(entry.judgement, attribute)) for case, entry in entries]
        present = [(case, worst) for case, worst in found if worst is not None]
        if present:
            case, worst = max(present, key=lambda pair: pair[1].share)
            yield Place(quantity, case, worst, max(worst.error for _, worst in present))
