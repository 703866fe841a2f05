"""The exact loss and gradient of a case.

Float32 and half inputs are float64 numbers too, so their losses are computed in float64 from sums of positive terms:
good to about 1e-15, a ten-millionth of a float32 ulp. Float64 inputs go through mpmath. Neither shares code with the
library, and the tests hold the first against the second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from xentropy.parity import highprec
from xentropy.parity.cases import Array, Case

# A logit whose exponential is smaller than this part of the excess moves no digit of the result.
_NEGLIGIBLE = 2.0**-30


@dataclass(frozen=True, eq=False)
class Reference:
    """What a case must give, as pairs whose sum is the exact number (the tails are 0 but for float64 cases).

    Attributes:
        loss, loss_tail: shape (rows,).
        gradient, gradient_tail: of the sum of the losses, in the shape of the logits.
        span: shape (rows,), largest minus smallest contributing logit; 0 where no logits are subtracted.
        at_label: bool in the shape of the gradient: entries held to a relative bound. These are the ones that carry
            all the target mass of their row.
        scale: broadcasts to the gradient: what the bound of the other entries is multiplied by, 0 where the entry
            must be exactly 0.
    """

    loss: Array
    gradient: Array
    span: Array
    at_label: Array
    scale: Array
    loss_tail: Array | float = 0.0
    gradient_tail: Array | float = 0.0


def reference(case: Case) -> Reference:
    """The exact loss of each row, and the gradient of their sum."""
    if case.binary:
        formula = _sigmoid if case.from_logits else _binary_probabilities
    else:
        formula = _softmax if case.from_logits else _probabilities
    # Infinite logits and probabilities of 0 have infinite losses; those are results here, not accidents.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        approximate = formula(case)
    if case.dtype != "float64":
        return approximate
    loss, gradient = highprec.exact(case)
    return replace(approximate, loss=loss[0], loss_tail=loss[1], gradient=gradient[0], gradient_tail=gradient[1])


def _times(factor: Array, value: Array) -> Array:
    """Product in which a factor of 0 wins over an infinity."""
    return np.where(factor == 0, 0.0, factor * value)


def target_mass(case: Case) -> Array:
    """What each class's -log p is multiplied by, shape (rows, classes)."""
    rows, classes = case.logits.shape
    mass = np.zeros((rows, classes))
    if case.soft:
        mass[:] = case.targets
    else:
        kept = np.flatnonzero(~case.dropped)
        mass[kept, case.targets[kept]] = 1.0
    if case.label_smoothing:
        mass = (1 - case.label_smoothing) * mass + case.label_smoothing / classes
    if case.class_weight is not None:
        mass = mass * case.class_weight
    if case.sample_weight is not None:
        mass = mass * np.asarray(case.sample_weight, dtype=np.float64)[:, None]
    mass[case.dropped] = 0.0
    return mass


def _sole(mass: Array) -> Array:
    alone: Array = (mass > 0) & (np.count_nonzero(mass, axis=1) == 1)[:, None]
    return alone


def _row_scale(case: Case, total: Array) -> Array:
    return np.where(case.dropped, 0.0, np.maximum(1.0, total))


def _softmax(case: Case) -> Reference:
    logits = np.where(case.dropped[:, None], 0.0, case.logits.astype(np.float64))
    mass = target_mass(case)
    total = mass.sum(axis=1)
    largest = logits.max(axis=1)
    below = largest[:, None] - logits
    weight = np.exp(-below)
    top = logits.argmax(axis=1)
    rest = weight.copy()
    np.put_along_axis(rest, top[:, None], 0.0, axis=1)
    excess = rest.sum(axis=1)
    loss = _times(mass, below).sum(axis=1) + _times(total, np.log1p(excess))

    at_label = _sole(mass)
    gradient = (total / (1 + excess))[:, None] * weight - mass
    label = mass.argmax(axis=1)
    rest[:] = weight
    np.put_along_axis(rest, label[:, None], 0.0, axis=1)
    sole = at_label.any(axis=1)
    gradient[sole, label[sole]] = (-total * rest.sum(axis=1) / (1 + excess))[sole]

    contributing = np.isfinite(below) & ((mass > 0) | (weight >= _NEGLIGIBLE * excess[:, None]))
    span = np.where(contributing, below, 0.0).max(axis=1)
    broken = ~np.isfinite(largest)
    loss[broken], gradient[broken] = np.nan, np.nan
    return Reference(loss, gradient, span, at_label, _row_scale(case, total)[:, None])


def _probabilities(case: Case) -> Reference:
    mass = target_mass(case)
    p = case.logits.astype(np.float64)
    loss = _times(mass, -np.log(p)).sum(axis=1)
    scale = np.zeros((1, 1))
    return Reference(loss, _times(mass, -1 / p), np.zeros(p.shape[0]), mass > 0, scale)


def binary_mass(case: Case) -> tuple[Array, Array]:
    """What -log p and -log(1 - p) are multiplied by, each of shape (rows,)."""
    y = case.targets.astype(np.float64)
    y = y * (1 - case.label_smoothing) + case.label_smoothing / 2
    weight = np.ones_like(y) if case.sample_weight is None else case.sample_weight.astype(np.float64)
    positive = y if case.pos_weight is None else y * case.pos_weight
    return np.where(weight == 0, 0.0, positive * weight), np.where(weight == 0, 0.0, (1 - y) * weight)


def _softplus(x: Array) -> Array:
    value: Array = np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))
    return value


def _expit(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    value: Array = np.where(x >= 0, 1.0, small) / (1 + small)
    return value


def _sigmoid(case: Case) -> Reference:
    positive, negative = binary_mass(case)
    z = np.where(case.dropped, 0.0, case.logits.astype(np.float64))
    loss = _times(positive, _softplus(-z)) + _times(negative, _softplus(z))
    gradient = _times(negative, _expit(z)) - _times(positive, _expit(-z))
    scale = _row_scale(case, positive + negative)
    return Reference(loss, gradient, np.zeros_like(z), (positive == 0) | (negative == 0), scale)


def _binary_probabilities(case: Case) -> Reference:
    positive, negative = binary_mass(case)
    p = case.logits.astype(np.float64)
    loss = _times(positive, -np.log(p)) + _times(negative, -np.log1p(-p))
    up, down = _times(negative, 1 / (1 - p)), _times(positive, 1 / p)
    scale = _row_scale(case, up + down)
    return Reference(loss, up - down, np.zeros_like(p), (positive == 0) | (negative == 0), scale)
