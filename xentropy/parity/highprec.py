"""The textbook formulas in as many digits as they need, row by row: slow, and with nothing to get wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from mpmath import mp, mpf

from xentropy.parity.cases import Array, Case

# Beyond the digits that cancellation eats: a double has 16, and its error is measured to a thousandth.
_SPARE_DIGITS = 40
_DIGITS_PER_NAT = 1 / math.log(10)
# Beyond that an exponential, and a product of two, is 0 for a double whatever its digits are.
_FARTHEST = 1600.0

Pair = tuple[Array, Array]


def exact(case: Case) -> tuple[Pair, Pair]:
    """Loss (shape (rows,)) and gradient (shape of the logits) of a case, each as head and tail.

    Of a row whose largest logit is not finite both are NaN.
    """
    found = _rows(case)
    return _pair([loss for loss, _, _ in found]), _pair([gradient for _, gradient, _ in found])


def curvature(case: Case) -> Array:
    """The derivative of the gradient along each row's label (the class of its largest target), in float64."""
    return _pair([curvature for _, _, curvature in _rows(case)])[0]


def _rows(case: Case) -> list[Any]:
    row = _binary_row if case.binary else _softmax_row
    return [row(case, i) for i in range(case.logits.shape[0])]


def _pair(values: list[Any]) -> Pair:
    """Split numbers, or lists of them, into their nearest doubles and what is left."""
    if isinstance(values[0], list):
        pairs = [_pair(inner) for inner in values]
        return np.stack([head for head, _ in pairs]), np.stack([tail for _, tail in pairs])
    heads = [float(value) for value in values]
    tails = [float(value - head) if math.isfinite(head) else 0.0 for value, head in zip(values, heads, strict=True)]
    return np.asarray(heads), np.asarray(tails)


def _digits(span: float) -> int:
    # Two logits that are `span` apart have exponentials that differ by so many orders of magnitude.
    return _SPARE_DIGITS + math.ceil(min(abs(span), _FARTHEST) * _DIGITS_PER_NAT)


def _weight(case: Case, i: int) -> Any:
    return mpf(1) if case.sample_weight is None else mpf(float(case.sample_weight[i]))


def _mass(case: Case, i: int, j: int) -> Any:
    share = mpf(float(case.targets[i, j])) if case.soft else mpf(int(case.targets[i] == j))
    epsilon = mpf(case.label_smoothing)
    share = (1 - epsilon) * share + epsilon / case.logits.shape[1]
    return share if case.class_weight is None else share * mpf(float(case.class_weight[j]))


def _softmax_row(case: Case, i: int) -> tuple[Any, list[Any], list[Any]]:
    logits = [float(x) for x in case.logits[i]]
    nothing = [mpf(0)] * len(logits)
    if case.dropped[i]:
        return mpf(0), nothing, nothing
    if not case.from_logits:
        return _probabilities_row(case, i)
    if not math.isfinite(max(logits)) or any(math.isnan(x) for x in logits):
        return mpf("nan"), [mpf("nan")] * len(logits), [mpf("nan")] * len(logits)
    finite = [x for x in logits if math.isfinite(x)]
    with mp.workdps(_digits(max(finite) - min(finite))):
        mass = [_mass(case, i, j) * _weight(case, i) for j in range(len(logits))]
        exps = [mp.exp(mpf(x)) for x in logits]
        z = mp.fsum(exps)
        total = mp.fsum(mass)
        loss = -mp.fsum(t * mp.log(e / z) for t, e in zip(mass, exps, strict=True) if t)
        label = _label(case, i)
        at_label = total * exps[label] / z
        curvature = [at_label * ((j == label) - e / z) for j, e in enumerate(exps)]
        return loss, [total * e / z - t for t, e in zip(mass, exps, strict=True)], curvature


def _probabilities_row(case: Case, i: int) -> tuple[Any, list[Any], list[Any]]:
    with mp.workdps(_digits(0.0)):
        p = [mpf(float(x)) for x in case.logits[i]]
        mass = [_mass(case, i, j) * _weight(case, i) for j in range(len(p))]
        loss = -mp.fsum(t * mp.log(q) for t, q in zip(mass, p, strict=True) if t)
        label = _label(case, i)
        curvature = [_over(t, q * q) if j == label else mpf(0) for j, (t, q) in enumerate(zip(mass, p, strict=True))]
        return loss, [-_over(t, q) for t, q in zip(mass, p, strict=True)], curvature


def _over(numerator: Any, denominator: Any) -> Any:
    """The quotient in which a numerator of 0 wins, and a denominator of 0 is otherwise an infinity."""
    if not numerator:
        return mpf(0)
    return numerator / denominator if denominator else mp.inf


def _label(case: Case, i: int) -> int:
    return int(case.targets[i].argmax() if case.soft else case.targets[i])


def _binary_row(case: Case, i: int) -> tuple[Any, Any, Any]:
    value = float(case.logits[i])
    if case.dropped[i]:
        return mpf(0), mpf(0), mpf(0)
    if math.isnan(value):
        return mpf("nan"), mpf("nan"), mpf("nan")
    with mp.workdps(_digits(value if case.from_logits and math.isfinite(value) else 0.0)):
        epsilon = mpf(case.label_smoothing)
        y = mpf(float(case.targets[i])) * (1 - epsilon) + epsilon / 2
        up = _weight(case, i) * y * (1 if case.pos_weight is None else mpf(float(case.pos_weight[i])))
        down = _weight(case, i) * (1 - y)
        p, q = _both(mpf(value)) if case.from_logits else (mpf(value), 1 - mpf(value))
        loss = -(up * mp.log(p) if up else 0) - (down * mp.log(q) if down else 0)
        if case.from_logits:  # by the chain rule p q more than the derivative by the probability
            return mpf(loss), down * p - up * q, (up + down) * p * q
        return mpf(loss), _over(down, q) - _over(up, p), _over(down, q**2) + _over(up, p**2)


def _both(z: Any) -> tuple[Any, Any]:
    """The probabilities of both sides, neither of them a difference: that would be 0 for a logit of thousands."""
    return 1 / (1 + mp.exp(-z)), 1 / (1 + mp.exp(z))
