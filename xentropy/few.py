"""The mean of a few rows with one label each, in float64 throughout, which there is time for.

    loss       = log S - (x_label - max x),      S = sum of exp(x_j - max x)
    dloss/dx_j = exp(x_j - max x) / S - [j is the label]

Here S contains the largest term, so a loss errs by up to some 2^-53 for each class, and not in proportion to itself.
That is nothing beside float32 unless the row is confident; then the formulas of ``xentropy.labelled`` have to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any

# Elements: from here on float64 costs more than Python.
LIMIT = 1 << 13

# For each class: from here on the error is under a hundredth of float32's own.
LEAST = 1e-7


def fits(logits_shape: tuple[int, ...], targets_shape: tuple[int, ...]) -> bool:
    """Whether these are a few rows of classes with one label each."""
    if len(logits_shape) != 2:
        return False
    rows, classes = logits_shape
    return targets_shape == (rows,) and 0 < rows * classes <= LIMIT


def mean(backend: Backend, logits: Array, label: Array) -> tuple[Array, Array | None] | None:
    """The mean in float64, and its gradient where the backend ``records``; the labels are in range.

    None where a row is confident or not finite.
    """
    xp = backend.namespace(logits)
    x = backend.widen(logits)
    x = x - xp.max(x, axis=-1, keepdims=True)
    parts = xp.exp(x)
    total = xp.sum(parts, axis=-1)
    losses = xp.log(total) - backend.pick(x, label)
    rows, classes = logits.shape
    # Not "<=", which NaN isn't.
    if not float(xp.min(losses)) > LEAST * classes:
        return None
    value = xp.sum(losses) / rows
    if not backend.records():
        return value, None
    parts = backend.put(parts, label, backend.pick(parts, label) - total)
    parts *= (1.0 / (rows * total))[:, None]
    return value, xp.astype(parts, logits.dtype)
