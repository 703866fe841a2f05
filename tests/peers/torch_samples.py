"""What PyTorch's own test samples are made of, with the random numbers that it would draw from a fixed seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

# With 0, one of the modules' inputs is two labels that are both ignored: a mean over nothing, which has no derivative.
SEED = 1


def seeded() -> None:
    """Samples are drawn from the global generators."""
    torch.manual_seed(SEED)
    random.seed(SEED)


def described(tensors: Any, options: dict[str, Any]) -> str:
    """Shapes and options of a sample, for its test's name."""
    shapes = ["x".join(map(str, x.shape)) or "scalar" for x in tensors if isinstance(x, torch.Tensor)]
    said = [key if isinstance(value, torch.Tensor) else f"{key}={value}" for key, value in options.items()]
    return "-".join((*shapes, *said))


def wide(tree: Any) -> Any:
    """Floats in float64, cut off from what they were computed from."""
    return tree_map_only(
        torch.Tensor,
        lambda x: x.detach().to(torch.float64).requires_grad_(x.requires_grad) if x.is_floating_point() else x,
        tree,
    )


def differentiable(tree: Any) -> tuple[Any, list[int], Any]:
    """Leaves, the positions of those that require a gradient, and the way back."""
    leaves, spec = tree_flatten(tree)
    return leaves, [i for i, x in enumerate(leaves) if isinstance(x, torch.Tensor) and x.requires_grad], spec


def function_of(call: Any, tree: Any) -> tuple[Any, tuple[torch.Tensor, ...]]:
    """A call as a function of those of its arguments that require a gradient, and these."""
    leaves, positions, spec = differentiable(tree)

    def function(*inputs: torch.Tensor) -> Any:
        filled = list(leaves)
        for position, x in zip(positions, inputs, strict=True):
            filled[position] = x
        args, kwargs = tree_unflatten(filled, spec)
        return call(*args, **kwargs)

    return function, tuple(leaves[i] for i in positions)


def gradients(value: torch.Tensor, tree: Any) -> Iterator[torch.Tensor]:
    """The gradients of the value's sum, in the order of the leaves."""
    leaves, positions, _ = differentiable(tree)
    yield from torch.autograd.grad(value.sum(), [leaves[i] for i in positions])
