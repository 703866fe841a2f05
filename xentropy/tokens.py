"""Log-sum-exp, log-probability of the label and entropy of rows of logits, from one set of statistics.

entropy = log Z + sum_j p_j (m - x_j), every term >= 0; dentropy/dx_j = p_j (l_j - entropy) with l_j = -log p_j.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xentropy.rule import Arrays, Needs
from xentropy.softmax import Statistics, activate, statistics
from xentropy.targets import RowTargets, row_targets

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import SoftmaxOptions

Array = Any


def forward(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """Log-sum-exp, log-probability of the label, and entropy of every row."""
    x, shift, s, targets = _rows(backend, options, arrays, constants)
    maximum = backend.widen(s.maximum)
    nll = (maximum - backend.widen(backend.pick(x, targets.label))) + s.log_normalizer
    outputs = shift + (maximum + s.log_normalizer), -(targets.label_mass * nll), _entropy(backend, x, s)
    xp = backend.namespace(x)
    return tuple(xp.astype(output, x.dtype, copy=False) for output in outputs)


def gradient(
    backend: Backend,
    options: SoftmaxOptions,
    arrays: Arrays,
    constants: Arrays,
    cotangents: Arrays,
    needs: Needs,
) -> tuple[Array | None, ...]:
    """The gradient of the logits for cotangents of the three outputs."""
    x, _, s, targets = _rows(backend, options, arrays, constants)
    xp = backend.namespace(x)
    of_lse, of_log_prob, of_entropy = (backend.widen(cotangent) for cotangent in cotangents)
    of_log_prob = targets.label_mass * of_log_prob
    below = xp.exp(x - s.maximum[:, None])
    finite = xp.where(below == 0.0, 0.0, s.maximum[:, None] - x)
    row = xp.astype(s.over_normalizer(of_lse - of_log_prob), x.dtype)
    curve = xp.astype(s.over_normalizer(of_entropy), x.dtype)
    offset = xp.astype(s.log_normalizer - _entropy(backend, x, s), x.dtype)
    curved = below * curve[:, None] * (finite + offset[:, None])
    result = below * row[:, None] + curved
    # At a label that is the largest logit, this is 1 - p and does not cancel.
    remainder = xp.astype(s.of_others(1.0), x.dtype)
    of_lse, of_log_prob = xp.astype(of_lse, x.dtype), xp.astype(of_log_prob, x.dtype)
    at_largest = backend.pick(curved, s.excluded) + of_lse * (1.0 - remainder) + of_log_prob * remainder
    elsewhere = backend.pick(result, targets.label) + of_log_prob
    at_label = xp.where(targets.label == s.excluded, at_largest, elsewhere)
    return (backend.put(result, targets.label, at_label) / options.temperature,)


def _rows(
    backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays
) -> tuple[Array, Array | float, Statistics, RowTargets]:
    xp = backend.namespace(arrays[0])
    x, _, shift, _ = activate(backend, options, xp.astype(arrays[0], getattr(xp, options.compute), copy=False))
    return x, shift, statistics(backend, x, None), row_targets(backend, options, x, (), constants)


def _entropy(backend: Backend, x: Array, s: Statistics) -> Array:
    xp = backend.namespace(x)
    below = xp.exp(x - s.maximum[:, None])
    finite = xp.where(below == 0.0, 0.0, s.maximum[:, None] - x)
    return s.log_normalizer + s.over_normalizer(backend.dot(below, finite))
