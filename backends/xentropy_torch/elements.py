"""Binary losses of elements: PyTorch's conventions for dtypes, weights and clipping, on the core's formula."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import xentropy
from xentropy_torch import native
from xentropy_torch.arguments import FLOATS, HALVES, autocast, is_constant, spreads, together
from xentropy_torch.reduction import reduce_elements

# Below it PyTorch does not divide by p (1 - p) but by this number; its logarithms are cut off within.
SATURATED = 1e-12


def with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: Any, pos_weight: Tensor | None
) -> Tensor:
    """See ``xentropy_torch.binary_cross_entropy_with_logits``."""
    z, y, scale, positive = autocast(input, target, weight, pos_weight)
    fits = together((z, y)) and z.dtype in FLOATS and y.dtype in FLOATS and z.shape == y.shape
    if not fits or not (scale is None or spreads(scale, z)) or not (positive is None or _is_positive(positive, z)):
        return native.binary_cross_entropy_with_logits(
            input, target, weight, reduction=reduction, pos_weight=pos_weight
        )
    wide = z.to(torch.float64) if y.dtype == torch.float64 else z
    if scale is None and positive is None and reduction in ("mean", "sum") and not _is_empty(z):
        # Neither the losses nor their number are needed.
        return xentropy.binary_cross_entropy(wide, y, reduction=reduction).to(y.dtype)
    losses = _positively_weighted(wide, y, positive)
    if scale is not None:
        losses = losses * scale
    return reduce_elements(losses, reduction, y.dtype)


def _is_empty(z: Tensor) -> bool:
    """Whether there are, or may be, no elements: PyTorch's mean of them is NaN."""
    return bool(torch.compiler.is_compiling()) or z.numel() == 0


def _is_positive(pos_weight: Any, z: Tensor) -> bool:
    return spreads(pos_weight, z) and pos_weight.dtype != torch.bool


def _positively_weighted(z: Tensor, y: Tensor, pos_weight: Tensor | None) -> Tensor:
    if pos_weight is None or (is_constant(pos_weight) and pos_weight.device == z.device):
        return xentropy.binary_cross_entropy(z, y, pos_weight=pos_weight, reduction="none")
    # To the core weights are constants; PyTorch differentiates by this one.
    positives = xentropy.binary_cross_entropy(z, y, focal_alpha=1.0, reduction="none")
    return positives * pos_weight + xentropy.binary_cross_entropy(z, y, focal_alpha=0.0, reduction="none")


def of_probabilities(input: Tensor, target: Tensor, weight: Tensor | None, reduction: Any) -> Tensor:
    """See ``xentropy_torch.binary_cross_entropy``."""
    given = (input, target, weight)
    # Elsewhere PyTorch refuses this loss under autocast, or has no rule for it.
    p, y, scale = autocast(*given) if isinstance(input, Tensor) and input.device.type == "cpu" else given
    theirs = native.binary_cross_entropy(*given, reduction="none")
    if not together((p, y)) or p.dtype not in FLOATS:
        return native.binary_cross_entropy(*given, reduction=reduction)
    dtype = theirs.dtype
    if p.dtype in HALVES:
        # 1e-12 is 0 in float16, and the gradient there NaN.
        p, y = p.float(), y.float()
        theirs = native.binary_cross_entropy(p, y, scale, reduction="none")
    saturated = p * (1.0 - p) < SATURATED
    inside = torch.where(saturated, 0.5, p)
    ours = xentropy.binary_cross_entropy(inside, y, from_logits=False, reduction="none", validate=False)
    if scale is not None:
        ours = ours * scale
    return reduce_elements(torch.where(saturated, theirs, ours), reduction, dtype)
