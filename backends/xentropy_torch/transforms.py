"""Whether this runs in a transform of torch.func, or under a tracer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._C import _functorch
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad

# Not in Python's list of keys.
_VMAP_MODE = torch._C._dispatch_key_parse("VmapMode")


def is_transformed() -> bool:
    """Whether a transform of torch.func is under way; under torch.compile too."""
    # Not "is not None", which Dynamo finds true of everything that this returns, None too.
    return isinstance(_functorch.peek_interpreter_stack(), _functorch.CInterpreter)


def is_batching() -> bool:
    """Whether this runs in the vmap of autograd's own batched gradients, which is not one of torch.func's."""
    return bool(torch._C._dispatch_tls_is_dispatch_key_included(_VMAP_MODE))


def is_dual() -> bool:
    """Whether forward mode is under way outside of torch.func."""
    return bool(forward_ad._current_level >= 0)


def is_pushing() -> bool:
    """Whether anything of forward mode is under way."""
    stack = _functorch.get_interpreter_stack() or ()
    return is_dual() or any(level.key() == _functorch.TransformType.Jvp for level in stack)


def is_plain(x: Tensor) -> bool:
    """Whether x is no subclass with ways of its own."""
    return type(x) in (Tensor, torch.nn.Parameter)


def is_traced(x: Tensor) -> bool:
    """Whether x has no values: one example of a vmapped batch, at any level, or a stand-in that is being traced."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    while _functorch.is_functorch_wrapped_tensor(x):
        if _functorch.is_batchedtensor(x):
            return True
        x = _functorch.get_unwrapped(x)
    recorded = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None
    return recorded or isinstance(x, FakeTensor) or x.device.type == "meta"
