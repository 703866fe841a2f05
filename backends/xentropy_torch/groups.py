"""Classes in several processes: the exchanges of a torch.distributed group, and a loss that has one in its forward.

What all processes hold alike has the same cotangent in each of them. So what is gathered needs no exchange on its way
back, and a process that reads for its own classes what all hold alike has to say so (``spread``): the derivative is the
sum over all of them then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

from xentropy import parts
from xentropy_torch.transforms import is_batching, is_dual, is_transformed

Array = Any


_uncompiled: dict[str, Callable[..., Any]] = {}


def uncompiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of ``xentropy.parts`` as the compiler leaves it alone, in the midst of what it compiles."""
    if not torch.compiler.is_compiling():
        return function
    _disable()
    return _uncompiled[function.__name__]


def _disable() -> None:
    # Not where this module is imported: it imports the compiler, and with it Triton.
    for function in (
        parts.cross_entropy,
        parts.cross_entropy_of,
        parts.linear_cross_entropy,
        parts.linear_cross_entropy_of,
    ):
        _uncompiled.setdefault(function.__name__, torch.compiler.disable(function))


# The compiler calls it when it comes by, and then finds the functions there.
_disable._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _checked(group: Any) -> Any:
    if not (dist.is_available() and dist.is_initialized()):
        raise RuntimeError("group: torch.distributed is not initialised; call torch.distributed.init_process_group")
    if not isinstance(group, dist.ProcessGroup):
        raise TypeError(f"group must be a torch.distributed.ProcessGroup, got {type(group).__name__}")
    if dist.get_rank(group) < 0:
        raise ValueError("group: this process is not in it")
    return group


def _exchanged(group: Any, exchange: Callable[[], Any]) -> None:
    """The exchange, or one error that says what it was for; a process that is gone shows itself here."""
    try:
        exchange()
    except RuntimeError as error:
        raise RuntimeError(
            f"an exchange between the {dist.get_world_size(group)} processes of the classes failed; one of them may "
            f"have died, or not have called the loss: {error}"
        ) from error


def part_of(group: Any) -> int:
    """Which part this process has."""
    return int(dist.get_rank(_checked(group)))


def tell(message: bytes, group: Any, like: Array) -> list[bytes]:
    """The messages of all processes, of the same length each.

    Raises:
        NotImplementedError: a transform is under way, which has no rule for an exchange.
    """
    if is_transformed() or is_batching() or is_dual():
        raise NotImplementedError(
            "a loss with a group has gradients by torch.autograd, of any order; torch.func, vmap and forward mode "
            "have no rule for its exchange"
        )
    world = dist.get_world_size(_checked(group))
    mine = torch.frombuffer(bytearray(message), dtype=torch.uint8).to(like.device)
    found = [torch.empty_like(mine) for _ in range(world)]
    _exchanged(group, lambda: dist.all_gather(found, mine, group=group))
    return [bytes(one.cpu().numpy()) for one in found]


class Gathered(torch.autograd.Function):
    """What all processes have, one after the other."""

    @staticmethod
    def forward(ctx: Any, x: Array, group: Any) -> Array:
        """Of shape (processes, ...)."""
        ctx.group = group
        x = x.detach().contiguous()
        found = x.new_empty((dist.get_world_size(group), *x.shape))
        _exchanged(group, lambda: dist.all_gather(list(found.unbind()), x, group=group))
        return found

    @staticmethod
    def backward(ctx: Any, cotangent: Array) -> tuple[Array, None]:
        """Its own share of what all processes hold alike and each of them reads, as a third derivative shows."""
        return Spread.apply(cotangent, ctx.group)[dist.get_rank(ctx.group)], None


class Spread(torch.autograd.Function):
    """What all processes hold alike, read by each for its own classes."""

    @staticmethod
    def forward(ctx: Any, x: Array, group: Any) -> Array:
        """The same."""
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, cotangent: Array) -> tuple[Array, None]:
        """The sum over all processes."""
        return Summed.apply(cotangent, ctx.group), None


class Summed(torch.autograd.Function):
    """The sum over all processes, which hold it alike."""

    @staticmethod
    def forward(ctx: Any, x: Array, group: Any) -> Array:
        """The same shape."""
        ctx.group = group
        total = x.detach().clone(memory_format=torch.contiguous_format)
        _exchanged(group, lambda: dist.all_reduce(total, group=group))
        return total

    @staticmethod
    def backward(ctx: Any, cotangent: Array) -> tuple[Array, None]:
        """The same, read by each for its own."""
        return Spread.apply(cotangent, ctx.group), None


class Shared(torch.autograd.Function):
    """A ``ShardedRule`` with its gradient, for which nothing is exchanged but the gradient of hidden states."""

    @staticmethod
    def forward(ctx: Any, backend: Any, rule: Any, count: int, *flat: Array) -> tuple[Array, ...]:
        """Run the rule on ``count`` differentiable arrays followed by constants, and keep what its gradient needs."""
        ctx.backend, ctx.rule, ctx.count, ctx.flat, ctx.held = backend, rule, count, len(flat), None
        arrays, constants, kept = flat[:count], flat[count:], ()
        # Not with hooks (checkpoints, offloading), which are there to keep less.
        hooked = torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
        if rule.holds(backend, arrays) and ctx.needs_input_grad[3] and not hooked:
            outputs, ctx.held = rule.run_holding(backend, arrays, constants)
            kept = (*ctx.held.kept[0],)
        else:
            outputs, kept = rule.run_keeping(backend, arrays, constants)
        ctx.save_for_backward(*flat, *kept)
        ctx.mark_non_differentiable(outputs[2])
        found: tuple[Array, ...] = outputs
        return found

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> tuple[Any, ...]:
        """From what was kept; where grad mode asks for more, from a record that is exchanged anew."""
        # Given away: its owner may write to it.
        held, ctx.held = ctx.held, None
        # Once: a checkpoint hands them out a single time.
        saved = ctx.saved_tensors
        flat, kept = saved[: ctx.flat], saved[ctx.flat :]
        arrays, constants = flat[: ctx.count], flat[ctx.count :]
        if torch.is_grad_enabled():
            gradients = _pulled(ctx, arrays, constants, cotangents, ())
        elif held is not None:
            gradients = (ctx.rule.pull_back_held(ctx.backend, constants, cotangents[0], held),)
        else:
            gradients = _pulled(ctx, arrays, constants, cotangents, tuple(kept))
        return (None, None, None, *gradients, *(None for _ in constants))


def _pulled(ctx: Any, arrays: Any, constants: Any, cotangents: Any, kept: Any) -> Any:
    needs = tuple(ctx.needs_input_grad[3 : 3 + ctx.count])
    return ctx.rule.pull_back(ctx.backend, arrays, constants, cotangents[:2], needs, kept)


def attach(backend: Any, rule: Any, arrays: Any, constants: Any) -> Any:
    """The rule's outputs, differentiable."""
    return Shared.apply(backend, rule, len(arrays), *arrays, *constants)
