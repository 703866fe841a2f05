"""The exact loss, gradient and curvature of a case, under the reduction of the losses that are compared."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mpmath import mp, mpf

from xentropy.parity.cases import Array, Case
from xentropy.parity.curvature import curvature
from xentropy.parity.reference import Reference, reference, target_mass

REDUCTIONS = ("none", "sum", "mean")


@dataclass(frozen=True, eq=False)
class Quantity:
    """What must come out, and what its errors are measured by.

    Attributes:
        exact, tail: two float64 arrays, whose sum is the exact number.
        relative: bool; entries whose error is measured by the number itself. That of the others is measured by
            ``scale``: they are differences, as the gradient at a class that shares its row's mass.
        scale: the weight of the entry's row, 1 or more, as it is under the reduction.
        span: of the entry's row, largest minus smallest contributing logit.

    All are of one shape: that of the losses, or that of the logits.
    """

    exact: Array
    tail: Array
    relative: Array
    scale: Array
    span: Array


def expected(case: Case, reduction: str, quantities: Iterable[str]) -> dict[str, Quantity]:
    """Those asked for, by name: loss, gradient and curvature of the sum of what the losses return."""
    exact = reference(case)
    divisor = denominator(case) if reduction == "mean" else 1.0
    make = {
        "loss": lambda: _losses(case, exact, reduction, divisor),
        "gradient": lambda: _gradient(case, exact, divisor),
        "curvature": lambda: _curvature(case, exact, divisor),
    }
    return {name: make[name]() for name in quantities}


def denominator(case: Case) -> float:
    """What a mean divides by: sample weight times class weight, over the rows that count."""
    if not case.binary:
        return math.fsum(target_mass(replace(case, label_smoothing=0.0)).ravel().tolist())
    return float(len(case.targets)) if case.sample_weight is None else math.fsum(case.sample_weight.tolist())


def divided(values: Array, tails: Array | float, divisor: float) -> tuple[Array, Array]:
    """Each head and tail over a number, 0 over 0 being 0."""
    if divisor == 0:
        return np.zeros(values.shape), np.zeros(values.shape)
    if not np.any(tails):  # a number of float32, whose quotient in float64 is exact enough
        return values / divisor, np.zeros(values.shape)
    pairs = [_split((mpf(h) + mpf(t)) / mpf(divisor)) for h, t in np.broadcast(values, tails)]
    heads, rest = (np.asarray(part).reshape(values.shape) for part in zip(*pairs, strict=True))
    return heads, rest


def _split(number: Any) -> tuple[float, float]:
    head = float(number)
    return head, float(number - mpf(head)) if np.isfinite(head) else 0.0


def _losses(case: Case, exact: Reference, reduction: str, divisor: float) -> Quantity:
    head, tail, span = exact.loss, np.broadcast_to(exact.loss_tail, exact.loss.shape), exact.span
    if reduction != "none":
        with mp.workdps(60):
            total, rest = _split(mp.fsum(mpf(h) + mpf(t) for h, t in zip(head, tail, strict=True)))
            head, tail = divided(np.asarray(total), np.asarray(rest), divisor)
        span = np.asarray(span.max(initial=0.0))
    ones = np.ones(head.shape)
    return Quantity(head, tail, ones.astype(bool), ones, span)


def _gradient(case: Case, exact: Reference, divisor: float) -> Quantity:
    with mp.workdps(60):
        head, tail = divided(exact.gradient, exact.gradient_tail, divisor)
    return _derivative(case, exact, divisor, head, tail, exact.at_label | _by_class(case))


def _curvature(case: Case, exact: Reference, divisor: float) -> Quantity:
    head, tail = divided(curvature(case), 0.0, divisor)
    return _derivative(case, exact, divisor, head, tail, np.full(head.shape, not case.from_logits))


def _by_class(case: Case) -> bool:
    """Of the probabilities of classes no derivative is a difference; of a binary one the gradient is."""
    return not case.from_logits and not case.binary


def _derivative(case: Case, exact: Reference, divisor: float, head: Array, tail: Array, relative: Array) -> Quantity:
    rows = exact.span if case.binary else exact.span[:, None]
    # What has no scale must be 0, and is measured by itself.
    per_row = np.ones_like(exact.scale) if _by_class(case) else exact.scale
    scale = np.broadcast_to(per_row / divisor if divisor else per_row, head.shape)
    return Quantity(head, tail, relative, scale, np.broadcast_to(rows, head.shape))
