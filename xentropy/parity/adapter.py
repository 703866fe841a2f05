"""What the parity report has to know of a framework."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from xentropy.parity.cases import Array, Case

Native = Any


class Derivatives(NamedTuple):
    """A loss and its derivatives, as the framework's arrays; None what the framework cannot differentiate.

    Attributes:
        value: what the loss returned.
        gradient: of the sum of the values, in the shape of the logits.
        curvature: the derivative of the gradient along a direction, in the same shape.
    """

    value: Native
    gradient: Native | None = None
    curvature: Native | None = None


class UnavailableError(Exception):
    """The framework cannot do this here, and it is no fault of the loss; the message says what is missing."""


class ParityAdapter:
    """Subclass this in a package of the framework's and register an instance under ``xentropy.parity``.

    The entry point's name is the name that the framework is imported by: a framework that cannot be found by it is
    reported as not installed, and the adapter is not loaded.

    Attributes:
        version: the framework's version.
        native_name: what the framework's own loss is called in the report, None where it has none.
        index_dtype: in which the framework's users hold class indices; ``asarray`` takes it, too.
    """

    version: str
    native_name: str | None = None
    index_dtype: str = "int32"

    @property
    def registered(self) -> ParityAdapter:
        """The adapter that an entry point names: this one, unless it stands in for that."""
        return self

    def asarray(self, values: Array, dtype: str) -> Native:
        """The framework's array of the values, on its default device.

        Args:
            values: numbers that are exact in ``dtype``.
            dtype: ``"float16"``, ``"bfloat16"``, ``"float32"``, ``"float64"`` or ``"int32"``.

        Raises:
            UnavailableError: there is no such dtype here.
        """
        raise NotImplementedError

    def to_numpy(self, array: Native) -> Array:
        """The values as a NumPy array: float64 for float64, float32 for everything narrower."""
        raise NotImplementedError

    def owns(self, result: Native) -> bool:
        """Whether a result is of the framework's own array type."""
        raise NotImplementedError

    def dtype_name(self, array: Native) -> str:
        """The bare name of the array's dtype, as in ``asarray``."""
        raise NotImplementedError

    def scope(self, dtype: str) -> AbstractContextManager[Any]:
        """A context in which arrays of the dtype can be made and used."""
        return nullcontext()

    def derivatives(
        self, loss: Callable[[Native], Native], logits: Native, direction: Native | None = None
    ) -> Derivatives:
        """Call a loss and differentiate it, the way that the framework's users do.

        Args:
            loss: any differentiable function of one of the framework's arrays.
            logits: where it is called.
            direction: of the curvature, in the shape of the logits; None where that is not asked for.

        Returns:
            The value alone, for a framework that has no derivatives.
        """
        return Derivatives(loss(logits))

    def own_loss(self, case: Case) -> Callable[[Native], Native] | None:
        """The framework's own loss as a function of the logits that gives one loss a row, in the order of the rows.

        None where the framework has no loss that takes the case's options. Multiplying the rows by sample weights is
        no option that a loss has to have.
        """
        return None

    def native(self, case: Case) -> tuple[Array, Array | None] | None:
        """The framework's own loss of each row, and the gradient of their sum, both through ``to_numpy``.

        None where the framework has no such loss; a gradient of None where it has no derivative.
        """
        loss = self.own_loss(case)
        if loss is None:
            return None
        found = self.derivatives(loss, self.asarray(case.logits, case.dtype))
        gradient = None if found.gradient is None else self.to_numpy(found.gradient)
        return self.to_numpy(found.value), gradient

    def imports(self, dtype: str) -> str:
        """The lines that a program begins with to make arrays of the dtype: imports, and all that ``scope`` does.

        This and the three below are for programs that somebody reads and runs without the adapter. Where they are left
        out, the program loads the adapter and makes its arrays with ``asarray``.
        """
        return ""

    def literal(self, values: Array, dtype: str) -> str | None:
        """Source of an array of the values; ``literals.written`` has them as nested lists."""
        return None

    def listed(self, array: str) -> str | None:
        """Source of the values, as Python's own numbers, of the array that the expression ``array`` stands for."""
        return None

    def native_source(self, case: Case) -> str | None:
        """What ``native`` does, in lines that have the case's arrays by their names; None where that is None.

        The targets are int32 where they are class indices, weights are of ``case.wide_dtype``. The lines assign
        ``loss`` and, where there is a derivative, ``gradient``.
        """
        return None


def weigh_rows(case: Case) -> Array:
    """The factor of each row that frameworks leave to their users: sample weights, or ones."""
    rows = case.logits.shape[0]
    return np.ones(rows, dtype=case.wide_dtype) if case.sample_weight is None else case.sample_weight
