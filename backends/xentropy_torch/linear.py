"""Linear losses: matrix products in place and in their own precision, and a gradient that is there with the value."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from xentropy.linear import LinearProgram
from xentropy.rule import rounded
from xentropy_torch.transforms import is_batching, is_transformed

Array = Any


def exact(x: Array) -> AbstractContextManager[Any]:
    """Without autocast, which would take float32 numbers to a product in half precision."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


class RecordedLinear(torch.autograd.Function):
    """A reduced linear loss in eager mode, whose gradients are computed along with its value, in the compute dtype.

    So a gradient in half precision is rounded once: with its cotangent, which a loss scaler makes large.
    """

    @staticmethod
    def forward(ctx: Any, backend: Any, program: LinearProgram, counts: tuple[int, int], *flat: Array) -> Array:
        """Run the program on arrays, constants and weights."""
        ctx.backend, ctx.program, ctx.counts = backend, program, counts
        ctx.save_for_backward(*flat)
        ctx.gradients = None
        parts = _parts(counts, flat)
        # Not with hooks (checkpoints, offloading), which are there to keep less.
        if torch._C._autograd._top_saved_tensors_default_hooks(True) is not None:
            return program.value(backend, *parts)
        value, ctx.gradients = program.value_and_gradient(backend, *parts, _needs(ctx))
        return value

    @staticmethod
    def backward(ctx: Any, cotangent: Array) -> tuple[Any, ...]:
        """The gradients that were kept, once; computed, differentiably where grad mode asks for it, otherwise."""
        # Given away: their owner may write to them.
        gradients, ctx.gradients = ctx.gradients, None
        parts = _parts(ctx.counts, ctx.saved_tensors)
        if gradients is None or torch.is_grad_enabled() or is_transformed() or is_batching():
            gradients = ctx.program.pull_back_all(ctx.backend, *parts, cotangent, _needs(ctx))
        else:
            if cotangent.device.type != "cpu" or cotangent.item() != 1.0:
                gradients = tuple(g if g is None else g.mul_(cotangent) for g in gradients)
            pairs = zip(gradients, parts[0], strict=True)
            gradients = tuple(g if g is None else rounded(ctx.backend, g, a.dtype) for g, a in pairs)
        return (None, None, None, *gradients, *(None for _ in range(len(ctx.needs_input_grad) - 3 - len(gradients))))


def _needs(ctx: Any) -> tuple[bool, ...]:
    needs: tuple[bool, ...] = ctx.needs_input_grad[3 : 3 + ctx.counts[0]]
    return needs


def _parts(counts: tuple[int, int], flat: Any) -> tuple[Any, Any, Any]:
    first, last = counts[0], counts[0] + counts[1]
    return flat[:first], flat[first:last], flat[last:]


def run(backend: Any, program: LinearProgram, arrays: Any, constants: Any, weights: Any) -> Array:
    """The program in eager mode outside of every transform: recorded in one pass where it is a scalar."""
    rule: Any = program.rule
    recorded = torch.is_grad_enabled() and any(array.requires_grad for array in arrays)
    if not recorded:
        with torch.no_grad():
            return program.value(backend, arrays, constants, weights)
    # A gradient of probabilities goes through the denominator too.
    if program.reduction == "none" or any(array.requires_grad for array in arrays[rule.shared :]):
        return program(backend, arrays, constants, weights)
    loss: Array = RecordedLinear.apply(backend, program, (len(arrays), len(constants)), *arrays, *constants, *weights)
    return loss

