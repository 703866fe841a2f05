"""The losses of a case under the reduction that is compared."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from xentropy.parity.cases import Array, Case
from xentropy.parity.losses.expected import denominator
from xentropy.parity.losses.subject import Measured, Subject


def reduced(side: Subject, measured: Measured, case: Case, reduction: str) -> Measured:
    """What a side gave, under the reduction: it is reduced here where it has a loss for each row.

    Raises:
        ValueError: it returned another shape than the reduction has.
    """
    if measured.error is not None:
        return measured
    if side.by_row:
        return measured if reduction == "none" else _reduce(measured, case, reduction)
    shape, due = measured.found["loss"].shape, case.logits.shape[:1] if reduction == "none" else ()
    if shape != due:
        raise ValueError(
            f"{side.name} returned shape {shape} for logits of shape {case.logits.shape}, where "
            f"reduction={reduction!r} means {due}; reduction says what the losses return"
        )
    return measured


def _reduce(measured: Measured, case: Case, reduction: str) -> Measured:
    """In float64, and rounded once: what is compared are its rows, not its sums."""
    divisor = denominator(case) if reduction == "mean" else 1.0
    found = {name: _over(values, divisor) for name, values in measured.found.items()}
    losses = measured.found["loss"]
    total = math.fsum(losses.tolist()) if np.isfinite(losses).all() else float(losses.sum(dtype=np.float64))
    found["loss"] = _over(np.asarray(total, dtype=losses.dtype), divisor)
    return replace(measured, found=found)


def _over(values: Array, divisor: float) -> Array:
    if divisor == 0:
        return np.zeros_like(values)
    return (values.astype(np.float64) / divisor).astype(values.dtype)
