"""How far apart numbers may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np

from xentropy.parity.cases import Array
from xentropy.parity.losses.expected import Quantity
from xentropy.parity.ulp import ulp

SLACK = 4.0


@dataclass(frozen=True)
class Tolerance:
    """A bound in ulp, or a relative one, and an absolute one that is added to it.

    An ulp is that of the exact number, or of the largest of that and the two that are compared, in the narrowest dtype
    of the results. Of an entry that is a difference of others (``Quantity.relative`` is False) both bounds are of its
    row's scale in place of the number.

    Attributes:
        ulp: units in the last place; None, with ``rtol`` None too, allows what the library holds itself to: 4, and one
            more for each unit between the largest and smallest logit of the row that count.
        rtol: a part of the number.
        atol: what is added to either.

    Raises:
        ValueError: one of them is negative or NaN, or ``ulp`` and ``rtol`` are both given.
    """

    ulp: float | None = None
    rtol: float | None = None
    atol: float = 0.0

    def __post_init__(self) -> None:
        for name in ("ulp", "rtol", "atol"):
            value = getattr(self, name)
            unset = value is None and name != "atol"
            if not unset and not (isinstance(value, Real) and 0 <= float(value) < math.inf):
                raise ValueError(f"{name} is {value!r}; a tolerance is a number, 0 or larger")
        if self.ulp is not None and self.rtol is not None:
            raise ValueError(f"ulp is {self.ulp!r} and rtol is {self.rtol!r}; give one of them")

    def allowed(self, quantity: Quantity, dtype: str) -> Array:
        """The bound of each entry, in ulp; 0 where the exact value is not finite and has to be hit."""
        one = unit(quantity, dtype)
        if self.rtol is not None:
            bound = self.rtol * _measure(quantity) / one
        else:
            bound = SLACK + quantity.span if self.ulp is None else np.full(quantity.exact.shape, self.ulp)
        return np.where(np.isfinite(quantity.exact), bound + self.atol / one, 0.0)

    def __str__(self) -> str:
        bound = f"rtol {self.rtol:g}" if self.rtol is not None else "4 ulp + span"
        bound = f"{self.ulp:g} ulp" if self.ulp is not None else bound
        return f"{bound}, atol {self.atol:g}" if self.atol else bound


def unit(quantity: Quantity, dtype: str) -> Array:
    """The ulp of each entry; 1 where the exact value is not finite."""
    return np.where(np.isfinite(quantity.exact), ulp(_measure(quantity), dtype), 1.0)


def _measure(quantity: Quantity) -> Array:
    return np.where(quantity.relative, np.abs(quantity.exact), quantity.scale)
