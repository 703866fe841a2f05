"""Two sides on one case: the number that is furthest apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xentropy.parity.cases import Array, Case, round_to
from xentropy.parity.judge import SMALLEST
from xentropy.parity.losses.expected import Quantity
from xentropy.parity.losses.subject import Measured
from xentropy.parity.losses.tolerance import Tolerance, unit
from xentropy.parity.ulp import PRECISION, in_units


@dataclass(frozen=True)
class Gap:
    """The entry of a quantity where two sides are furthest apart, in parts of what is allowed.

    Attributes:
        quantity: loss, gradient or curvature.
        at: its index in that.
        numbers: of both sides; of one where it is held against the exact number.
        exact: the number that is due.
        apart: the distance of the two, in ulp; infinite where one is no number.
        allowed: the bound of that.
        off: the distance of each from the exact number, in ulp.
        wrong: which of them is further from the exact number than the bound.
    """

    quantity: str
    at: tuple[int, ...]
    numbers: tuple[float, ...]
    exact: float
    apart: float
    allowed: float
    off: tuple[float, ...]
    wrong: tuple[bool, ...]

    @property
    def share(self) -> float:
        """The distance in parts of the bound: more than 1 fails."""
        return float(share(self.apart, self.allowed))


def share(distance: Any, allowed: Any) -> Any:
    """Distances in parts of their bounds; where nothing is allowed, 0 or infinity."""
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(np.greater(allowed, 0), np.divide(distance, allowed), np.inf)
    return np.where(np.equal(distance, 0), 0.0, parts)[()]


def gaps(case: Case, due: Mapping[str, Quantity], sides: Sequence[Measured], tolerance: Tolerance) -> dict[str, Gap]:
    """The largest gap of each quantity that all sides have."""
    return {
        name: _gap(case, name, one, sides, tolerance)
        for name, one in due.items()
        if all(name in side.found for side in sides)
    }


def _terms(case: Case, due: Quantity) -> int:
    """How many numbers each of these is a sum of."""
    return case.logits.size // len(case.targets) if due.exact.ndim else case.logits.size


def _dtype(case: Case, name: str, sides: Sequence[Measured]) -> str:
    """The narrowest of what came back and of what a careful loss would return."""
    own = case.wide_dtype if name == "loss" else case.dtype
    return min([own, *(side.dtypes[name] for side in sides)], key=lambda dtype: PRECISION[dtype])


def _gap(case: Case, name: str, due: Quantity, sides: Sequence[Measured], tolerance: Tolerance) -> Gap:
    dtype = _dtype(case, name, sides)
    due = replace(due, exact=overflown(due.exact, dtype))
    wide = [overflown(side.found[name].astype(np.float64), dtype) for side in sides]
    tiny = SMALLEST[dtype] * max(2, _terms(case, due))
    one, due_bound = unit(due, dtype), tolerance.allowed(due, dtype)
    off = [_distance(values, due.exact, due.tail, one, tiny) for values in wide]
    apart, allowed = off[0], due_bound
    if len(wide) > 1:
        larger = _at_the_larger(due, wide)
        apart = _distance(wide[0], wide[1], 0.0, unit(larger, dtype), tiny)
        allowed = tolerance.allowed(larger, dtype)
    at = np.unravel_index(int(np.argmax(share(apart, allowed))), due.exact.shape)
    return Gap(
        quantity=name,
        at=tuple(int(i) for i in at),
        numbers=tuple(float(values[at]) for values in wide),
        exact=float(due.exact[at]),
        apart=float(apart[at]),
        allowed=float(allowed[at]),
        off=tuple(float(each[at]) for each in off),
        wrong=tuple(bool(share(each, due_bound)[at] > 1) for each in off),
    )


def _at_the_larger(due: Quantity, sides: Sequence[Array]) -> Quantity:
    """Measured by the largest of both numbers and the exact one: what two losses agree in need not be what is exact."""
    finite = [np.where(np.isfinite(one), np.abs(one), 0.0) for one in (due.exact, *sides)]
    largest = np.max(finite, axis=0)
    both = np.isfinite(sides[0]) & np.isfinite(sides[1])
    exact = np.where(both | np.isfinite(due.exact), largest, due.exact)
    return replace(due, exact=exact, scale=np.maximum(due.scale, largest))


def overflown(values: Array, dtype: str) -> Array:
    """The numbers, infinite where the dtype has none that large."""
    with np.errstate(over="ignore"):
        rounded = round_to(values, dtype)
    return np.where(np.isinf(rounded), rounded, values)


def _distance(a: Array, b: Array, tail: Array | float, one: Array, tiny: float) -> Array:
    # What hardware may flush to zero, term by term, is as good as zero.
    return np.where((np.abs(a) <= tiny) & (np.abs(b) <= tiny), 0.0, in_units(a, b, tail, one))
