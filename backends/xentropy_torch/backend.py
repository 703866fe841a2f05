"""PyTorch: row blocks where nothing records, one differentiable call where something does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from array_api_compat import torch as namespace

from xentropy.backend import ArrayAPIBackend, fill_blocks
from xentropy.program import AnyProgram
from xentropy.rule import Arrays, Rule
from xentropy_torch.functions import Attached, Compiled, integrated
from xentropy_torch.transforms import is_traced, is_transformed

Array = Any


class TorchBackend(ArrayAPIBackend):
    """Serves torch.Tensor and its subclasses."""

    name = "torch"

    def namespace(self, *arrays: Array) -> Any:
        return namespace

    def shape(self, x: Array) -> tuple[Any, ...]:
        return tuple(x.shape)

    def reshape(self, x: Array, shape: tuple[Any, ...]) -> Array:
        return x.reshape(shape)

    def asarray(self, values: np.ndarray[Any, Any] | float, like: Array) -> Array:
        # A copy: torch.from_numpy warns of read-only arrays and refuses negative strides.
        given = values if isinstance(values, float) else np.array(values, order="C")
        return torch.tensor(given, device=like.device)

    def literal(self, values: Any) -> Array:
        if not torch.compiler.is_compiling():
            return np.asanyarray(values)
        # Dynamo lets nobody ask a NumPy array for its dtype, and lists of float32 would be rounded twice.
        found = torch.as_tensor(values)
        return torch.as_tensor(values, dtype=torch.float64) if found.is_floating_point() else found

    def concrete(self, x: Array, *, sync: bool) -> Array | None:
        if is_traced(x):
            return None
        return x if sync or x.device.type == "cpu" else None

    def as_index(self, x: Array) -> Array:
        return x.to(torch.int64)

    def run(self, program: AnyProgram, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
        return program.__call__(self, arrays, constants, weights)

    def attach(self, rule: Rule, arrays: Arrays, constants: Arrays) -> Arrays:
        if torch.compiler.is_compiling() and is_transformed():
            # Dynamo traces a Function's backward unrecorded: under torch.func its second derivative would be a silent
            # 0, and it has no vmap. The formula itself is differentiable, but loses the gradient of confident rows.
            return integrated(self, rule, arrays, constants)
        # Dynamo refuses a Function that defines jvp.
        function = Compiled if torch.compiler.is_compiling() else Attached
        outputs: Arrays = function.apply(self, rule, len(arrays), *arrays, *constants)
        return outputs

    def map_rows(self, fn: Callable[..., Arrays], arrays: Sequence[Array | None]) -> Arrays:
        if not _may_write(arrays[0]):
            return fn(*arrays)
        return fill_blocks(fn, arrays, lambda like, shape: like.new_empty(shape))

    def record(self, value: Array, logits: Array, pull_back: Callable[[], Array]) -> Array:
        return value

    def value_and_grad(self, loss: Callable[[Array], Array], logits: Array) -> tuple[Array, Array]:
        if torch.compiler.is_compiling() or is_transformed():
            gradient, value = torch.func.grad_and_value(loss)(logits)
            return value, gradient
        # Not torch.func where plain autograd will do: its first use imports the compiler and with it Triton, which
        # aborts the process where TensorFlow 2.21 is loaded already (both register the same LLVM options).
        with torch.enable_grad():
            leaf = logits.detach().requires_grad_()
            value = loss(leaf)
            (gradient,) = torch.autograd.grad(value, leaf)
        return value.detach(), gradient

    def detach(self, x: Array) -> Array:
        return x.detach()

    def widen(self, x: Array) -> Array:
        # Apple's GPU has no float64.
        return x if x.device.type == "mps" else x.to(torch.float64)

    def columns(self, x: Array) -> Array:
        return torch.arange(x.shape[-1], device=x.device)

    def pick(self, x: Array, index: Array) -> Array:
        return x.gather(1, index[:, None])[:, 0]

    def put(self, x: Array, index: Array, value: Array | float) -> Array:
        return x.scatter(1, index[:, None], value if isinstance(value, float) else value[:, None])


def _may_write(x: Array) -> bool:
    """Whether an output may be filled in place: nobody records, maps or compiles, and the array is on the CPU."""
    recorded = torch.is_grad_enabled() or torch.compiler.is_compiling()
    return not recorded and x.device.type == "cpu" and not is_transformed()


backend = TorchBackend()
