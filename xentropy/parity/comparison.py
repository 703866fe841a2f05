"""A run beside a baseline: what moved, by how much, and what is not there any more."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from xentropy.parity.baseline import EXACT, NOBODY, OURS, OWN, Baseline, Key
from xentropy.parity.cases import Array
from xentropy.parity.matrix import FamilyResult
from xentropy.parity.moved import Move, moves_of, other_input, upgrade, versions_of, whose
from xentropy.parity.sample import Numbers

# Instruction sets move our numbers by 6 ulp, the frameworks' own by 4 (SSE4.2 beside AVX-512).
BOUND = 8.0


@dataclass(frozen=True)
class Comparison:
    """What came of it.

    Attributes:
        baseline: what was compared to.
        upgrades: the versions that differ, in words.
        moved: every number beyond the bound.
        missing: what the baseline has and this run has not, in words.
        notes: what is no failure, in words.
        largest: the number that moved most, of our losses and of the frameworks' own; none where nothing moved.
        counts: how many numbers were compared, of either.
        bound: how far each might move, in ulp.
        strict: the backends whose own losses were measured in ulp of the number itself.
    """

    baseline: Baseline
    upgrades: Sequence[str]
    moved: Sequence[Move]
    missing: Sequence[str]
    notes: Sequence[str]
    largest: Mapping[str, Move]
    counts: Mapping[str, int]
    bound: float
    strict: Collection[str] = ()

    @property
    def count(self) -> int:
        """How many numbers were compared."""
        return sum(self.counts.values())

    @property
    def failed(self) -> bool:
        """Whether a build fails of it: of a comparison of nothing as well."""
        return bool(self.moved or self.missing) or not self.count

    def record(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {
            "file": str(self.baseline.file),
            "verdict": "fail" if self.failed else "pass",
            "bound": self.bound if math.isfinite(self.bound) else str(self.bound),
            "strict": sorted(self.strict),
            "numbers": self.count,
            "then": dict(self.baseline.versions),
            "upgrades": list(self.upgrades),
            "largest": {who: str(move) for who, move in self.largest.items()},
            "moved": [str(move) for move in self.moved],
            "missing": list(self.missing),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Run:
    """This run, as far as a comparison has to know it.

    Attributes:
        results: what was measured, for the reasons that something was not.
        numbers: what a baseline would keep of it.
        versions: of xentropy, Python and the frameworks.
        families: the names of those that the user left out.
        backends: the names of those that the user asked for, None for every one that is installed.
    """

    results: Sequence[FamilyResult]
    numbers: Mapping[Key, Numbers]
    versions: Mapping[str, str]
    families: Collection[str] = ()
    backends: Collection[str] | None = None

    def leaves_out(self, key: Key) -> str:
        """The name by which the user left a line out, if so."""
        if key.family in self.families:
            return key.family
        return key.backend if self.backends is not None and key.backend not in (*self.backends, NOBODY) else ""


def compare(baseline: Baseline, run: Run, bound: float, *, strict: bool | Collection[str] = False) -> Comparison:
    """Hold every number of the run against the baseline's.

    Our numbers are measured in ulp of the number itself (a gradient that is a difference, of its row's weight). So are
    the numbers of an own loss that is compared strictly. A framework's other own losses are measured in ulp of the
    row's largest logit: what a compiler moves by adding in another order is a few of these, and a loss of 1e-7 that
    became 0 is less than one.

    Args:
        baseline: what a file says.
        run: what was measured.
        bound: how many ulp a number may move by.
        strict: the names of the backends whose own losses are compared strictly; True for all of them.

    Returns:
        What moved, what is missing, and whether that is a failure; where nothing could be compared, it is.
    """
    own = {key.backend for key in run.numbers if key.whose == OWN}
    strictly = own if strict is True else own.intersection(strict or ())
    pairs = {key: (saved, _held(run.numbers[key], strictly, key)) for key, saved in _shared(baseline, run)}
    strange = {key[:2]: text for key, pair in pairs.items() if (text := other_input(key, *pair))}
    pairs = {key: pair for key, pair in pairs.items() if key.whose != EXACT and key[:2] not in strange}
    moves = [
        move
        for key, pair in pairs.items()
        for move in moves_of(key, *pair, bound, versions_of(key, baseline.versions, run.versions))
    ]
    largest = {who: max(of, key=lambda move: move.distance) for who in (OURS, OWN) if (of := _of(moves, who))}
    return Comparison(
        baseline,
        upgrades=[upgrade(name, baseline.versions, run.versions) for name in _differing(baseline, run)],
        moved=[move for move in moves if move.beyond],
        missing=[*_missing(baseline, run), *strange.values()],
        notes=[*_left_out(baseline, run), *_new(baseline, run)],
        largest=largest,
        counts={who: sum(len(saved) for key, (saved, _) in pairs.items() if key.whose == who) for who in (OURS, OWN)},
        bound=bound,
        strict=strictly,
    )


def _shared(baseline: Baseline, run: Run) -> Iterator[tuple[Key, Array]]:
    return ((key, saved) for key, saved in baseline.lines.items() if key in run.numbers)


def _held(numbers: Numbers, strictly: Collection[str], key: Key) -> Numbers:
    return numbers.strictly() if key.whose == OWN and key.backend in strictly else numbers


def _of(moves: Sequence[Move], who: str) -> list[Move]:
    return [move for move in moves if move.key.whose == who]


def _missing(baseline: Baseline, run: Run) -> Iterator[str]:
    lines = [key for key in baseline.lines if key not in run.numbers and key.whose != EXACT]
    absent = [key for key in lines if not run.leaves_out(key)]
    backends = dict.fromkeys(key.backend for key in absent if key.backend not in run.versions)
    for backend in backends:
        yield f"{backend} {baseline.versions.get(backend, '')} is not installed any more"
    rest = (key for key in absent if key.backend not in backends)
    for (family, case, backend, who), keys in groupby(rest, key=lambda key: key[:4]):
        lacking = ", ".join(key.what for key in keys)
        reason = _reason(run.results, family, case, backend, who)
        yield f"{whose(Key(family, case, backend, who, ''))}: not measured ({lacking}){reason}"


def _reason(results: Sequence[FamilyResult], family: str, case: str, backend: str, who: str) -> str:
    found = [one for result in results if result.family.name == family for one in result.cases if one.case.name == case]
    if not found:
        return ": there is no such case any more"
    entry = (found[0].ours if who == OURS else found[0].native).get(backend)
    return "" if entry is None or not (entry.fault or entry.skipped) else f": {entry.fault or entry.skipped}"


def _left_out(baseline: Baseline, run: Run) -> Iterator[str]:
    names = dict.fromkeys(name for key in baseline.lines if (name := run.leaves_out(key)))
    if names:
        yield f"not asked for: {', '.join(names)}"


def _new(baseline: Baseline, run: Run) -> Iterator[str]:
    new = [key for key in run.numbers if key not in baseline.lines and key.whose in baseline.whose]
    for backend, keys in groupby(sorted(new, key=lambda key: key.backend), key=lambda key: key.backend):
        cases = dict.fromkeys(f"{key.family}/{key.case}" for key in keys)
        first = ", ".join(list(cases)[:3]) + (", ..." if len(cases) > 3 else "")
        many = "1 case" if len(cases) == 1 else f"{len(cases)} cases"
        yield f"not in the baseline: {backend} in {many} ({first}); --save it"


def _differing(baseline: Baseline, run: Run) -> list[str]:
    return [name for name, now in run.versions.items() if baseline.versions.get(name, now) != now]
