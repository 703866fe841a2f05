"""A loss of somebody's in the place of a framework's own: all that is done with that can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from xentropy.parity.adapter import Derivatives, Native, ParityAdapter
from xentropy.parity.cases import Array, Case
from xentropy.parity.loss_conventions import Conventions
from xentropy.parity.losses.reduction import reduced
from xentropy.parity.losses.subject import Subject


class LossAdapter(ParityAdapter):
    """The adapter of a loss's arrays, whose own loss is that loss.

    Args:
        subject: the loss.
        conventions: what it computes.
        reduction: what it returns.
        name: what it is imported by.
        source: how it is imported and called, for programs that reproduce a number.
    """

    def __init__(self, subject: Subject, conventions: Conventions, reduction: str, name: str, source: str) -> None:
        self._base, self._subject, self._conventions = subject.adapter, subject, conventions
        self._reduction, self._source = reduction, source
        self.version, self.index_dtype = self._base.version, self._base.index_dtype
        self.native_name = name

    @property
    def registered(self) -> ParityAdapter:
        """The base."""
        return self._base.registered

    def asarray(self, values: Array, dtype: str) -> Native:
        """The base's."""
        return self._base.asarray(values, dtype)

    def to_numpy(self, array: Native) -> Array:
        """The base's."""
        return self._base.to_numpy(array)

    def owns(self, result: Native) -> bool:
        """The base's."""
        return self._base.owns(result)

    def dtype_name(self, array: Native) -> str:
        """The base's."""
        return self._base.dtype_name(array)

    def scope(self, dtype: str) -> AbstractContextManager[Any]:
        """The base's."""
        return self._base.scope(dtype)

    def derivatives(
        self, loss: Callable[[Native], Native], logits: Native, direction: Native | None = None
    ) -> Derivatives:
        """The base's."""
        return self._base.derivatives(loss, logits, direction)

    def imports(self, dtype: str) -> str:
        """The base's."""
        return self._base.imports(dtype)

    def literal(self, values: Array, dtype: str) -> str | None:
        """The base's."""
        return self._base.literal(values, dtype)

    def listed(self, array: str) -> str | None:
        """The base's."""
        return self._base.listed(array)

    def native(self, case: Case) -> tuple[Array, Array | None] | None:
        """What the loss gives for each row; row by row where it gives one number for all.

        None where the case is not what it computes, or has a row that counts for nothing, whose mean is none.
        """
        by_row = self._reduction == "none"
        if self._conventions.fitting(case) is None or (case.dropped.any() and not by_row):
            return None
        parts = [case] if by_row else [case.only([row]) for row in range(len(case.targets))]
        found = [self._measure(part) for part in parts]
        losses = np.concatenate([np.atleast_1d(loss) for loss, _ in found])
        gradients = [gradient for _, gradient in found if gradient is not None]
        return losses, np.concatenate(gradients) if len(gradients) == len(found) else None

    def _measure(self, case: Case) -> tuple[Array, Array | None]:
        measured = reduced(self._subject, self._subject.measure(case, ("loss", "gradient")), case, self._reduction)
        if measured.error is not None:
            raise measured.error
        return measured.found["loss"], measured.found.get("gradient")

    def native_source(self, case: Case) -> str | None:
        """A call of the loss, without its gradient."""
        if self._conventions.fitting(case) is None or (self._reduction != "none" and len(case.targets) > 1):
            return None
        if case.soft or self.index_dtype == "int32":
            return self._source
        targets = self._base.literal(case.targets, self.index_dtype)
        return None if targets is None else f"targets = {targets}\n{self._source}"
