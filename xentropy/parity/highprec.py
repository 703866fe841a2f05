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

Pair = tuple[Array, Array]


def exact(case: Case) -> tuple[Pair, Pair]:
    """Loss (shape (rows,)) and gradient (shape of the logits) of a case with finite logits, each as head and tail."""
    rows = case.logits.shape[0]
    row = _binary_row if case.binary else _softmax_row
    found = [row(case, i) for i in range(rows)]
    return _pair([loss for loss, _ in found]), _pair([gradient for _, gradient in found])


def _pair(values: list[Any]) -> Pair:
    """Split numbers, or lists of them, into their nearest doubles and what is left."""
    if isinstance(values[0], list):
        pairs = [_pair(inner) for inner in values]
        return np.stack([head for head, _ in pairs]), np.stack([tail for _, tail in pairs])
    heads = [float(value) for value in values]
    return np.asarray(heads), np.asarray([float(value - head) for value, head in zip(values, heads, strict=True)])


def _digits(span: float) -> int:
    # Two logits that are `span` apart have exponentials that differ by so many orders of magnitude.
    return _SPARE_DIGITS + math.ceil(abs(span) * _DIGITS_PER_NAT)


def _weight(case: Case, i: int) -> Any:
    return mpf(1) if case.sample_weight is None else mpf(float(case.sample_weight[i]))


def _mass(case: Case, i: int, j: int) -> Any:
    share = mpf(float(case.targets[i, j])) if case.soft else mpf(int(case.targets[i] == j))
    epsilon = mpf(case.label_smoothing)
    share = (1 - epsilon) * share + epsilon / case.logits.shape[1]
    return share if case.class_weight is None else share * mpf(float(case.class_weight[j]))


def _softmax_row(case: Case, i: int) -> tuple[Any, list[Any]]:
    logits = [float(x) for x in case.logits[i]]
    if case.dropped[i]:
        return mpf(0), [mpf(0)] * len(logits)
    with mp.workdps(_digits(max(logits) - min(logits) if case.from_logits else 0.0)):
        mass = [_mass(case, i, j) * _weight(case, i) for j in range(len(logits))]
        if not case.from_logits:
            loss = -mp.fsum(t * mp.log(mpf(p)) for t, p in zip(mass, logits, strict=True) if t)
            return loss, [-t / mpf(p) if t else mpf(0) for t, p in zip(mass, logits, strict=True)]
        exps = [mp.exp(mpf(x)) for x in logits]
        z = mp.fsum(exps)
        total = mp.fsum(mass)
        loss = -mp.fsum(t * mp.log(e / z) for t, e in zip(mass, exps, strict=True) if t)
        return loss, [total * e / z - t for t, e in zip(mass, exps, strict=True)]


def _binary_row(case: Case, i: int) -> tuple[Any, Any]:
    value = float(case.logits[i])
    with mp.workdps(_digits(value if case.from_logits else 0.0)):
        epsilon = mpf(case.label_smoothing)
        y = mpf(float(case.targets[i])) * (1 - epsilon) + epsilon / 2
        up = _weight(case, i) * y * (1 if case.pos_weight is None else mpf(float(case.pos_weight[i])))
        down = _weight(case, i) * (1 - y)
        p = 1 / (1 + mp.exp(-mpf(value))) if case.from_logits else mpf(value)
        loss = -(up * mp.log(p) if up else 0) - (down * mp.log(1 - p) if down else 0)
        # The derivative with respect to the probability, and by the chain rule p (1 - p) more for the logit.
        gradient = (down / (1 - p) if down else 0) - (up / p if up else 0)
        return mpf(loss), mpf(gradient * p * (1 - p) if case.from_logits else gradient)
