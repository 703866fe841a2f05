"""none, mean and sum by PyTorch's names, the deprecated ones included, and its mean over elements."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import _reduction

from xentropy_torch.backend import backend


def reduction_name(size_average: bool | None, reduce: bool | None, reduction: str) -> Any:
    """One of "none", "mean" and "sum", with PyTorch's own warning for what is deprecated and its own ValueError."""
    if size_average is not None or reduce is not None:
        if torch.compiler.is_compiling():
            # Dynamo gives up on a function of PyTorch's that returns a str.
            if reduce is not None and not reduce:
                return "none"
            return "mean" if size_average is None or size_average else "sum"
        return _reduction.legacy_get_string(size_average, reduce)
    return ("none", "mean", "sum")[_reduction.get_enum(reduction)]


def reduce_elements(losses: Tensor, reduction: str, dtype: torch.dtype) -> Tensor:
    """The losses of elements reduced and rounded once; the mean is over their number, NaN if there are none."""
    if reduction == "none":
        return losses.to(dtype)
    wide = backend.widen(losses.new_empty(0)).dtype
    return (losses.mean(dtype=wide) if reduction == "mean" else losses.sum(dtype=wide)).to(dtype)
