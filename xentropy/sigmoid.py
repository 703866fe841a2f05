"""Binary cross-entropy, element by element.

With l1 = -log p = softplus(-z) and l0 = -log(1 - p) = softplus(z), each computed as max(+-z, 0) + log1p(exp(-|z|)):

    loss     = c1 phi(l1) + c0 phi(l0)
    dloss/dz = c0 phi'(l0) p - c1 phi'(l1) (1 - p)

c1 = y * pos_weight * alpha, c0 = (1 - y) * (1 - alpha) after smoothing y to y (1 - epsilon) + epsilon / 2; a
coefficient of 0 silences its term even where the logit is infinite. phi is the focal factor. Constants are (pos_weight,
sample_weight, counted, None), all but the last of the elements' shape, or None.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from xentropy import focal
from xentropy.layout import known
from xentropy.rule import Arrays, Needs
from xentropy.softmax import magnitude
from xentropy.targets import counted

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import SigmoidOptions

Array = Any


class _Element(NamedTuple):
    positive: Array
    negative: Array
    nll_positive: Array
    nll_negative: Array
    pull_positive: Array
    pull_negative: Array


def forward(backend: Backend, options: SigmoidOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """The loss of every element."""
    e = _elements(backend, options, arrays, constants)
    xp = backend.namespace(e.positive)
    positive = e.positive * focal.modulated(backend, counted(xp, e.positive, e.nll_positive), options.focal_gamma)
    negative = e.negative * focal.modulated(backend, counted(xp, e.negative, e.nll_negative), options.focal_gamma)
    loss = positive + negative
    _, weight, counts, _ = constants
    if weight is not None:
        # The weight of what doesn't count may be NaN.
        loss = xp.where(counts, loss, 0.0) * xp.astype(xp.where(counts, weight, 0.0), loss.dtype, copy=False)
    return (loss,)


def forward_summed(backend: Backend, options: SigmoidOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """The sum of the losses of every row, widened."""
    return (backend.total(forward(backend, options, arrays, constants)[0]),)


def row_weight(backend: Backend, options: SigmoidOptions, arrays: Arrays, constants: Arrays) -> Array | float:
    """What each row counts for in the denominator of the mean: the sum of its weights."""
    _, weight, counts, _ = constants
    if weight is not None:
        return backend.total(backend.widen(backend.namespace(weight).where(counts, weight, 0.0)))
    columns = backend.shape(arrays[0])[-1]
    if known(columns):
        return float(columns)
    # Counted in one row, and not in the logits' dtype: float16 ends at 65,504.
    xp = backend.namespace(arrays[0])
    ones = backend.widen(xp.ones_like(arrays[0][:1, :], dtype=getattr(xp, options.compute)))
    rows = xp.sum(xp.ones_like(arrays[0][:, :1], dtype=getattr(xp, options.compute)), axis=-1)
    return backend.total(ones) * backend.widen(rows)


def gradient(
    backend: Backend,
    options: SigmoidOptions,
    arrays: Arrays,
    constants: Arrays,
    cotangents: Arrays,
    needs: Needs,
) -> tuple[Array | None, ...]:
    """The gradient of the logits (or probabilities) and of the targets."""
    e = _elements(backend, options, arrays, constants)
    gamma = options.focal_gamma
    cotangent = _of_elements(backend, e.positive.dtype, cotangents[0], constants)
    positive, negative = e.positive * e.pull_positive, e.negative * e.pull_negative
    if gamma:
        positive = positive * focal.slope(backend, e.nll_positive, gamma)
        negative = negative * focal.slope(backend, e.nll_negative, gamma)
    of_input = negative - positive
    return (
        cotangent * of_input if needs[0] else None,
        cotangent * _targets_slope(backend, options, e, constants) if needs[1] else None,
    )


def gradient_summed(
    backend: Backend,
    options: SigmoidOptions,
    arrays: Arrays,
    constants: Arrays,
    cotangents: Arrays,
    needs: Needs,
) -> tuple[Array | None, ...]:
    """The gradient of ``forward_summed``."""
    return gradient(backend, options, arrays, constants, (cotangents[0][:, None],), needs)


def _of_elements(backend: Backend, dtype: Any, cotangent: Array, constants: Arrays) -> Array:
    """The cotangent of the elements before their weights, which broadcasts to their shape."""
    xp = backend.namespace(cotangent)
    _, weight, counts, _ = constants
    if weight is None:
        return xp.astype(cotangent, dtype, copy=False)
    weighted = backend.widen(cotangent) * backend.widen(xp.where(counts, weight, 0.0))
    return xp.astype(xp.where(counts, weighted, 0.0), dtype, copy=False)


def _elements(backend: Backend, options: SigmoidOptions, arrays: Arrays, constants: Arrays) -> _Element:
    xp = backend.namespace(arrays[0])
    compute = getattr(xp, options.compute)
    given = xp.astype(arrays[0], compute, copy=False)
    y = xp.astype(arrays[1], compute, copy=False)
    if options.focal_gamma:
        # The power multiplies every error before it by 1 + gamma: 8 ulp in float32, at a gamma of 2.
        given, y = backend.widen(given), backend.widen(y)
    counts = constants[2]
    if counts is not None:
        given, y = xp.where(counts, given, 0.5), xp.where(counts, y, 0.0)
    kept, floor = 1.0 - options.label_smoothing, 0.5 * options.label_smoothing
    positive_scale, negative_scale = _scales(xp, options, constants, given.dtype)
    # 1 - (y kept + floor) would cancel where y is near 1.
    positive, negative = y * kept + floor, (1.0 - y) * kept + floor
    positive, negative = positive * positive_scale, negative * negative_scale
    if options.from_logits:
        return _Element(positive, negative, *_from_logits(backend, given))
    return _Element(positive, negative, *_from_probabilities(backend, given, positive, negative))


def _scales(xp: Any, options: SigmoidOptions, constants: Arrays, compute: Any) -> tuple[Array | float, float]:
    positive: Array | float = 1.0 if options.focal_alpha is None else options.focal_alpha
    negative = 1.0 if options.focal_alpha is None else 1.0 - options.focal_alpha
    pos_weight, _, counts, _ = constants
    if pos_weight is not None:
        pos_weight = xp.astype(pos_weight, compute, copy=False)
        positive = positive * (pos_weight if counts is None else xp.where(counts, pos_weight, 1.0))
    return positive, negative


def _from_logits(backend: Backend, z: Array) -> tuple[Array, Array, Array, Array]:
    xp = backend.namespace(z)
    small = xp.exp(-magnitude(xp, z))
    tail = backend.log1p(small)
    above = z >= 0.0
    toward, away = 1.0 / (1.0 + small), small / (1.0 + small)
    nll_positive = xp.where(above, 0.0, -z) + tail
    nll_negative = xp.where(above, z, 0.0) + tail
    return nll_positive, nll_negative, xp.where(above, away, toward), xp.where(above, toward, away)


def _from_probabilities(
    backend: Backend, p: Array, positive: Array, negative: Array
) -> tuple[Array, Array, Array, Array]:
    xp = backend.namespace(p)
    p = xp.where(xp.logical_or(p < 0.0, p > 1.0), math.nan, p)
    # An infinite term that counts for nothing is left out here: masked later, its derivative would be NaN.
    likely = xp.where(xp.logical_and(positive == 0.0, p == 0.0), 1.0, p)
    unlikely = xp.where(xp.logical_and(negative == 0.0, p == 1.0), 0.0, p)
    return -backend.log(likely), -backend.log1p(-unlikely), 1.0 / likely, 1.0 / (1.0 - unlikely)


def _targets_slope(backend: Backend, options: SigmoidOptions, e: _Element, constants: Arrays) -> Array:
    xp = backend.namespace(e.positive)
    positive_scale, negative_scale = _scales(xp, options, constants, e.positive.dtype)
    gamma = options.focal_gamma
    difference = positive_scale * focal.modulated(backend, e.nll_positive, gamma) - negative_scale * focal.modulated(
        backend, e.nll_negative, gamma
    )
    return (1.0 - options.label_smoothing) * difference
