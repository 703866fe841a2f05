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
        ValueError: it returned another shape than the reduction has, or a gradient of another than the logits.
    """
    if measured.error is not None:
        return measured
    if side.by_row and reduction != "none":
        return _reduce(measured, case, reduction)
    _check_shapes(side, measured, case, reduction)
    return measured


def _check_shapes(side: Subject, measured: Measured, case: Case, reduction: str) -> None:
    logits = case.logits.shape
    due = {"loss": logits[:1] if reduction == "none" else (), "gradient": logits}
    found = {name: measured.found[name].shape for name in due if name in measured.found}
    if found["loss"] != due["loss"]:
        raise ValueError(
            f"{side.name} returned shape {found['loss']} for logits of shape {logits}, where "
            f"reduction={reduction!r} means {due['loss']}; reduction says what the losses return"
        )
    if found.get("gradient", logits) != logits:
        raise ValueError(f"the gradient of {side.name} has shape {found['gradient']}; that of its logits is {logits}")


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
