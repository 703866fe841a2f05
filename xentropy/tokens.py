"""Log-sum-exp, log-probability of the label and entropy of rows of logits, from one set of statistics.

entropy = log Z + sum_j p_j (m - x_j), every term >= 0; dentropy/dx_j = p_j (l_j - entropy) with l_j = -log p_j.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xentropy.rule import Arrays, Needs
from xentropy.softmax import Statistics, activate, statistics
from xentropy.targets import row_targets

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import SoftmaxOptions

Array = Any


def forward(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """Log-sum-exp, log-probability of the label, and entropy of every row."""
    x, s, mass = _rows(backend, options, arrays, constants)
    maximum = backend.widen(s.maximum)
    nll = (maximum - backend.widen(backend.pick(x, s.excluded))) + s.log_normalizer
    return maximum + s.log_normalizer, -mass * nll, _entropy(backend, x, s)


def gradient(
    backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays, cotangents: Arrays, needs: Needs
) -> tuple[Array | None, ...]:
    """The gradient of the logits for cotangents of the three outputs."""
    x, s, mass = _rows(backend, options, arrays, constants)
    xp = backend.namespace(x)
    of_lse, of_log_prob, of_entropy = cotangents
    of_log_prob = mass * of_log_prob
    below = xp.exp(x - s.maximum[:, None])
    finite = xp.where(below == 0.0, 0.0, s.maximum[:, None] - x)
    row = xp.astype((of_lse - of_log_prob) / s.normalizer, x.dtype)
    curve = xp.astype(of_entropy / s.normalizer, x.dtype)
    offset = xp.astype(s.log_normalizer - _entropy(backend, x, s), x.dtype)
    curved = below * curve[:, None] * (finite + offset[:, None])
    result = below * row[:, None] + curved
    share = s.excess / s.normalizer
    own = xp.astype(of_lse * (1.0 - share) + of_log_prob * share, x.dtype) + backend.pick(curved, s.excluded)
    return (backend.put(result, s.excluded, own) / options.temperature,)


def _rows(
    backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays
) -> tuple[Array, Statistics, Array]:
    xp = backend.namespace(arrays[0])
    x, _ = activate(xp, options, xp.astype(arrays[0], getattr(xp, options.compute), copy=False))
    targets = row_targets(backend, options, x, (), constants)
    return x, statistics(backend, x, targets.label), targets.label_mass


def _entropy(backend: Backend, x: Array, s: Statistics) -> Array:
    xp = backend.namespace(x)
    below = xp.exp(x - s.maximum[:, None])
    finite = xp.where(below == 0.0, 0.0, s.maximum[:, None] - x)
    return s.log_normalizer + backend.total(below * finite) / s.normalizer
