"""PyTorch: row blocks where nothing records, one differentiable call where something does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from array_api_compat import torch as namespace
from torch.nn.functional import softplus

from xentropy.backend import ArrayAPIBackend, fill_blocks, fill_scan, scan_blocks
from xentropy.linear import LinearProgram, LinearRule
from xentropy.program import Program
from xentropy.rule import Arrays, Rule
from xentropy.sharded import ShardedProgram, ShardedRule
from xentropy.sums import SHORT, WIDEST, Others, block_width, blocked_sum, others, others_below
from xentropy_numpy.backend import backend as numpy_backend
from xentropy_torch import dtensor, few, groups, linear, linear_ops
from xentropy_torch.functions import Attached, Compiled, Recorded, integrated
from xentropy_torch.small import value
from xentropy_torch.transforms import is_batching, is_dual, is_plain, is_traced, is_transformed

Array = Any

# Classes that are added in their own dtype, about: 128 err by up to 1.5 units of 2^-24. In short rows, errors don't
# average out.
SUMMED, SUMMED_SHORT = 128, 32

# Blocks of 2 MB take a tenth longer at 4096 x 1000: some 25 operations each, of 2 to 5 us.
BLOCK_BYTES = 1 << 23
# Not measured: enough rows to fill an accelerator, little beside its memory.
ACCELERATOR_BLOCK_BYTES = 1 << 26


class TorchBackend(ArrayAPIBackend):
    """Serves torch.Tensor and its subclasses."""

    name = "torch"
    # At 1024 x 512 and 32,000 classes 583 ms in blocks of 128 rows, 563 of 256, 549 of 512.
    logits_share = 0.5

    def namespace(self, *arrays: Array) -> Any:
        return namespace

    def shape(self, x: Array) -> tuple[Any, ...]:
        return tuple(x.shape)

    def reshape(self, x: Array, shape: tuple[Any, ...]) -> Array:
        return x.reshape(shape)

    def asarray(self, values: np.ndarray[Any, Any] | float, like: Array) -> Array:
        if isinstance(values, float):
            # Not in PyTorch's default dtype, which rounds it. Apple's GPU has no float64.
            return torch.tensor(values, dtype=None if like.device.type == "mps" else torch.float64, device=like.device)
        # A copy: torch.from_numpy warns of read-only arrays and refuses negative strides.
        return torch.tensor(np.array(values, order="C"), device=like.device)

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

    def all_below(self, index: Array, size: int) -> bool:
        if index.device.type == "cpu" and is_plain(index) and not is_transformed():
            return numpy_backend.all_below(index.numpy(), size)
        if index.numel() == 0:
            return True
        low, high = torch.aminmax(index)
        return bool(low.item() >= 0 and high.item() < size)

    def sees_python(self) -> bool:
        return bool(torch.compiler.is_compiling())

    def as_index(self, x: Array) -> Array:
        return x if x.dtype == torch.int64 else x.to(torch.int64)

    def run(self, program: Any, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
        if isinstance(program, LinearProgram) and linear_ops.applies(arrays) and not is_transformed():
            # A gradient of probabilities goes through the denominator too, and rows have a cotangent each.
            rule: Any = program.rule
            soft = arrays[rule.shared :]
            if program.reduction != "none" and not any(array.requires_grad for array in soft):
                return linear_ops.run(program, arrays, constants, weights)
        watched = not isinstance(program, Program) or isinstance(program, ShardedProgram)
        watched = watched or is_traced(arrays[0]) or is_transformed() or is_dual()
        if watched or not all(map(is_plain, arrays)):
            return program.__call__(self, arrays, constants, weights)
        if isinstance(program, LinearProgram):
            return linear.run(self, program, arrays, constants, weights)
        recorded = torch.is_grad_enabled() and any(array.requires_grad for array in arrays)
        if not recorded:
            return value(self, program, (arrays, constants, weights))
        if any(array.requires_grad for array in arrays[1:]):
            return program.__call__(self, arrays, constants, weights)
        loss: Array = Recorded.apply(self, program, (len(arrays), len(constants)), *arrays, *constants, *weights)
        return loss

    def mean_of_few(self, logits: Array, targets: Any) -> Array | None:
        return few.mean(logits, targets)

    def attach(self, rule: Rule, arrays: Arrays, constants: Arrays) -> Arrays:
        if isinstance(rule, ShardedRule):
            return groups.attach(self, rule, arrays, constants)
        if torch.compiler.is_compiling() and is_transformed():
            if isinstance(rule, LinearRule):
                return rule.recorded(self, arrays, constants)
            # Dynamo traces a Function's backward unrecorded: under torch.func its second derivative would be a silent
            # 0, and it has no vmap. The formula itself is differentiable, but loses the gradient of confident rows.
            return integrated(self, rule, arrays, constants)
        if isinstance(rule, LinearRule) and linear_ops.applies(arrays):
            return (linear_ops.losses(rule, arrays, constants),)
        # Dynamo refuses a Function that defines jvp.
        function = Compiled if torch.compiler.is_compiling() else Attached
        outputs: Arrays = function.apply(self, rule, len(arrays), *arrays, *constants)
        return outputs

    def map_rows(self, fn: Callable[..., Arrays], arrays: Sequence[Array | None]) -> Arrays:
        if not self.writes(arrays[0]):
            return fn(*arrays)
        first: Array = arrays[0]
        here = BLOCK_BYTES if first.device.type == "cpu" else ACCELERATOR_BLOCK_BYTES
        # Targets of the logits' size need their share of the cache: binary losses take a quarter longer without.
        paired = len(arrays) > 1 and arrays[1] is not None and arrays[1].shape == first.shape
        here = here // 2 if paired else here
        return fill_blocks(fn, arrays, lambda like, shape: like.new_empty(shape), here)

    def scan_rows(
        self,
        fn: Callable[..., tuple[Arrays, Arrays]],
        carry: Arrays,
        rows: Sequence[Array | None],
        step: int,
        keep: Array | None,
    ) -> tuple[Arrays, Arrays]:
        first: Array = rows[0]
        if first.shape[0] == 0:
            return fn(carry, *rows)
        if not self.writes(first):
            # Not torch.concat, which the vmap of autograd's own batched gradients has no rule for.
            return scan_blocks(torch.cat, fn, carry, rows, step)
        kept = None if keep is None or not keep.is_cpu or bool(keep.all()) else keep.nonzero()[:, 0]
        return fill_scan(fn, carry, rows, step, kept, lambda like, shape: like.new_zeros(shape))

    def product(self, a: Array, b: Array, memory: Array | None = None) -> Array:
        with linear.exact(a):
            return torch.mm(a, b.T) if memory is None else torch.mm(a, b.T, out=memory)

    def times(self, a: Array, b: Array) -> Array:
        with linear.exact(a):
            return torch.mm(a, b)

    def add_product(self, total: Array, a: Array, b: Array) -> Array:
        with linear.exact(a):
            return total.addmm_(a.T, b) if self.writes(a) else torch.addmm(total, a.T, b)

    def writes(self, x: Array) -> bool:
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return False
        return is_plain(x) and not (is_transformed() or is_batching() or is_traced(x))

    def empty_like(self, x: Array) -> Array:
        return torch.empty(x.shape, dtype=x.dtype, device=x.device)

    def own_part(self, x: Any, axis: int) -> dtensor.OwnPart | None:
        return None if is_plain(x) else dtensor.own_part(x, axis)

    def uncompiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return groups.uncompiled(function)

    def differentiates(self, x: Array) -> bool:
        return torch.is_grad_enabled() and bool(x.requires_grad)

    def part(self, group: Any) -> Any:
        return groups.part_of(group)

    def tell(self, message: bytes, group: Any, like: Array) -> list[bytes]:
        return groups.tell(message, group, like)

    def all_gather(self, x: Array, group: Any) -> Array:
        return groups.Gathered.apply(x, group)

    def spread(self, x: Array, group: Any) -> Array:
        return groups.Spread.apply(x, group)

    def all_sum(self, x: Array, group: Any) -> Array:
        return groups.Summed.apply(x, group)

    def records(self) -> bool:
        return False

    def value_and_grad(self, loss: Callable[..., Array], arrays: Arrays) -> tuple[Array, Arrays]:
        if torch.compiler.is_compiling() or is_transformed():
            gradients, value = torch.func.grad_and_value(loss, argnums=tuple(range(len(arrays))))(*arrays)
            return value, gradients
        # Not torch.func where plain autograd will do: its first use imports the compiler and with it Triton, which
        # aborts the process where TensorFlow 2.21 is loaded already (both register the same LLVM options).
        with torch.enable_grad():
            leaves = [array.detach().requires_grad_() for array in arrays]
            value = loss(*leaves)
            gradients = torch.autograd.grad(value, leaves)
        return value.detach(), gradients

    def detach(self, x: Array) -> Array:
        return x.detach()

    def widen(self, x: Array) -> Array:
        # Apple's GPU has no float64.
        return x if x.device.type == "mps" else x.to(torch.float64)

    def log1p(self, x: Array) -> Array:
        # Errs by up to 0.63 ulp on (0, 1].
        return x.log1p() if self.writes(x) else super().log1p(x)

    def total(self, x: Array) -> Array:
        # Along the classes: a third of what ``blocked_sum`` takes, and as exact.
        columns = x.shape[-1]
        if columns > SUMMED_SHORT and x.device.type == "cpu" and self.writes(x):
            width = block_width(columns, SUMMED_SHORT if columns <= SHORT else SUMMED, WIDEST)
            if width is not None:
                x = x.unflatten(-1, (columns // width, width)).sum(-1)
        return blocked_sum(self, x)

    def columns(self, x: Array) -> Array:
        return torch.arange(x.shape[-1], device=x.device)

    def pick(self, x: Array, index: Array) -> Array:
        return x.gather(1, index[:, None])[:, 0]

    def put(self, x: Array, index: Array, value: Array | float) -> Array:
        value = value if isinstance(value, float) else value[:, None]
        if torch.compiler.is_compiling():
            # A mask is part of the loop around it: at 1024 x 32,000, 94 ms forward and backward, a scatter 164. In
            # int32, of which a register holds as many as of float32.
            here = torch.arange(x.shape[1], dtype=torch.int32, device=x.device) == index.to(torch.int32)[:, None]
            return namespace.where(here, value, x)
        put = x.scatter_ if self.writes(x) else x.scatter
        return put(1, index[:, None], value)

    def without(self, x: Array, index: Array) -> Array:
        if torch.compiler.is_compiling():
            return self.put(x, index, -math.inf)
        return x.scatter(1, index[:, None], -math.inf)

    def exp_below(self, x: Array, origin: Array) -> Array:
        if self.writes(x):
            return x.sub_(origin[:, None]).exp_()
        return (x - origin[:, None]).exp()

    def into(self, memory: Array, function: str, *args: Array) -> Array:
        return getattr(torch, function)(*args, out=memory)

    def others(self, x: Array, excluded: Array, memory: Array | None) -> Others:
        # Looking at a number would make an accelerator wait.
        return others(self, x, excluded, memory) if x.device.type == "cpu" else others_below(self, x, excluded)

    def scale_into(self, out: Array, x: Array, factor: Array) -> None:
        torch.mul(x, factor.to(x.dtype)[:, None], out=out)

    def softplus(self, x: Array) -> Array:
        # Beyond the threshold it is x, which is e^-40 away.
        return softplus(x, threshold=40.0)


backend = TorchBackend()
