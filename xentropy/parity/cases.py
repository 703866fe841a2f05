"""One input of a loss with the options it is called with, as NumPy arrays that every adapter can take over exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Case:
    """A call of ``cross_entropy``, or of ``binary_cross_entropy`` where ``binary``.

    Attributes:
        name: what sets the case apart within its family.
        logits: shape (rows, classes), or (rows,) where binary; float32 for every dtype but float64. Probabilities
            where ``from_logits`` is False.
        targets: integers of shape (rows,), or probabilities of the shape of the logits.
        dtype: the dtype in which a framework gets the logits (and soft targets). Their values are exact in it.
        binary: which of the two functions is called.
        expected: the loss of the only row in four decimals, for the examples.

    The others are the options of the same name of the two functions.
    """

    PER_ROW: ClassVar[tuple[str, ...]] = ("logits", "targets", "sample_weight", "pos_weight")

    name: str
    logits: Array
    targets: Array
    dtype: str = "float32"
    binary: bool = False
    from_logits: bool = True
    class_weight: Array | None = None
    sample_weight: Array | None = None
    pos_weight: Array | None = None
    ignore_index: int | None = None
    label_smoothing: float = 0.0
    precision: str | None = None
    expected: str | None = None

    @property
    def soft(self) -> bool:
        """Whether the targets are probabilities."""
        return bool(self.targets.dtype.kind == "f")

    @property
    def wide_dtype(self) -> str:
        """The dtype of the loss: float64 for float64 logits, float32 for everything narrower."""
        return "float64" if self.dtype == "float64" else "float32"

    @property
    def dropped(self) -> Array:
        """Bool of shape (rows,): the rows that are ignored or weigh nothing, whatever their logits are."""
        out = np.zeros(self.logits.shape[0], dtype=bool)
        if self.ignore_index is not None:
            out |= self.targets == self.ignore_index
        if self.sample_weight is not None:
            out |= self.sample_weight == 0
        return out

    def only(self, rows: Sequence[int]) -> Case:
        """The same case with these rows alone, in this order."""
        index = np.asarray(rows, dtype=np.intp)
        given = {name: getattr(self, name) for name in self.PER_ROW}
        return replace(self, **{name: array[index] for name, array in given.items() if array is not None})

    def rounded_to(self, dtype: str) -> Case:
        """The same case with logits and soft targets rounded to another dtype."""
        targets = round_to(self.targets, dtype) if self.soft else self.targets
        return replace(self, logits=round_to(self.logits, dtype), targets=targets, dtype=dtype)


def round_to(values: Array, dtype: str) -> Array:
    """Round to the nearest number of the dtype, kept as float32 (float64 for ``"float64"``)."""
    if dtype == "float64":
        return values.astype(np.float64)
    if dtype == "float16":
        return values.astype(np.float16).astype(np.float32)
    if dtype == "bfloat16":
        return _round_to_bfloat16(values.astype(np.float32))
    return values.astype(np.float32)


def _round_to_bfloat16(values: Array) -> Array:
    # bfloat16 is the upper half of a float32; ties go to the even neighbour. Adding the carry to a NaN would
    # turn it into something else, so those are left alone.
    bits = values.view(np.uint32)
    carry = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    nearest = ((bits + carry) & np.uint32(0xFFFF0000)).view(np.float32)
    return np.where(np.isnan(values), values, nearest)
