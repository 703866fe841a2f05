"""Which tensors ours reads, and in which dtype PyTorch reads them under autocast."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from xentropy_torch.transforms import is_transformed

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
HALVES = (torch.float16, torch.bfloat16)

# PyTorch refuses to be asked about a device that has no autocast, like meta; whether it has, Dynamo of 2.9 can't trace.
_KINDS = ("cpu", "cuda", "mps", "xpu", "hpu", "mtia", "maia", "xla", torch._C._get_privateuse1_backend_name())
# 2.9 says no of CUDA where there is none, but can be asked.
_AUTOCAST = frozenset(("cuda", *(kind for kind in _KINDS if torch.amp.is_autocast_available(kind))))


def together(required: tuple[Any, ...], weight: Any = None) -> bool:
    """Whether all are plain tensors in one place, the weight among them if it isn't None."""
    given = required if weight is None else (*required, weight)
    if not all(isinstance(x, Tensor) for x in given):
        return False
    return all(x.layout == torch.strided and not x.is_nested and x.device == given[0].device for x in given)


def spreads(weight: Any, input: Tensor) -> bool:
    """Whether a weight of elements is real and broadcasts to the input's shape without making it larger."""
    if not isinstance(weight, Tensor) or weight.is_complex() or weight.layout != torch.strided:
        return False
    if is_recorded(weight) and not is_transformed():
        # PyTorch differentiates by weights of elements within torch.func only, and refuses elsewhere.
        return False
    sizes = input.shape[max(0, input.ndim - weight.ndim) :]
    return weight.ndim == len(sizes) and all(a in (1, b) for a, b in zip(weight.shape, sizes, strict=True))


def autocast(*tensors: Tensor | None) -> tuple[Any, ...]:
    """Half-precision tensors in float32 where autocast is on.

    So PyTorch does it for these losses on the CPU and on every accelerator: on CUDA cross_entropy itself is in no
    list, but nll_loss and sum within it are.
    """
    return tuple(x if x is None else x.float() if _is_cast(x) else x for x in tensors)


def _is_cast(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dtype in HALVES and is_autocast(x)


def is_autocast(x: Tensor) -> bool:
    """Whether autocast is on where x is."""
    kind = x.device.type
    return kind in _AUTOCAST and bool(torch.is_autocast_enabled(kind))


def is_recorded(x: Tensor) -> bool:
    """Whether autograd records what is done with x."""
    return bool(x.requires_grad and torch.is_grad_enabled())


def is_constant(x: Tensor) -> bool:
    """Whether nothing can be differentiating by x: not autograd, not forward mode, not torch.func, not a compiler."""
    if torch.compiler.is_compiling() or is_recorded(x):
        return False
    return bool(forward_ad._current_level < 0 and not is_transformed())
