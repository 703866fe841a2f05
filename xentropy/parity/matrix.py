"""All cases through all backends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from xentropy.parity.adapter import ParityAdapter
from xentropy.parity.cases import Array, Case
from xentropy.parity.families import Family
from xentropy.parity.judge import SMALLEST, Judgement, Worst, judge, judged_rows, spread_bound
from xentropy.parity.measure import Outcome, native, ours
from xentropy.parity.reference import Reference, reference
from xentropy.parity.sample import Numbers, exact_sample, sample
from xentropy.parity.ulp import ulp

Adapters = Mapping[str, ParityAdapter]
Step = Callable[[], None]


@dataclass(frozen=True)
class Entry:
    """One backend's own column of a case: ours, or the framework's; ``sample`` is some of the numbers that it gave."""

    judgement: Judgement
    array_type: str = ""
    fault: str = ""
    skipped: str = ""
    example: str = ""
    sample: Mapping[str, Numbers] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """Largest distance between backends over the rows of a case, in ulp; None where fewer than two answered."""

    loss: float | None
    label: float | None
    identical: bool


@dataclass(frozen=True)
class Miss:
    """A bound that was missed, in words, with the numbers."""

    family: str
    case: str
    backend: str
    what: str
    numbers: str = ""


@dataclass
class CaseResult:
    """A case with every backend's errors."""

    case: Case
    ours: dict[str, Entry] = field(default_factory=dict)
    native: dict[str, Entry] = field(default_factory=dict)
    spread: Spread = Spread(None, None, True)
    native_spread: Spread = Spread(None, None, True)
    exact: Numbers | None = None


@dataclass
class FamilyResult:
    """The cases of a family, and the time they took."""

    family: Family
    cases: list[CaseResult]
    seconds: float

    def misses(self) -> list[Miss]:
        """Every bound that one of our losses missed."""
        return [Miss(self.family.name, result.case.name, *found) for result in self.cases for found in _misses(result)]


def run_family(family: Family, adapters: Adapters, seed: int, step: Step = lambda: None) -> FamilyResult:
    """Measure and judge every case of a family; ``step`` is called after each backend's turn at each case."""
    start = time.perf_counter()
    cases = [run_case(case, adapters, step) for case in family.cases(seed)]
    return FamilyResult(family, cases, time.perf_counter() - start)


def run_case(case: Case, adapters: Adapters, step: Step = lambda: None) -> CaseResult:
    """Measure and judge one case."""
    exact = reference(case)
    result = CaseResult(case, exact=exact_sample(case, exact))
    own: list[Outcome] = []
    peers: list[Outcome] = []
    for name, adapter in adapters.items():
        own.append(ours(adapter, case))
        peers.append(native(adapter, case))
        result.ours[name] = _entry(case, exact, own[-1], ours=True)
        result.native[name] = _entry(case, exact, peers[-1], ours=False)
        step()
    result.spread = _spread(case, exact, own)
    result.native_spread = _spread(case, exact, peers)
    return result


def _entry(case: Case, exact: Reference, outcome: Outcome, *, ours: bool) -> Entry:
    example = ""
    if case.expected is not None and outcome.loss is not None:
        example = f"{float(outcome.loss.ravel()[0]):.4f}"
    numbers = sample(case, exact, outcome, ours=ours)
    return Entry(judge(case, exact, outcome), outcome.array_type, outcome.fault, outcome.skipped, example, numbers)


def _spread(case: Case, exact: Reference, outcomes: Iterable[Outcome]) -> Spread:
    answers = [outcome for outcome in outcomes if outcome.loss is not None]
    losses = [answer.loss for answer in answers if answer.loss is not None]
    gradients = [answer.gradient for answer in answers if answer.gradient is not None]
    rows = judged_rows(case, exact)
    here = exact.at_label & (np.abs(exact.gradient) >= SMALLEST[case.dtype]) & np.isfinite(exact.gradient)
    return Spread(
        loss=_distance([loss[rows] for loss in losses], ulp(exact.loss[rows], case.wide_dtype)),
        label=_distance([gradient[here] for gradient in gradients], ulp(exact.gradient[here], case.dtype)),
        identical=_identical(losses) and _identical(gradients),
    )


def _distance(values: list[Array], unit: Array) -> float | None:
    if len(values) < 2 or not unit.size:
        return None
    stacked = np.stack(values).astype(np.float64)
    with np.errstate(invalid="ignore"):
        distance = (stacked.max(axis=0) - stacked.min(axis=0)) / unit
    # Infinities of the same sign are at no distance, a NaN beside a number at an infinite one.
    together = (stacked == stacked[0]).all(axis=0)
    return float(np.where(together, 0.0, np.where(np.isnan(distance), np.inf, distance)).max())


def _identical(values: list[Array]) -> bool:
    return all(value.tobytes() == values[0].tobytes() for value in values[1:])


def _misses(result: CaseResult) -> Iterable[tuple[str, ...]]:
    for backend, entry in result.ours.items():
        if entry.fault:
            yield backend, entry.fault
        yield from ((backend, *found) for found in _worst_misses(entry))
        if result.case.expected is not None and not entry.skipped and entry.example != result.case.expected:
            yield backend, f"gives {entry.example or 'nothing'} where {result.case.expected} is due"
    everyone, allowed = "all backends", spread_bound(result.case)
    if result.case.precision and not result.spread.identical:
        yield everyone, "results differ in their bits"
    for what, spread in (("losses", result.spread.loss), ("gradients at the label", result.spread.label)):
        if spread is not None and spread > allowed:
            yield everyone, f"{what} are {spread:.3g} ulp apart, {allowed:g} allowed"


def _worst_misses(entry: Entry) -> Iterable[tuple[str, str]]:
    judgement = entry.judgement
    for what, worst, unit in (
        ("loss", judgement.loss, " ulp"),
        ("gradient at the label", judgement.label, " ulp"),
        ("gradient elsewhere", judgement.elsewhere, ""),
        ("gradient of hidden, weight or bias", judgement.products, ""),
    ):
        if worst is not None and worst.share > 1:
            yield (
                f"{what}, row {worst.row}",
                f"{worst.computed:.9g} in place of {worst.exact:.9g}: {_excess(worst, unit)}",
            )


def _excess(worst: Worst, unit: str) -> str:
    if np.isinf(worst.share):
        return "has to be hit exactly"
    return f"{worst.share * worst.bound:.3g}{unit} off, {worst.bound:.3g} allowed"
