"""How far a result is from the exact one, and whether that is within bounds.

The bounds, in ulp of the result's dtype at the exact value:

- a row's loss: 4 + span, span being the row's largest minus smallest contributing logit: a float32 difference of
  logits is rounded, and an exponential multiplies that rounding by the difference;
- the gradient at the label: the same, however confident the row;
- every other entry of the gradient: 4e-7 absolute (7.5e-16 for float64), times the row's weight where that exceeds 1;
- half precision: the loss is float32 and judged as such; the gradient is rounded once more, by half an ulp;
- ``precision="float64"``: 1 ulp;
- the gradients of hidden, weight and bias: roundings of their terms, as ``xentropy.parity.linear`` says;
- between any two backends: 4 ulp, 8 in float64.

A loss that must be 0, infinite or NaN has to be exactly that. An exact value below 1e-37 (1e-300 in float64), where
hardware may flush results to zero, must only not become larger than twice that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xentropy.parity.cases import Array, Case
from xentropy.parity.linear import LinearCase, products
from xentropy.parity.measure import Outcome
from xentropy.parity.reference import Reference
from xentropy.parity.ulp import PRECISION, distance, ulp

SLACK = 4.0
PRECISE = 1.0
# float64 has nothing wider to compute a row's number in: the 4 ulp of two backends add up (5 were met, of 98 seeds).
SPREAD = {"float32": 4.0, "float64": 8.0}
ELSEWHERE = {"float32": 4e-7, "float64": 4e-7 * 2.0**-29}
SMALLEST = {"float16": 0.0, "bfloat16": 1e-37, "float32": 1e-37, "float64": 1e-300}


@dataclass(frozen=True)
class Worst:
    """The largest error among the numbers judged together.

    Attributes:
        error: the largest distance; infinite where a number is missed that has to be hit exactly.
        share: the largest distance in parts of its bound: more than 1 is a bound missed.
        row: where that share was found; ``computed``, ``exact`` and ``bound`` are the numbers there.
        nan: whether a NaN came back in place of a number.
    """

    error: float
    share: float
    row: int
    computed: float
    exact: float
    bound: float
    nan: bool = False


@dataclass(frozen=True)
class Judgement:
    """The worst of a case: losses, gradients at the label (both in ulp), other gradients (absolute).

    Of a linear loss there are gradients of hidden, weight and bias in their place, ``products`` (absolute).
    """

    loss: Worst | None
    label: Worst | None
    elsewhere: Worst | None
    products: Worst | None = None


def judge(case: Case, exact: Reference, outcome: Outcome) -> Judgement:
    """Compare what came back with the exact values; None where there is nothing to compare."""
    if outcome.loss is None:
        return Judgement(None, None, None)
    bound = row_bound(case, exact)
    error = _ulps(outcome.loss, exact.loss, exact.loss_tail, case.wide_dtype)
    loss = _worst(error, bound, outcome.loss, exact.loss, np.arange(error.size))
    if isinstance(case, LinearCase) and outcome.products:
        return Judgement(loss, None, None, _of_products(case, exact, outcome.products))
    if outcome.gradient is None:
        return Judgement(loss, None, None)
    return Judgement(loss, _at_label(case, exact, outcome.gradient), _elsewhere(case, exact, outcome.gradient))


def row_bound(case: Case, exact: Reference) -> Array:
    """The bound of each row's loss, in ulp."""
    return np.full_like(exact.span, PRECISE) if case.precision else SLACK + exact.span


def judged_rows(case: Case, exact: Reference) -> Array:
    """Bool of shape (rows,): the losses that are finite and large enough to be compared in ulp."""
    return np.isfinite(exact.loss) & (exact.loss >= SMALLEST[case.wide_dtype])


def spread_bound(case: Case) -> float:
    """How far any two backends may be apart, in ulp."""
    return SPREAD[case.wide_dtype]


def label_bound(case: Case, exact: Reference) -> Array:
    """The bound of the gradient at each row's label, in ulp of the gradient's own dtype."""
    bound = row_bound(case, exact)
    narrower = PRECISION[case.wide_dtype] - PRECISION[case.dtype]
    return 0.5 + np.ldexp(bound, -narrower) if narrower else bound


def _ulps(computed: Array, exact: Array, tail: Array | float, dtype: str) -> Array:
    error = distance(computed, exact, tail, dtype)
    smallest = SMALLEST[dtype]
    small = (np.abs(exact) < smallest) & (exact != 0)
    flushed = np.where(np.abs(computed) <= 2 * smallest, 0.0, np.inf)
    exactly_zero = np.where(computed == 0, 0.0, np.inf)
    return np.where(exact == 0, exactly_zero, np.where(small, flushed, error))


def _pick(tail: Array | float, mask: Array) -> Array | float:
    return tail[mask] if isinstance(tail, np.ndarray) else tail


def _at_label(case: Case, exact: Reference, gradient: Array) -> Worst | None:
    here, rows = exact.at_label, np.nonzero(exact.at_label)[0]
    computed, truth = gradient[here], exact.gradient[here]
    error = _ulps(computed, truth, _pick(exact.gradient_tail, here), case.dtype)
    return _worst(error, label_bound(case, exact)[rows], computed, truth, rows)


def _elsewhere(case: Case, exact: Reference, gradient: Array) -> Worst | None:
    if exact.at_label.all():
        return None
    truth = exact.gradient
    bound = np.broadcast_to(ELSEWHERE[case.wide_dtype] * exact.scale, truth.shape)
    if case.dtype != case.wide_dtype:
        bound = bound + np.where(exact.scale == 0, 0.0, 0.5 * ulp(truth, case.dtype))
    with np.errstate(invalid="ignore"):
        error = np.abs(gradient - truth - exact.gradient_tail)
    error[exact.at_label] = 0.0
    unlike = ~np.isfinite(error)
    if unlike.any():
        same = (gradient == truth) | (np.isnan(gradient) & np.isnan(truth))
        error[unlike] = np.where(same[unlike], 0.0, np.inf)
    classes = truth.size // truth.shape[0]
    return _worst(error.ravel(), bound.ravel(), gradient.ravel(), truth.ravel(), np.arange(truth.shape[0]), classes)


def _of_products(case: LinearCase, exact: Reference, gradients: tuple[Array, ...]) -> Worst:
    """The worst entry of all of them; its row is one of hidden, or a class."""
    due = products(case, exact)
    found = [_of_product(case.dtype, case.wide_dtype, *given) for given in zip(gradients, *due, strict=True)]
    return max(found, key=lambda worst: worst.share)


def _of_product(dtype: str, wide: str, gradient: Array, truth: Array, bound: Array) -> Worst:
    # Rounded once, from a number that is already off, perhaps beyond the next power of two.
    rounding = np.where(bound == 0, 0.0, 0.5 * ulp(np.abs(truth) + bound, dtype))
    error = np.abs(gradient - truth)
    error[~np.isfinite(error)] = np.inf
    columns = truth.size // truth.shape[0]
    rows = np.arange(truth.shape[0])
    worst = _worst(error.ravel(), (bound + rounding).ravel(), gradient.ravel(), truth.ravel(), rows, columns)
    assert worst is not None
    return worst


def _worst(error: Array, bound: Array, computed: Array, exact: Array, rows: Array, per_row: int = 1) -> Worst | None:
    if not error.size:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        # A bound of 0 or NaN belongs to a value that has to be hit exactly.
        share = np.where(error == 0, 0.0, np.where(bound > 0, error / bound, np.inf))
    at = int(np.argmax(share))
    lost = bool(np.isinf(share[at]) and np.any(np.isnan(computed) & ~np.isnan(exact)))
    numbers = float(computed[at]), float(exact[at]), float(bound[at])
    return Worst(float(error.max()), float(share[at]), int(rows[at // per_row]), *numbers, nan=lost)
