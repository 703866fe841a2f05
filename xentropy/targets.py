"""Class indices or class probabilities, with weights and smoothing, brought to one internal form.

A row's targets are t_j = label_mass * [j == label] + background_j. Class indices without smoothing have no
background; smoothed or given as probabilities they are all background.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from xentropy.rule import Arrays

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import SoftmaxOptions

Array = Any


class RowTargets(NamedTuple):
    """The internal form.

    Attributes:
        label: class indices, shape (rows,), or None.
        label_mass: what the label counts for, widened, shape (rows,), or None. NaN where the label is unusable.
        background: the targets where there is no label, of shape (rows, classes), or None.
        per_probability: the derivative of ``background`` by the user's probabilities: a number or (1, classes).
    """

    label: Array | None
    label_mass: Array | None
    background: Array | None
    per_probability: Array | float


def row_targets(
    backend: Backend, options: SoftmaxOptions, x: Array, probabilities: Arrays, constants: Arrays
) -> RowTargets:
    """The internal form for rows x.

    Args:
        backend: the backend.
        options: label smoothing is read.
        x: (rows, classes), for the dtype and the number of classes.
        probabilities: empty, or one array (rows, classes).
        constants: label (rows,) with -1 where unusable; class_weight (1, classes); class_mask (1 or rows,
            classes); keep (rows,); each may be None.
    """
    if probabilities:
        return _from_probabilities(backend, options, x, probabilities[0], constants)
    return _from_indices(backend, options, x, constants)


def label_and_mass(
    backend: Backend, options: SoftmaxOptions, x: Array, constants: Arrays
) -> tuple[Array, Array | None]:
    """The labels, 0 where unusable, and what they count for, widened: NaN where unusable, None if all count 1."""
    xp = backend.namespace(x)
    label, class_weight, _, keep = constants
    mass: Array | None = None
    if not options.checked_labels:
        unusable = label < 0
        label = xp.where(unusable, xp.zeros_like(label), label)
        mass = xp.astype(xp.where(unusable, math.nan, xp.ones_like(label, dtype=x.dtype)), x.dtype)
    if class_weight is not None:
        weight = xp.take(xp.astype(class_weight[0, :], x.dtype), label, axis=0)
        mass = weight if mass is None else mass * weight
    if keep is not None:
        # A removed row has no label; the weight of class 0, which stands in for it, may be infinite.
        mass = xp.where(keep, xp.ones_like(label, dtype=x.dtype) if mass is None else mass, 0.0)
    return label, None if mass is None else backend.widen(mass)


def _from_indices(backend: Backend, options: SoftmaxOptions, x: Array, constants: Arrays) -> RowTargets:
    xp = backend.namespace(x)
    _, class_weight, _, keep = constants
    label, mass = label_and_mass(backend, options, x, constants)
    if mass is None:
        mass = backend.widen(xp.ones_like(label, dtype=x.dtype))
    if not options.label_smoothing:
        return RowTargets(label, mass, None, 0.0)
    # Smoothing puts weight on every class, so it is the largest logit that has to be set aside, not the label.
    share = options.label_smoothing * _uniform(backend, x, constants)
    if class_weight is not None:
        share = share * xp.astype(class_weight, x.dtype)
    share = share + xp.zeros_like(x)
    if keep is not None:
        share = xp.where(keep[:, None], share, 0.0)
    own = backend.pick(share, label) + (1.0 - options.label_smoothing) * xp.astype(mass, x.dtype)
    return RowTargets(None, None, backend.put(share, label, own), 0.0)


def _from_probabilities(
    backend: Backend, options: SoftmaxOptions, x: Array, probabilities: Array, constants: Arrays
) -> RowTargets:
    xp = backend.namespace(x)
    _, class_weight, class_mask, keep = constants
    t = xp.astype(probabilities, x.dtype, copy=False)
    per_probability: Array | float = 1.0
    if class_mask is not None:
        stray = xp.any(xp.logical_and(t != 0.0, xp.logical_not(class_mask)), axis=-1)
        t = xp.where(stray[:, None], math.nan, t)
    if options.label_smoothing:
        per_probability = 1.0 - options.label_smoothing
        t = per_probability * t + options.label_smoothing * _uniform(backend, x, constants)
    if class_weight is not None:
        weight = xp.astype(class_weight, x.dtype)
        t, per_probability = t * weight, per_probability * weight
    if keep is not None:
        t = xp.where(keep[:, None], t, 0.0)
    return RowTargets(None, None, t, per_probability)


def _uniform(backend: Backend, x: Array, constants: Arrays) -> Array:
    """1 / (number of allowed classes) at every allowed class, 0 elsewhere."""
    xp = backend.namespace(x)
    class_mask = constants[2]
    share = xp.ones_like(x[:1, :]) if class_mask is None else xp.astype(class_mask, x.dtype)
    count = xp.sum(share, axis=-1, keepdims=True)
    return share / xp.where(count == 0.0, 1.0, count)


def counted(xp: Any, coefficient: Array, loss: Array) -> Array:
    """The loss, but 0 where it is infinite and its coefficient is 0: their product would be NaN.

    Nowhere else is it masked: some forward modes differentiate with respect to the coefficient.
    """
    return xp.where(xp.logical_and(coefficient == 0.0, loss == math.inf), 0.0, loss)


def row_weight(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Array | float:
    """What each row counts for in the denominator of the mean, before sample weights.

    That is the label's class weight, or for probabilities the sum of class weight times target.
    """
    label, class_weight, _, keep = constants
    probabilities = arrays[1:]
    if not probabilities:
        if class_weight is None:
            return 1.0
        xp = backend.namespace(class_weight)
        weight = xp.astype(class_weight[0, :], getattr(xp, options.compute))
        unusable = label < 0
        weight = xp.take(weight, xp.where(unusable, xp.zeros_like(label), label), axis=0)
        # Its row is NaN, and stays so: a denominator of 0 would make it 0.
        return backend.widen(xp.where(unusable, 1.0, weight))
    t = probabilities[0]
    xp = backend.namespace(t)
    t = xp.astype(t, getattr(xp, options.compute), copy=False)
    if keep is not None:
        t = xp.where(keep[:, None], t, 0.0)
    return backend.total(t) if class_weight is None else backend.dot(t, xp.astype(class_weight, t.dtype))
