"""The exact curvature of a case: how its gradient changes along one direction.

The direction is the unit vector of each row's class of the largest target (of a binary case, 1 everywhere), so that for
logits the curvature is a column of the Hessian, T p_y (e_y - p), whose every entry is a product: nothing cancels.
"""

from __future__ import annotations

import numpy as np

from xentropy.parity import highprec
from xentropy.parity.cases import Array, Case
from xentropy.parity.reference import binary_mass, target_mass


def direction(case: Case) -> Array:
    """The direction in the shape of the logits, float32 or float64 as these are; zeros in rows that are dropped."""
    along = np.zeros(case.logits.shape, dtype=case.wide_dtype)
    kept = np.flatnonzero(~case.dropped)
    if case.binary:
        along[kept] = 1
        return along
    along[kept, _label(case)[kept]] = 1
    return along


def curvature(case: Case) -> Array:
    """The derivative of the gradient of the sum of the losses along ``direction``, float64, shape of the logits.

    Good to about 1e-15 of each row's total weight; of float64 logits, whose own roundings are no larger, to 1e-16.
    """
    if case.dtype == "float64":
        return highprec.curvature(case)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if case.binary:
            return _binary(case)
        return _softmax(case) if case.from_logits else _probabilities(case)


def _label(case: Case) -> Array:
    label: Array = case.targets.argmax(axis=1) if case.soft else case.targets
    return label


def _softmax(case: Case) -> Array:
    logits = np.where(case.dropped[:, None], 0.0, case.logits.astype(np.float64))
    total = target_mass(case).sum(axis=1, keepdims=True)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    here = direction(case) > 0
    at_label = np.where(here, p, 0.0).sum(axis=1, keepdims=True)
    others = np.where(here, 0.0, p).sum(axis=1, keepdims=True)
    found: Array = total * at_label * np.where(here, others, -p)
    found[~np.isfinite(logits.max(axis=1))] = np.nan
    return found


def _probabilities(case: Case) -> Array:
    mass, p = target_mass(case) * direction(case), case.logits.astype(np.float64)
    return np.where(mass == 0, 0.0, mass / p**2)


def _binary(case: Case) -> Array:
    up, down = binary_mass(case)
    z = np.where(case.dropped, 0.0, case.logits.astype(np.float64))
    if case.from_logits:
        small = np.exp(-np.abs(z))
        found: Array = (up + down) * small / (1 + small) ** 2
        return found
    return np.where(up == 0, 0.0, up / z**2) + np.where(down == 0, 0.0, down / (1 - z) ** 2)
