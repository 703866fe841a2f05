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
        gradient: for a case and its logits, the gradient, where the adapter cannot tell; or None.
        by_row: whether it gives a loss for each row whatever the reduction that is asked for.
    """

    name: str
    arrays: str
    adapter: ParityAdapter
    bind: Callable[[Case], Callable[[Native], Native]]
    gradient: Callable[[Case, Native], Native] | None = None
    by_row: bool = True

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
        logits = self.adapter.asarray(case.logits, case.dtype)
        derived = self._derive(case, logits, wanted)
        found, dtypes = {}, {}
        for name, array in zip(QUANTITIES, derived, strict=True):
            if array is not None and (name in wanted or name == "loss"):  # whose shape is looked at in any case
                found[name], dtypes[name] = self._read(array)
        return Measured(found, dtypes)

    def _derive(self, case: Case, logits: Native, wanted: set[str]) -> Derivatives:
        loss = self.bind(case)
        if wanted == {"loss"}:
            return Derivatives(loss(logits))
        along = self.adapter.asarray(direction(case), case.dtype) if "curvature" in wanted else None
        derived = self.adapter.derivatives(loss, logits, along)
        if derived.gradient is None and self.gradient is not None:
            return derived._replace(gradient=self.gradient(case, logits))
        return derived

    def _read(self, array: Native) -> tuple[Array, str]:
        if isinstance(array, float):  # NumPy's own float64 is one, too
            return np.asarray(array), "float64"
        if not self.adapter.owns(array):
            raise TypeError(
                f"returned a {type(array).__module__}.{type(array).__qualname__}, no array of {self.arrays}"
            )
        dtype = self.adapter.dtype_name(array)
        if dtype not in PRECISION:
            raise TypeError(f"returned {dtype}, and a loss is one of {', '.join(PRECISION)}")
        return self.adapter.to_numpy(array), dtype
