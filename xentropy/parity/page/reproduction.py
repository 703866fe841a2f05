"""The row that a cell opens with, and the program that gives its number again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xentropy.parity import snippet
from xentropy.parity.adapter import ParityAdapter
from xentropy.parity.cases import Array, Case
from xentropy.parity.literals import written
from xentropy.parity.measure import Outcome, native, ours
from xentropy.parity.page.cells import ELSEWHERE, LOSS, PRODUCTS, Cell, Place
from xentropy.parity.reference import reference

# What can be read on a page; of a longer row, its size and its range.
MOST_LISTED = 64


@dataclass(frozen=True)
class Reproduction:
    """One row of a case, in words, and as a program.

    Attributes:
        case: the whole case.
        row: which row.
        logits: of the row.
        target: of the row.
        program: prints the number; None where the adapter has no source of the framework's own loss.
        value: the number, measured once more as the program does; None where a call fails.
        alone: whether the program has the row alone.
    """

    case: Case
    row: int
    logits: str
    target: str
    program: str | None
    value: float | None
    alone: bool


def reproduce(cell: Cell, adapter: ParityAdapter, seed: int) -> Reproduction | None:
    """Of the cell's worst place; of the first call that failed, where one did; None where no call was made."""
    if cell.faults:
        case, place = cell.faults[0][0].case, None
    elif cell.worst is not None:
        case, place = cell.worst.result.case, cell.worst
    else:
        return None
    row = place.worst.row if place is not None and place.quantity != PRODUCTS else 0
    alone, value, entry = _found(cell, adapter, case, place, row)
    origin = snippet.Origin(cell.result.family.name, seed, row if alone else None)
    shown = "" if alone else f"[{row}]"
    program = snippet.reproduce(
        case.only([row]) if alone else case, adapter, origin, own=cell.own, row=shown, entry=entry
    )
    return Reproduction(case, row, _logits(case.logits[row]), _target(case, row), program, value, alone)


def _found(
    cell: Cell, adapter: ParityAdapter, case: Case, place: Place | None, row: int
) -> tuple[bool, float | None, str]:
    """Whether the row alone gives the number, the number, and which part of the gradient is to be printed.

    The row alone is the shorter program; but a library may compute it otherwise in company, in its last bits.
    """
    measure = native if cell.own else ours
    if place is None:
        return bool(measure(adapter, case.only([row])).fault), None, ""
    if place.quantity != PRODUCTS:
        single = case.only([row])
        value, entry = _at(single, measure(adapter, single), place, 0)
        if value is not None and (value == place.worst.computed or math.isnan(value + place.worst.computed)):
            return True, value, "" if entry and case.logits[row].size <= MOST_LISTED and "][" not in entry else entry
    return False, *_at(case, measure(adapter, case), place, row)


def _at(case: Case, outcome: Outcome, place: Place, row: int) -> tuple[float | None, str]:
    """The number of the place in what was measured now, and the index of the gradient beside it."""
    if outcome.loss is None:
        return None, ""
    if place.quantity == PRODUCTS:
        return _product(outcome, place)
    if outcome.gradient is None:
        return float(outcome.loss[row]), f"[0][{row}, ...]" if outcome.products else ""
    at = (row,) if case.binary else (row, _column(case, outcome.gradient, place, row))
    number = outcome.loss[row] if place.quantity == LOSS else outcome.gradient[at]
    return float(number), f"[{', '.join(map(str, at))}]"


def _column(case: Case, gradient: Array, place: Place, row: int) -> int:
    """Where the place is in its row: which entries it can be is known, and its numbers."""
    exact = reference(case.only([row]))
    here = exact.at_label[0]
    if place.quantity != ELSEWHERE:
        # Beside a loss, the gradient at the label is shown, or where the row has no single one, of its first class.
        return int(here.argmax())
    with np.errstate(invalid="ignore"):
        off = np.abs(gradient[row] - place.worst.computed) + np.abs(exact.gradient[0] - place.worst.exact)
    return int(np.argmin(np.where(here | np.isnan(off), np.inf, off)))


def _product(outcome: Outcome, place: Place) -> tuple[float, str]:
    """The entry, in the row of the place, of the gradient of hidden, weight or bias that is nearest to its number."""
    row, found = place.worst.row, []
    for factor, gradient in enumerate(outcome.products):
        if row < len(gradient):
            entries = np.atleast_1d(gradient[row])
            column = int(np.abs(entries - place.worst.computed).argmin())
            at = f"[{factor}][{row}, {column}]" if gradient.ndim > 1 else f"[{factor}][{row}]"
            found.append((abs(float(entries[column]) - place.worst.computed), float(entries[column]), at))
    _, number, at = min(found)
    return number, at


def _logits(row: Array) -> str:
    if row.size <= MOST_LISTED:
        return written(row)
    finite = row[np.isfinite(row)]
    return f"{row.size:,} numbers from {finite.min():.6g} to {finite.max():.6g}"


def _target(case: Case, row: int) -> str:
    target = case.targets[row]
    if target.size > MOST_LISTED:
        return f"{target.size:,} probabilities, {np.count_nonzero(target):,} of them above 0"
    value = written(np.asarray(target))
    if case.soft or case.logits[row].size <= MOST_LISTED:
        return value
    return f"{value}, whose logit is {case.logits[row][int(target)]:.9g}"
