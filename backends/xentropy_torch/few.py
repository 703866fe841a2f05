"""The mean of a few rows with one label each: PyTorch's own kernels, in float64, wherever that is exact enough.

A Function written in Python costs more than all of such a loss. This one is recorded, differentiated and differentiated
again by PyTorch itself.
"""

from __future__ import annotations

from typing import Any

import torch

from xentropy import few
from xentropy_torch import native
from xentropy_torch.transforms import is_dual, is_plain, is_transformed

Array = Any

_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def mean(logits: Array, targets: Array) -> Array | None:
    """The mean in float32; None where this is not the way, or a label is out of range."""
    if type(targets) is not torch.Tensor or not is_plain(logits):
        return None
    # A mode, or a tracer, may have no values to show.
    watched = torch._C._len_torch_dispatch_stack() or torch.jit.is_tracing() or is_transformed() or is_dual()
    if watched or logits.dtype not in _FLOATS or targets.dtype != torch.int64:
        return None
    dense = logits.layout == targets.layout == torch.strided and logits.is_cpu and targets.is_cpu
    if not dense or not few.fits(logits.shape, targets.shape):
        return None
    log_probs = torch.log_softmax(logits, -1, torch.float64)
    # No row has a class that is nearly sure; not "<=", which NaN is neither. No label is one that PyTorch ignores.
    if not log_probs.detach().max().item() < -few.LEAST * logits.shape[1] or targets.min().item() < 0:
        return None
    try:
        return native.nll_loss(log_probs, targets).float()
    except IndexError:
        return None
