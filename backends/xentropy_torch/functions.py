"""A rule as a torch.autograd.Function: for eager mode and torch.func, and for the compiler."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import forward_ad

Array = Any


class Compiled(torch.autograd.Function):
    """The rule with its gradient; no forward mode, which Dynamo does not trace."""

    @staticmethod
    def forward(ctx: Any, backend: Any, rule: Any, count: int, *flat: Array) -> tuple[Array, ...]:
        """Run the rule on ``count`` differentiable arrays followed by constants.

        The inputs are kept: the gradient is recomputed from them, so that it can be differentiated again.
        """
        # No setup_context: where nothing requires a gradient, Dynamo up to 2.12 passes ctx to forward all the same.
        ctx.backend, ctx.rule, ctx.count = backend, rule, count
        ctx.save_for_backward(*flat)
        outputs: tuple[Array, ...] = rule.run(backend, flat[:count], flat[count:])
        return outputs

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> tuple[Any, ...]:
        """The rule's gradient, differentiable where grad mode asks for it."""
        return _pull_back(ctx, cotangents)


class Attached(torch.autograd.Function):
    """The rule with its gradient and its tangent, under torch.func too."""

    generate_vmap_rule = True

    @staticmethod
    def forward(backend: Any, rule: Any, count: int, *flat: Array) -> tuple[Array, ...]:
        """Run the rule on ``count`` differentiable arrays followed by constants."""
        outputs: tuple[Array, ...] = rule.run(backend, flat[:count], flat[count:])
        return outputs

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Array, ...]) -> None:
        """Keep the inputs for both modes, and the outputs for their shapes and dtypes."""
        ctx.backend, ctx.rule, ctx.count, *flat = inputs
        ctx.save_for_backward(*flat)
        ctx.save_for_forward(*flat, *output)

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> tuple[Any, ...]:
        """The rule's gradient, differentiable where grad mode asks for it."""
        return _pull_back(ctx, cotangents)

    @staticmethod
    def jvp(ctx: Any, *tangents: Array) -> tuple[Array, ...]:
        """The rule's tangents."""
        # PyTorch turns forward mode off in here, and so off for jvps further out: their second derivative would be a
        # silent 0. Turned on again, the saved arrays must lose the tangents of this very jvp.
        with forward_ad._set_fwd_grad_enabled(True):
            saved = [t if t is None else forward_ad.unpack_dual(t, level=0).primal for t in ctx.saved_tensors]
            count, ends = ctx.count, len(tangents) - 3
            pushed: tuple[Array, ...] = ctx.rule.push_forward(
                ctx.backend, saved[:count], saved[count:ends], tangents[3 : 3 + count], saved[ends:]
            )
        return pushed


def _pull_back(ctx: Any, cotangents: tuple[Array, ...]) -> tuple[Any, ...]:
    flat, count = ctx.saved_tensors, ctx.count
    needs = tuple(ctx.needs_input_grad[3 : 3 + count])
    gradients = ctx.rule.pull_back(ctx.backend, flat[:count], flat[count:], cotangents, needs)
    return (None, None, None, *gradients, *(None for _ in flat[count:]))
