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

from xentropy.sharded import Found
from xentropy_torch.transforms import is_batching, is_dual, is_transformed

Array = Any


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


def part(group: Any) -> int:
    """Which part this process has."""
    return dist.get_rank(_checked(group))


def tell(message: bytes, group: Any, like: Array) -> list[bytes]:
    """The messages of all processes, of the same length each."""
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
        ctx.part = dist.get_rank(group)
        x = x.detach().contiguous()
        found = x.new_empty((dist.get_world_size(group), *x.shape))
        _exchanged(group, lambda: dist.all_gather(list(found.unbind()), x, group=group))
        return found

    @staticmethod
    def backward(ctx: Any, cotangent: Array) -> tuple[Array, None]:
        """Its own share of what all processes hold alike."""
        return cotangent[ctx.part], None


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
        ctx.backend, ctx.rule, ctx.count, ctx.flat = backend, rule, count, len(flat)
        outputs, kept = rule.run_keeping(backend, flat[:count], flat[count:])
        ctx.save_for_backward(*flat, *kept)
        ctx.mark_non_differentiable(outputs[2])
        found: tuple[Array, ...] = outputs
        return found

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> tuple[Any, ...]:
        """From what was kept; where grad mode asks for more, from a record that is exchanged anew."""
        flat, kept = ctx.saved_tensors[: ctx.flat], ctx.saved_tensors[ctx.flat :]
        arrays, constants, count = flat[: ctx.count], flat[ctx.count :], ctx.count
        needs = tuple(ctx.needs_input_grad[3 : 3 + count])
        again = torch.is_grad_enabled()
        gradients = ctx.rule.pull_back(
            ctx.backend, arrays, constants, cotangents[:2], needs, () if again else tuple(kept)
        )
        return (None, None, None, *gradients, *(None for _ in constants))


def attach(backend: Any, rule: Any, arrays: Any, constants: Any) -> Any:
    """The rule's outputs, differentiable."""
    return Shared.apply(backend, rule, len(arrays), *arrays, *constants)


@torch.compiler.disable
def run(backend: Any, program: Any, arrays: Any, constants: Any, weights: Any) -> Found:
    """The program in eager mode; a compiler leaves it alone."""
    if is_transformed() or is_batching() or is_dual():
        raise NotImplementedError(
            "a loss with a group has gradients by torch.autograd, of any order; torch.func, vmap and forward mode "
            "have no rule for its exchange"
        )
    if torch.is_grad_enabled() and any(array.requires_grad for array in arrays):
        found: Found = program(backend, arrays, constants, weights)
        return found
    with torch.no_grad():
        without: Found = program.value(backend, arrays, constants, weights)
        return without
