"""none, sum or mean, and the one definition of the denominator.

mean = sum(sample_weight * loss) / sum(sample_weight * row_weight) over the rows that are kept, where row_weight is
the label's class weight (for probabilities: the sum of class weight times target; for elements: their number, or the
sum of their weights). A ``normalizer`` replaces the denominator. A denominator of 0 gives 0, with gradient 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xentropy.layout import element_count

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any


def denominator(backend: Backend, each: Array, sample_weight: Array | None, keep: Array | None) -> Array:
    """The denominator of the mean, widened, without axes; ``each`` is what the rows count for."""
    if sample_weight is not None:
        each = backend.widen(each) * backend.widen(sample_weight)
    if keep is not None:
        each = backend.namespace(each).where(keep, each, 0.0)
    return sum_all(backend, each)


def divide(xp: Any, x: Array, divisor: Array | float) -> Array:
    """x / divisor, and 0 where the divisor is 0; but a NaN stays one, since its gradient is one."""
    # Not isinstance, which NumPy's float64 is one for.
    if type(divisor) is float:
        # A number of rows: where it is 0, so is their sum.
        return x / (divisor or 1.0)
    zero = divisor == 0.0
    return xp.where(xp.logical_and(zero, x == x), 0.0, x / xp.where(zero, 1.0, divisor))  # noqa: PLR0124 (not NaN)


def sum_all(backend: Backend, x: Array) -> Array:
    """The sum over all elements, widened."""
    flat = x if len(x.shape) == 1 else backend.reshape(x, (element_count(backend.shape(x)),))
    return backend.total(backend.widen(flat))
