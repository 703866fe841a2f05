"""Linear losses: matrix products in place and in their own precision, and a gradient that is there with the value."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from xentropy.backend import cut_rows
from xentropy.linear import LinearProgram, LinearRule
from xentropy.rule import Needs, rounded
from xentropy_torch import small
from xentropy_torch.arguments import is_autocast
from xentropy_torch.transforms import is_batching, is_pushing, is_transformed

Array = Any


def exact(x: Array) -> AbstractContextManager[Any]:
    """Without autocast, which would take float32 numbers to a product in half precision."""
    return torch.autocast(x.device.type, enabled=False) if is_autocast(x) else nullcontext()


class RecordedLinear(torch.autograd.Function):
    """A reduced linear loss in eager mode, whose gradients are computed along with its value, in the compute dtype.

    So a gradient in half precision is rounded once: with its cotangent, which a loss scaler makes large.
    """

    @staticmethod
    def forward(ctx: Any, backend: Any, program: LinearProgram, counts: tuple[int, int], *flat: Array) -> Array:
        """Run the program on arrays, constants and weights."""
        ctx.backend, ctx.program, ctx.counts = backend, program, counts
        ctx.save_for_backward(*flat)
        ctx.gradients, ctx.dtypes = None, tuple(x.dtype for x in flat[: counts[0]])
        parts = small.parted(counts, flat)
        # Not with hooks (checkpoints, offloading), which are there to keep less.
        if torch._C._autograd._top_saved_tensors_default_hooks(True) is not None:
            return program.value(backend, *parts)
        value, ctx.gradients = program.value_and_gradient(backend, *parts, _needs(ctx))
        return value

    @staticmethod
    def backward(ctx: Any, cotangent: Array) -> tuple[Any, ...]:
        """The gradients that were kept, once, or computed as they were; differentiably where grad mode asks for it."""
        # Given away: their owner may write to them.
        gradients, ctx.gradients = ctx.gradients, None
        if torch.is_grad_enabled() or is_transformed() or is_batching():
            parts = small.parted(ctx.counts, ctx.saved_tensors)
            rows = ctx.program.cotangent_of_rows(ctx.backend, *parts, cotangent)
            gradients = pull_back(ctx.backend, ctx.program.rule, *parts[:2], rows, _needs(ctx))
        else:
            if gradients is None:
                # In the same steps: a graph that is kept gives the same bits every time.
                parts = small.parted(ctx.counts, ctx.saved_tensors)
                gradients = ctx.program.value_and_gradient(ctx.backend, *parts, _needs(ctx))[1]
            if cotangent.device.type != "cpu" or cotangent.item() != 1.0:
                gradients = tuple(g if g is None else g.mul_(cotangent) for g in gradients)
            pairs = zip(gradients, ctx.dtypes, strict=True)
            gradients = tuple(g if g is None else rounded(ctx.backend, g, dtype) for g, dtype in pairs)
        return (None, None, None, *gradients, *(None for _ in range(len(ctx.needs_input_grad) - 3 - len(gradients))))


def _needs(ctx: Any) -> tuple[bool, ...]:
    needs: tuple[bool, ...] = ctx.needs_input_grad[3 : 3 + ctx.counts[0]]
    return needs


class Pulled(torch.autograd.Function):
    """The gradients of a linear rule where they are to be differentiated: block by block again, nothing being kept."""

    generate_vmap_rule = True

    @staticmethod
    def forward(backend: Any, rule: LinearRule, needs: Needs, count: int, *flat: Array) -> tuple[Array, ...]:
        """The gradients that are needed, of ``count`` arrays followed by constants and the rows' cotangent."""
        found = rule.pull_back(backend, flat[:count], flat[count:-1], flat[-1:], needs)
        return tuple(gradient for gradient in found if gradient is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Array, ...]) -> None:
        """Keep the inputs."""
        ctx.backend, ctx.rule, ctx.needs, ctx.count, *flat = inputs
        ctx.save_for_backward(*flat)

    @staticmethod
    def backward(ctx: Any, *upstream: Array) -> tuple[Any, ...]:
        """The derivative of every block's gradients, one block after the other."""
        flat, wanted = ctx.saved_tensors, ctx.needs_input_grad[4:]
        backend, rule, shared = ctx.backend, ctx.rule, slice(1, ctx.rule.shared)
        count, step = flat[0].shape[0], rule.step(backend, flat[: ctx.count])
        sums: list[Array | None] = [None] * len(flat)
        for start in range(0, count, step):
            cut = [*cut_rows([flat[0], *flat[shared.stop :]], count, start, start + step)]
            block = [cut[0], *flat[shared], *cut[1:]]
            above = list(upstream)
            if ctx.needs[0]:
                above[0] = above[0][start : start + step]
            if any(ctx.needs[shared.stop :]):
                above[-1] = above[-1][start : start + step]
            for i, found in enumerate(_derivative(ctx, block, wanted, above)):
                if found is not None:
                    sums[i] = _joined(sums[i], found, summed=0 < i < shared.stop)
        return (None, None, None, None, *sums)


def _derivative(ctx: Any, block: list[Any], wanted: Sequence[bool], upstream: list[Array]) -> list[Array | None]:
    """The derivative of one block's gradients by its arrays and cotangent."""
    places = [i for i, want in enumerate(wanted) if want]

    def gradients(*given: Array) -> tuple[Array, ...]:
        flat = list(block)
        for i, x in zip(places, given, strict=True):
            flat[i] = x
        found = ctx.rule.pull_back(ctx.backend, flat[: ctx.count], flat[ctx.count : -1], flat[-1:], ctx.needs)
        return tuple(gradient for gradient in found if gradient is not None)

    at = [block[i] for i in places]
    if is_transformed():
        derivatives = torch.func.vjp(gradients, *at)[1](tuple(upstream))
    else:
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            # Views: what led to these arrays is the outer graph's to follow.
            at = [x.view_as(x) if again else x.detach().requires_grad_() for x in at]
            derivatives = torch.autograd.grad(gradients(*at), at, upstream, create_graph=again, allow_unused=True)
    found: list[Array | None] = [None] * len(block)
    for i, derivative in zip(places, derivatives, strict=True):
        found[i] = derivative
    return found


def _joined(before: Array | None, found: Array, *, summed: bool) -> Array:
    if before is None:
        return found
    return before + found if summed else torch.cat([before, found])


def pull_back(backend: Any, rule: LinearRule, arrays: Any, constants: Any, cotangent: Array, needs: Needs) -> Any:
    """The rule's gradients, recorded as one operation where they are to be differentiated in reverse mode."""
    watched = torch.compiler.is_compiling() or is_batching() or is_pushing()
    if watched or not torch.is_grad_enabled():
        return rule.pull_back(backend, arrays, constants, (cotangent,), needs)
    found = iter(Pulled.apply(backend, rule, needs, len(arrays), *arrays, *constants, cotangent))
    return tuple(next(found) if need else None for need in needs)


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
