"""Cross-entropy of rows of probabilities (``from_logits=False``): sum_j t_j phi(-log p_j), rows not renormalised.

A probability outside [0, 1] gives NaN here; where values are known, the public functions raise before.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from xentropy import focal
from xentropy.rule import Arrays, Needs
from xentropy.targets import RowTargets, row_targets

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import SoftmaxOptions

Array = Any


def _rows(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> tuple[Array, RowTargets]:
    xp = backend.namespace(arrays[0])
    p = xp.astype(arrays[0], getattr(xp, options.compute), copy=False)
    keep = constants[3]
    if keep is not None:
        p = xp.where(keep[:, None], p, 1.0)
    p = xp.where(xp.logical_or(p < 0.0, p > 1.0), math.nan, p)
    return p, row_targets(backend, options, p, arrays[1:], constants)


def forward(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """The loss of every row."""
    p, t = _rows(backend, options, arrays, constants)
    xp = backend.namespace(p)
    loss: Array | float = 0.0
    if t.label is not None:
        nll = backend.widen(-backend.log(_at_label(backend, p, t)))
        loss = loss + t.label_mass * focal.modulated(backend, nll, options.focal_gamma)
    if t.background is not None:
        absent = xp.logical_and(t.background == 0.0, p == 0.0)
        nll = -backend.log(xp.where(absent, 1.0, p))
        loss = loss + backend.dot(t.background, focal.modulated(backend, nll, options.focal_gamma))
    keep = constants[3]
    return (loss if keep is None else xp.where(keep, loss, 0.0),)


def gradient(
    backend: Backend,
    options: SoftmaxOptions,
    arrays: Arrays,
    constants: Arrays,
    cotangents: Arrays,
    needs: Needs,
) -> tuple[Array | None, ...]:
    """The gradient of the probabilities and, where the targets are probabilities too, theirs."""
    p, t = _rows(backend, options, arrays, constants)
    xp = backend.namespace(p)
    cotangent = xp.astype(cotangents[0], p.dtype, copy=False)
    if constants[3] is not None:
        cotangent = xp.where(constants[3], cotangent, 0.0)
    of_p = xp.zeros_like(p)
    if t.label is not None:
        at_label = _at_label(backend, p, t)
        mass = xp.astype(t.label_mass, p.dtype)
        of_p = backend.put(of_p, t.label, -cotangent * mass * _slope(backend, options, at_label) / at_label)
    if t.background is not None:
        present = xp.where(xp.logical_and(t.background == 0.0, p == 0.0), 1.0, p)
        of_p = of_p - cotangent[:, None] * t.background * _slope(backend, options, present) / present
    if len(needs) == 1:
        return (of_p,)
    return of_p if needs[0] else None, _targets_gradient(backend, options, p, t, cotangent) if needs[1] else None


def _at_label(backend: Backend, p: Array, t: RowTargets) -> Array:
    """The label's probability; 1 where it is 0 and the label counts for nothing, since 0 * inf would be NaN."""
    xp, found = backend.namespace(p), backend.pick(p, t.label)
    return xp.where(xp.logical_and(t.label_mass == 0.0, found == 0.0), 1.0, found)


def _slope(backend: Backend, options: SoftmaxOptions, p: Array) -> Array | float:
    if options.focal_gamma == 0.0:
        return 1.0
    return focal.slope(backend, -backend.log(p), options.focal_gamma)


def _targets_gradient(backend: Backend, options: SoftmaxOptions, p: Array, t: RowTargets, cotangent: Array) -> Array:
    xp = backend.namespace(p)
    out = xp.logical_and(t.background == 0.0, p == 0.0)
    nll = -backend.log(xp.where(out, 1.0, p))
    return focal.modulated(backend, nll, options.focal_gamma) * t.per_probability * cotangent[:, None]
