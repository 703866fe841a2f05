"""The linear loss: PyTorch's conventions for shapes, dtypes and means, on ``xentropy.linear_cross_entropy``."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import xentropy
from xentropy_torch import classes, native
from xentropy_torch.arguments import FLOATS, autocast, is_autocast, together
from xentropy_torch.linear import exact
from xentropy_torch.reduction import reduction_name


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    linear_bias: Tensor | None,
    weight: Tensor | None,
    reduction: str,
    ignore_index: int | None,
    label_smoothing: float,
    chunk_rows: int | None,
) -> Tensor:
    """See ``xentropy_torch.linear_cross_entropy``."""
    shape = _shape_of_logits(input, linear_weight, linear_bias)
    if target.shape == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    ignored, reduced = -100 if ignore_index is None else ignore_index, reduction_name(None, None, reduction)
    if _multiplies(input, linear_weight, linear_bias):
        # One number, seen as all of the logits: their conventions are those of their shape, dtype and place.
        logits = input.new_zeros((), dtype=torch.float32 if _is_cast(input) else None).expand(shape)
        t, w = autocast(target, weight)

        def loss(_: Tensor, targets: Tensor, **given: Any) -> Tensor:
            # Of float64 probabilities, all is computed in float64.
            hidden = input.double() if targets.dtype == torch.float64 else input
            if linear_weight.ndim > 2:
                return xentropy.cross_entropy(_all_logits(hidden, linear_weight, linear_bias), targets, **given)
            return xentropy.linear_cross_entropy(
                hidden, linear_weight, targets, bias=linear_bias, chunk_rows=chunk_rows, **given
            )

        try:
            found = classes.of_classes(loss, logits, t, w, ignored, reduced, label_smoothing)
        except IndexError:
            _refuse_label(logits, target, ignored)
            raise
        if found is not None:
            return found
    return _refused(input, linear_weight, target, linear_bias, weight, reduced, ignored, label_smoothing, shape)


def _shape_of_logits(input: Tensor, linear_weight: Tensor, linear_bias: Tensor | None) -> tuple[int, ...]:
    """The shape, or what PyTorch says of shapes that do not fit, which has to be said where it has no such loss too."""
    if input.dim() < 1 or input.dim() > 2:
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if linear_weight.dim() < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.dim()}")
    if input.shape[-1] != linear_weight.shape[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), "
            f"got {input.shape[-1]} and {linear_weight.shape[-1]}, respectively"
        )
    outputs = tuple(linear_weight.shape[:-1])
    if linear_bias is not None and tuple(linear_bias.shape) != outputs:
        raise RuntimeError(f"expected linear_bias shape {outputs}, got {tuple(linear_bias.shape)}")
    if len(outputs) > 1 and input.dim() == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires"
            f" batched input, (N, {input.shape[-1]}), got unbatched input with shape {tuple(input.shape)}"
        )
    return (*input.shape[:-1], *outputs)


def _is_cast(input: Tensor) -> bool:
    return input.dtype != torch.float64 and is_autocast(input)


def _multiplies(input: Tensor, linear_weight: Tensor, linear_bias: Tensor | None) -> bool:
    """Whether PyTorch multiplies these: of one dtype or, where autocast makes one of them, of any but float64."""
    if not together((input, linear_weight), linear_bias) or input.dtype not in FLOATS:
        return False
    dtypes = {input.dtype, linear_weight.dtype, *(() if linear_bias is None else (linear_bias.dtype,))}
    return len(dtypes) == 1 or (_is_cast(input) and dtypes <= set(FLOATS) - {torch.float64})


def _refuse_label(logits: Tensor, target: Tensor, ignore_index: int) -> None:
    """Raise what PyTorch says of the first label out of range."""
    count = logits.shape[0 if logits.ndim == 1 else 1]
    counted = target.reshape(-1)[target.reshape(-1) != ignore_index]
    wrong = counted[(counted < 0) | (counted >= count)][:1]
    native.nll_loss(logits.new_zeros((1, count)), wrong)


def _all_logits(hidden: Tensor, linear_weight: Tensor, linear_bias: Tensor | None) -> Tensor:
    """Those of K-dimensional weights, in float32 or float64, the classes last."""
    compute = torch.float64 if hidden.dtype == torch.float64 else torch.float32
    bias = None if linear_bias is None else linear_bias.to(compute).movedim(0, -1).flatten()
    by_position = linear_weight.to(compute).movedim(0, -2)
    with exact(hidden):
        x = functional.linear(hidden.to(compute), by_position.flatten(0, -2), bias)
    return x.reshape(*hidden.shape[:-1], *by_position.shape[:-1])


def _refused(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    linear_bias: Tensor | None,
    weight: Tensor | None,
    reduction: Any,
    ignore_index: int,
    label_smoothing: float,
    shape: tuple[int, ...],
) -> Tensor:
    """What PyTorch computes, or says, of arguments that ours has no reading for."""
    outputs = math.prod(linear_weight.shape[:-1])
    bias = None if linear_bias is None else linear_bias.reshape(outputs)
    logits = functional.linear(input, linear_weight.reshape(outputs, linear_weight.shape[-1]), bias)
    return classes.cross_entropy(logits.reshape(shape), target, weight, ignore_index, reduction, label_smoothing)
