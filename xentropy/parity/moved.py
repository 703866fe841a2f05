"""One number of a run beside the same number of a baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from xentropy.parity.baseline import EXACT, OURS, Key
from xentropy.parity.cases import Array
from xentropy.parity.sample import Numbers

# Exact losses are computed in float64: one that moves this far, in ulp of the result, is that of another input.
SAME_INPUT = 4.0


@dataclass(frozen=True)
class Move:
    """One number, then and now, to the digits that tell it.

    Attributes:
        key: whose it is.
        title: what it is, in words.
        place: where it stands.
        was: in the baseline.
        now: in the run.
        distance: in ulp.
        allowed: in the same ulp.
        unit: what these are ulp of, in words.
        versions: of what computed it.
    """

    key: Key
    title: str
    place: str
    was: float
    now: float
    distance: float
    allowed: float
    unit: str
    versions: str

    @property
    def beyond(self) -> bool:
        """Whether it moved too far; whatever is allowed, what became NaN or infinite did, and what was."""
        return math.isinf(self.distance) or not self.distance <= self.allowed

    def __str__(self) -> str:
        apart = f"{self.distance:.4g} ulp of {self.unit} apart, {self.allowed:.4g} allowed"
        numbers = f"{self.title} {self.place} was {self.was!r}, is {self.now!r}"
        return f"{whose(self.key)}: {numbers}: {apart} ({self.versions})"


def whose(key: Key) -> str:
    """A case and whose loss of it, in words."""
    loss = f"xentropy on {key.backend}" if key.whose == OURS else f"{key.backend}'s own loss"
    return f"{key.family}/{key.case}, {loss}"


def moves_of(key: Key, saved: Array, numbers: Numbers, bound: float, versions: str) -> Iterator[Move]:
    """The numbers of a line that are not the saved ones."""
    with np.errstate(under="ignore", over="ignore"):
        kept = saved.astype(numbers.kind)
    was = kept.astype(np.float64)
    distances, allowed, units = numbers.distances(was), numbers.allowed(was, bound), numbers.units(was)
    for i in np.flatnonzero(distances):
        then, now = float(str(kept[i])), float(str(numbers.kind(numbers.values[i])))
        far = float(distances[i]), float(allowed[i])
        yield Move(key, numbers.title, numbers.places[i], then, now, *far, units[i], versions)


def other_input(key: Key, saved: Array, numbers: Numbers) -> str:
    """What is wrong where two lines are not about the same numbers."""
    where = f"{key.family}/{key.case}"
    if len(saved) != len(numbers.values):
        return f"{where}: {numbers.title} has {len(saved)} numbers in the baseline, {len(numbers.values)} here"
    if key.whose != EXACT:
        return ""
    worst = max(moves_of(key, saved, numbers, SAME_INPUT, ""), key=lambda move: move.distance, default=None)
    if worst is None or worst.distance <= SAME_INPUT:
        return ""
    exactly = f"{worst.title} {worst.place} was {worst.was!r}, is {worst.now!r}"
    return f"{where}: the input is not the baseline's: {exactly}"


def upgrade(name: str, then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """A version then and now, in words."""
    was, now_is = then.get(name, "unknown"), now[name]
    return f"{name} {now_is}" if was == now_is else f"{name} {was} -> {now_is}"


def versions_of(key: Key, then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The versions of what computed a number: the framework's, and of the loss itself where that changed."""
    loss = "xentropy" if key.whose == OURS else f"{key.backend}'s own loss"
    changed = [loss] if then.get(loss) != now.get(loss) else []
    return ", ".join(upgrade(name, then, now) for name in (key.backend, *changed))
