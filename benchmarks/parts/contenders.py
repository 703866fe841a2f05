"""Losses of logits whose classes are in several processes of PyTorch: ours, and those it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DeviceMesh, DTensor, Shard
from torch.distributed.tensor.parallel import loss_parallel
from torch.nn import functional

import xentropy

Step = Callable[[], Any]


class ThreeReductions(torch.autograd.Function):
    """As Megatron-LM computes it, in tensor_parallel/cross_entropy.py.

    The maximum, the label's logit and the sum of exponentials are reduced one after the other, and the softmax is kept,
    in place of the logits, for the gradient.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of every row."""
        largest = logits.amax(-1)
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        x = logits - largest[:, None]
        start = dist.get_rank() * x.shape[1]
        here = (targets >= start) & (targets < start + x.shape[1])
        index = torch.where(here, targets - start, 0)
        own = torch.where(here, x.gather(1, index[:, None])[:, 0], 0.0)
        dist.all_reduce(own)
        total = x.exp_().sum(-1)
        dist.all_reduce(total)
        ctx.save_for_backward(x.div_(total[:, None]), index, here)
        return total.log() - own

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None]:
        """The gradient, over the softmax that was kept."""
        x, index, here = ctx.saved_tensors
        x.scatter_add_(1, index[:, None], -here.to(x.dtype)[:, None])
        return x.mul_(cotangent[:, None]), None


def _rows(rows: int, classes: int) -> tuple[Tensor, Tensor]:
    """This process's logits, and the labels that all have."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, classes * dist.get_world_size(), (rows,), generator=generator)
    generator.manual_seed(1 + dist.get_rank())
    return torch.randn((rows, classes), generator=generator).requires_grad_(), targets


def ours(rows: int, classes: int) -> Step:
    """``xentropy.cross_entropy`` with a group."""
    logits, targets = _rows(rows, classes)

    def step() -> None:
        logits.grad = None
        xentropy.cross_entropy(logits, targets, group=dist.group.WORLD).backward()

    return step


def three_reductions(rows: int, classes: int) -> Step:
    """Megatron-LM's way."""
    logits, targets = _rows(rows, classes)

    def step() -> None:
        logits.grad = None
        ThreeReductions.apply(logits, targets).mean().backward()

    return step


def parallel(rows: int, classes: int) -> Step:
    """PyTorch's own: a DTensor, under ``loss_parallel``."""
    logits, targets = _rows(rows, classes)
    mesh = DeviceMesh.from_group(dist.group.WORLD, "cpu")
    sharded = DTensor.from_local(logits.detach(), mesh, [Shard(1)], run_check=False).requires_grad_()

    def step() -> None:
        sharded.grad = None
        with loss_parallel():
            functional.cross_entropy(sharded, targets).backward()

    return step


CONTENDERS: dict[str, Callable[[int, int], Step]] = {
    "xentropy": ours,
    "three all-reduces": three_reductions,
    "loss_parallel": parallel,
}
