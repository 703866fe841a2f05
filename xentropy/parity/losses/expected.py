"""The exact loss, gradient and curvature of a case, under the reduction of the losses that are compared."""

from __future__ import annotations

import math
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


def expected(case: Case, reduction: str) -> dict[str, Quantity]:
    """The quantities by name: loss, gradient and curvature of the sum of what the losses return."""
    exact = reference(case)
    divisor = denominator(case) if reduction == "mean" else 1.0
    losses = _losses(case, exact, reduction, divisor)
    return {"loss": losses, **_derivatives(case, exact, divisor)}


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


def _derivatives(case: Case, exact: Reference, divisor: float) -> dict[str, Quantity]:
    shape = exact.gradient.shape
    rows = exact.span if case.binary else exact.span[:, None]
    span = np.broadcast_to(rows, shape)
    # Of the probabilities of classes no derivative is a difference, and what has no scale must be 0. Of a binary one
    # the gradient is a difference, and its curvature is not.
    by_class = not case.from_logits and not case.binary
    per_row = np.ones_like(exact.scale) if by_class else exact.scale
    scale = np.broadcast_to(per_row / divisor if divisor else per_row, shape)
    with mp.workdps(60):
        gradient = divided(exact.gradient, exact.gradient_tail, divisor)
        second = divided(curvature(case), 0.0, divisor)
    return {
        "gradient": Quantity(*gradient, exact.at_label | by_class, scale, span),
        "curvature": Quantity(*second, np.full(shape, not case.from_logits), scale, span),
    }
