"""PyTorch under test: eager, and compiled into one graph."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from harness.base import Array, Harness

# torch.compile imports Triton (where it is installed), which aborts the process if TensorFlow was imported before it:
# both register the same LLVM options. In this order they get along.
with suppress(ImportError):
    importlib.import_module("triton._C.libtriton")


class TorchHarness(Harness):
    name = "torch"
    modes = ("eager", "compile")
    floats = ("float16", "bfloat16", "float32", "float64")

    array_type = torch.Tensor
    strided = True
    vmap = staticmethod(torch.func.vmap)

    def asarray(self, values: np.ndarray[Any, Any], dtype: str | None = None) -> Array:
        return torch.tensor(np.array(values), dtype=None if dtype is None else getattr(torch, dtype))

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        x = x.detach()
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy()

    def compile(self, mode: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        if mode == "eager":
            return fn
        # Every test's function shares one code object, and its compilations are counted against one limit.
        torch._dynamo.reset()
        return torch.compile(fn, fullgraph=True)

    def value_and_grad(
        self, mode: str, fn: Callable[..., Array], values: Sequence[Array], wrt: Sequence[int]
    ) -> tuple[Array, Sequence[Array]]:
        values = [x.detach().requires_grad_() if i in wrt else x for i, x in enumerate(values)]
        value = self.compile(mode, fn)(*values)
        return value.detach(), torch.autograd.grad(value, [values[i] for i in wrt])


HARNESS = TorchHarness()
