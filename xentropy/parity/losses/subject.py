"""One side of a comparison, and what comes out of it for a case."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from xentropy.parity.adapter import Derivatives, Native, ParityAdapter, UnavailableError
from xentropy.parity.cases import Array, Case
from xentropy.parity.curvature import direction
from xentropy.parity.ulp import PRECISION

QUANTITIES = ("loss", "gradient", "curvature")


@dataclass(frozen=True, eq=False)
class Measured:
    """What came out of a loss for a case, as NumPy arrays; or the exception.

    Attributes:
        found: loss, gradient and curvature, those that there are.
        dtypes: the bare names of the dtypes they came back in.
        error: what was raised in place of that.
    """

    found: dict[str, Array] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    error: Exception | None = None


@dataclass(frozen=True, eq=False)
class Subject:
    """One side of a comparison.

    Attributes:
        name: what reports call it.
        arrays: the name of the adapter.
        adapter: makes the arrays and differentiates.
        bind: for a case, the loss as a function of the logits alone.
        gradient: for a case and its logits, the gradient; None asks the adapter.
        derived: whether the adapter's own gradient, where it has one, goes before that one.
        by_row: whether it gives a loss for each row whatever the reduction that is asked for.
    """

    name: str
    arrays: str
    adapter: ParityAdapter
    bind: Callable[[Case], Callable[[Native], Native]]
    gradient: Callable[[Case, Native], Native] | None = None
    by_row: bool = True
    derived: bool = True

    def measure(self, case: Case, quantities: Iterable[str]) -> Measured:
        """Call the loss and differentiate it; what it raises is part of the answer."""
        try:
            # What a loss warns of on these inputs is in its numbers.
            with self.adapter.scope(case.dtype), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._measure(case, set(quantities))
        except UnavailableError:
            raise
        except Exception as error:
            return Measured(error=error)

    def _measure(self, case: Case, wanted: set[str]) -> Measured:
        derived = self._derive(case, wanted)
        found, dtypes = {}, {}
        for name, array in zip(QUANTITIES, derived, strict=True):
            # The loss in any case: its shape is looked at.
            if name == "loss" or (name in wanted and array is not None):
                found[name], dtypes[name] = self._read(array)
        return Measured(found, dtypes)

    def _derive(self, case: Case, wanted: set[str]) -> Derivatives:
        loss = self.bind(case)
        if wanted == {"loss"}:
            return Derivatives(loss(self._logits(case)))
        along = self.adapter.asarray(direction(case), case.dtype) if "curvature" in wanted else None
        derived = self.adapter.derivatives(loss, self._logits(case), along)
        if self.gradient is None or (self.derived and derived.gradient is not None):
            return derived
        gradient = self.gradient(case, self._logits(case))
        if gradient is None:
            raise TypeError("the function that was given as its gradient returned None")
        return derived._replace(gradient=gradient)

    def _logits(self, case: Case) -> Native:
        """New ones for every call: a loss may write into its own."""
        return self.adapter.asarray(case.logits, case.dtype)

    def _read(self, array: Native) -> tuple[Array, str]:
        if isinstance(array, float):  # NumPy's own float64 is one, too
            return np.asarray(array, dtype=np.float64), "float64"
        if not self.adapter.owns(array):
            raise TypeError(
                f"returned a {type(array).__module__}.{type(array).__qualname__}, no array of {self.arrays}"
            )
        dtype = self.adapter.dtype_name(array)
        if dtype not in PRECISION:
            raise TypeError(f"returned {dtype}, and a loss is one of {', '.join(PRECISION)}")
        # A copy: what a loss returns may be memory that its next call writes into.
        return np.array(self.adapter.to_numpy(array)), dtype
