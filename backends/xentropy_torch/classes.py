"""Losses of classes: PyTorch's conventions for class axis, dtypes and means, on the core's formulas."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import xentropy
from xentropy_torch import few, native
from xentropy_torch.arguments import FLOATS, autocast, is_recorded, together
from xentropy_torch.backend import backend


def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: Any, label_smoothing: float
) -> Tensor:
    """See ``xentropy_torch.cross_entropy``."""
    if weight is None and reduction == "mean":
        mean = _mean_of_few(input, target, ignore_index, label_smoothing)
        if mean is not None:
            return mean
    x, t, w = autocast(input, target, weight)
    try:
        found = of_classes(xentropy.cross_entropy, x, t, w, ignore_index, reduction, label_smoothing)
        if found is not None:
            return found
    except IndexError:
        # A label out of range: PyTorch's own error says so below.
        pass
    return native.cross_entropy(
        input, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


def nll_loss(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: Any) -> Tensor:
    """See ``xentropy_torch.nll_loss``."""
    x, t, w = autocast(input, target, weight)
    try:
        if _is_indexed(x, t, w, ignore_index):
            return _of_indices(xentropy.nll_loss, x, t, w, ignore_index, reduction)
    except IndexError:
        pass
    return native.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)


def of_classes(
    loss: Callable[..., Tensor],
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: Any,
    reduction: Any,
    label_smoothing: Any,
) -> Tensor | None:
    """A loss of logits and labels or probabilities by PyTorch's conventions; None where PyTorch has to refuse.

    Raises:
        IndexError: a label out of range.
    """
    if not _is_fraction(label_smoothing):
        return None
    # PyTorch leaves out what is not positive, NaN included.
    smoothing = float(label_smoothing) if label_smoothing > 0.0 else 0.0
    if _is_soft(input, target, weight, ignore_index):
        return _of_probabilities(loss, input, target, weight, reduction, smoothing)
    if _is_indexed(input, target, weight, ignore_index) and input.shape != target.shape:
        return _of_indices(loss, input, target, weight, ignore_index, reduction, label_smoothing=smoothing)
    return None


def _mean_of_few(input: Tensor, target: Tensor, ignore_index: Any, label_smoothing: Any) -> Tensor | None:
    """The usual small loss, before the arguments cost more than it does; None where they have to be looked at."""
    smoothed = type(label_smoothing) is not float or label_smoothing != 0.0
    if smoothed or type(ignore_index) is not int or ignore_index >= 0 or torch.compiler.is_compiling():
        return None
    return few.mean(input, target) if getattr(input, "dtype", None) == torch.float32 else None


def _is_fraction(label_smoothing: Any) -> bool:
    if isinstance(label_smoothing, bool) or not isinstance(label_smoothing, numbers.Real):
        return False
    return not float(label_smoothing) > 1.0


def _axis(input: Tensor) -> int:
    return 0 if input.ndim == 1 else 1


def _classes_last(x: Tensor) -> Tensor:
    # Here and not by the core's axis: so the weights of classes broadcast to probabilities.
    return x if x.ndim <= 2 else x.movedim(1, -1)


def _has_classes(input: Any, target: Any, weight: Any, ignore_index: Any) -> bool:
    if not together((input, target), weight) or input.dtype not in FLOATS or input.ndim == 0:
        return False
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, numbers.Integral):
        return False
    if not -(2**63) <= int(ignore_index) < 2**63:
        return False
    classes = input.shape[_axis(input)]
    return classes > 0 and (weight is None or (weight.ndim == 1 and weight.shape[0] == classes))


def _is_soft(input: Any, target: Any, weight: Any, ignore_index: Any) -> bool:
    fits = _has_classes(input, target, weight, ignore_index) and input.shape == target.shape
    return fits and target.dtype in FLOATS and ignore_index < 0 and (weight is None or not weight.is_complex())


def _is_indexed(input: Any, target: Any, weight: Any, ignore_index: Any) -> bool:
    if not _has_classes(input, target, weight, ignore_index):
        return False
    if target.dtype != torch.int64 and not (target.dtype == torch.uint8 and input.ndim <= 2):
        return False
    axis = _axis(input)
    # A row without a batch may have its label in an array of one.
    fits = target.shape == input.shape[:axis] + input.shape[axis + 1 :] or (input.ndim == 1 and target.shape == (1,))
    return fits and (weight is None or (weight.dtype == input.dtype and not is_recorded(weight)))


def _of_indices(
    loss: Callable[..., Tensor],
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: Any,
    **options: float,
) -> Tensor:
    logits = _classes_last(input)
    label = target.to(torch.int64).reshape(logits.shape[:-1])

    def core(name: str) -> Tensor:
        return loss(logits, label, class_weight=weight, ignore_index=ignore_index, reduction=name, **options)

    if reduction != "mean":
        return core(reduction).to(input.dtype)
    # A mean over nothing is NaN here, with gradient 0.
    any_counts = (label != ignore_index).any()
    if weight is None:
        return torch.where(any_counts, core("mean"), math.nan).to(input.dtype)
    # Divided here, since 0 / 0 is NaN here, with the gradient that this division has.
    divisor = torch.where(any_counts, _label_weight(label, weight, ignore_index), 1.0)
    return torch.where(any_counts, backend.widen(core("sum")) / divisor, math.nan).to(input.dtype)


def _label_weight(label: Tensor, weight: Tensor, ignore_index: int) -> Tensor:
    """The sum of the labels' class weights."""
    counted = (label != ignore_index) & (label >= 0) & (label < weight.shape[0])
    each = backend.widen(weight)[torch.where(counted, label, 0)]
    return torch.where(counted, each, 0.0).sum()


def _of_probabilities(
    loss: Callable[..., Tensor],
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: Any,
    label_smoothing: float,
) -> Tensor:
    dtype = torch.promote_types(input.dtype, target.dtype)
    if weight is not None:
        dtype = torch.promote_types(dtype, weight.dtype)
    # float64 targets make the result float64: then all of it is.
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    logits = _classes_last(input.to(compute) if compute == torch.float64 else input)
    mass = _classes_last(target).to(compute)
    if label_smoothing:
        mass = mass * (1.0 - label_smoothing) + label_smoothing / logits.shape[-1]
    if weight is not None:
        # Here and not in the core, to which weights are constants: PyTorch differentiates by them.
        mass = mass * weight.to(compute)
    if reduction != "mean":
        return loss(logits, mass, reduction=reduction).to(dtype)
    total = backend.widen(loss(logits, mass, reduction="sum"))
    return (total / math.prod(logits.shape[:-1])).to(dtype)
