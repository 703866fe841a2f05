"""Programs and rules as torch.autograd.Functions: for eager mode, for torch.func, and for the compiler."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.autograd import forward_ad

from xentropy.linear import LinearRule
from xentropy_torch import linear, small
from xentropy_torch.transforms import is_batching, is_transformed

Array = Any


class Recorded(torch.autograd.Function):
    """A whole program in eager mode, whose gradient is computed along with its value wherever that costs less.

    Not so in half precision, where a gradient is rounded once: with its cotangent, which a loss scaler makes large.
    """

    @staticmethod
    def forward(ctx: Any, backend: Any, program: Any, counts: tuple[int, int], *flat: Array) -> Array:
        """Run the program on arrays, of which the first is differentiated, constants and weights."""
        # No setup_context, which costs an inspect.signature in every call: 25 us.
        ctx.backend, ctx.program, ctx.counts = backend, program, counts
        ctx.save_for_backward(*flat)
        parts = small.parted(counts, flat)
        # Not with hooks (checkpoints, offloading), which are there to keep less.
        hooked = torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
        if program.rule.joint is None or flat[0].dtype != torch.float32 or hooked:
            ctx.gradient = None
            return small.value(backend, program, parts)
        value, ctx.gradient = small.value_and_gradient(backend, program, parts)
        return value

    @staticmethod
    def backward(ctx: Any, cotangent: Array) -> tuple[Any, ...]:
        """The gradient that was kept, once; computed, differentiably where grad mode asks for it, otherwise."""
        # Given away: its owner may write to it.
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None or torch.is_grad_enabled() or is_transformed() or is_batching():
            parts = small.parted(ctx.counts, ctx.saved_tensors)
            gradient = ctx.program.pull_back(ctx.backend, *parts, cotangent)
        elif cotangent.ndim:
            gradient.mul_(cotangent if cotangent.ndim == gradient.ndim else cotangent[:, None])
        elif cotangent.device.type != "cpu" or cotangent.item() != 1.0:
            gradient.mul_(cotangent)
        return (None, None, None, gradient, *(None for _ in range(len(ctx.needs_input_grad) - 4)))


class Compiled(torch.autograd.Function):
    """The rule with its gradient; no forward mode, which Dynamo does not trace."""

    @staticmethod
    def forward(ctx: Any, backend: Any, rule: Any, count: int, *flat: Array) -> tuple[Array, ...]:
        """Run the rule on ``count`` differentiable arrays followed by constants, and keep what its gradient needs."""
        # No setup_context: where nothing requires a gradient, Dynamo up to 2.12 passes ctx to forward all the same.
        ctx.backend, ctx.rule, ctx.count, ctx.flat = backend, rule, count, len(flat)
        arrays, constants = flat[:count], flat[count:]
        if rule.keeping is None:
            ctx.save_for_backward(*flat)
            outputs: tuple[Array, ...] = rule.run(backend, arrays, constants)
            return outputs
        output, kept = rule.run_keeping(backend, arrays, constants)
        ctx.save_for_backward(*flat, *kept)
        return (output,)

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> tuple[Any, ...]:
        """The rule's gradient. No compiled function has a second one."""
        flat, kept = ctx.saved_tensors[: ctx.flat], ctx.saved_tensors[ctx.flat :]
        return _pull_back(ctx, flat, cotangents, tuple(kept))


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
        # The same for both: vmap keeps one list of which axes are mapped.
        ctx.save_for_backward(*flat, *output)
        ctx.save_for_forward(*flat, *output)

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> tuple[Any, ...]:
        """The rule's gradient, differentiable where grad mode asks for it."""
        return _pull_back(ctx, ctx.saved_tensors[: -len(cotangents)], cotangents)

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


# Of Gauss's quadrature on [0, 1] with two points of equal weight.
_NODES = (0.5 - math.sqrt(3.0) / 6.0, 0.5 + math.sqrt(3.0) / 6.0)


def integrated(backend: Any, rule: Any, arrays: tuple[Array, ...], constants: tuple[Array, ...]) -> tuple[Array, ...]:
    """The rule without an autograd.Function: its value plus the integral of its gradient over a path of length 0.

    f(a) + (x - a) * (mean of G(a + t (x - a)) over Gauss's nodes t) at a = x, where a is a constant: f's value, its
    gradient from the rule, and the second to fourth derivatives from differentiating that. Where x or G is infinite,
    the products would be NaN: there, the formula itself is differentiated.
    """
    # In float32 from here on, so that halves are rounded once.
    arrays = tuple(x if x.dtype == torch.float64 else x.float() for x in arrays)
    starts = tuple(x.detach() for x in arrays)
    values = rule.run(backend, starts, constants)
    return tuple(_integral(backend, rule, arrays, starts, constants, _only(i, values), i) for i in range(len(values)))


def _only(i: int, values: tuple[Array, ...]) -> tuple[Array, ...]:
    """Cotangents that pick one output."""
    return tuple(torch.full_like(value, float(i == k)) for k, value in enumerate(values))


def _integral(
    backend: Any, rule: Any, arrays: Any, starts: Any, constants: Any, cotangents: tuple[Array, ...], i: int
) -> Array:
    """The output that the cotangents pick."""

    def gradients(places: tuple[Array, ...]) -> Any:
        return rule.pull_back(backend, places, constants, cotangents, (True,) * len(places))

    tame = tuple(a.isfinite() & g.isfinite() for a, g in zip(starts, gradients(starts), strict=True))
    steps = tuple(torch.where(t, x - a, 0.0) for t, x, a in zip(tame, arrays, starts, strict=True))
    value = rule.run(backend, tuple(map(torch.where, tame, starts, arrays)), constants)[i]
    for node in _NODES:
        places = tuple(a + torch.where(t, node * step, 0.0) for t, a, step in zip(tame, starts, steps, strict=True))
        for t, step, gradient in zip(tame, steps, gradients(places), strict=True):
            change = 0.5 * step * torch.where(t, gradient, 0.0)
            value = value + (change if rule.elementwise else change.sum(-1))
    return value


def _pull_back(
    ctx: Any, flat: tuple[Array, ...], cotangents: tuple[Array, ...], kept: tuple[Array, ...] = ()
) -> tuple[Any, ...]:
    count = ctx.count
    needs = tuple(ctx.needs_input_grad[3 : 3 + count])
    if isinstance(ctx.rule, LinearRule):
        gradients = linear.pull_back(ctx.backend, ctx.rule, flat[:count], flat[count:], cotangents[0], needs)
    else:
        gradients = ctx.rule.pull_back(ctx.backend, flat[:count], flat[count:], cotangents, needs, kept)
    return (None, None, None, *gradients, *(None for _ in flat[count:]))
