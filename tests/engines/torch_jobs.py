"""What the processes of ``engines.processes`` are asked to do; each function runs in every part."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import xentropy
from engines import cut, slices

Arrays = dict[str, np.ndarray[Any, Any]]


def own(part: int, group: Any, arrays: Arrays) -> dict[str, Tensor]:
    """This part's arguments."""
    where = slices(arrays["logits"].shape[-1], group.size())[part]
    return {name: torch.tensor(a) for name, a in cut(arrays, where).items()}


def own_head(part: int, group: Any, arrays: Arrays) -> dict[str, Tensor]:
    """The same of a linear loss: weight and bias by classes."""
    where = slices(arrays["weight"].shape[0], group.size())[part]
    cuts = {"weight": np.s_[where], "bias": np.s_[where], "class_weight": np.s_[where]}
    if arrays["targets"].dtype.kind == "f":
        cuts["targets"] = np.s_[:, where]
    return {name: torch.tensor(a[cuts[name]] if name in cuts else a) for name, a in arrays.items()}


def second(part: int, group: Any, arrays: Arrays, static: dict[str, Any], wrt: tuple[str, ...]) -> list[Any]:
    """The gradient of the squared gradient."""
    given = own(part, group, arrays)
    leaves = [given[name].requires_grad_() for name in wrt]
    return _second(xentropy.cross_entropy(**given, **static, group=group), leaves)


def checkpointed(part: int, group: Any, arrays: Arrays) -> Any:
    """In a checkpoint, which computes the loss anew."""
    given = own(part, group, arrays)
    logits = given["logits"].requires_grad_()
    loss = checkpoint(lambda x: xentropy.cross_entropy(x, given["targets"], group=group), logits, use_reentrant=False)
    loss.backward()
    assert logits.grad is not None
    return logits.grad.numpy()


def linear_or_not(part: int, group: Any, arrays: Arrays) -> float:
    """The first part calls another function than the others."""
    given = own_head(part, group, arrays)
    if part:
        return float(xentropy.linear_cross_entropy(**given, group=group))
    logits = given["hidden"] @ given["weight"].T
    return float(xentropy.cross_entropy(logits, given["targets"], group=group))


def hidden_of_one(part: int, group: Any, arrays: Arrays) -> float:
    """Only one part asks for the gradient of the hidden states."""
    given = own_head(part, group, arrays)
    given["hidden"].requires_grad_(part == 0)
    return float(xentropy.linear_cross_entropy(**given, group=group))


def third(part: int, group: Any, arrays: Arrays) -> Any:
    """The gradient of the sum of the second derivative of the squared gradient."""
    given = own(part, group, arrays)
    leaf = given["logits"].requires_grad_()
    return third_of(xentropy.cross_entropy(**given, reduction="sum", group=group), leaf)


def third_of(loss: Tensor, leaf: Tensor) -> Any:
    """The same of any loss of float64 logits."""
    (first,) = torch.autograd.grad(loss, leaf, create_graph=True)
    (second,) = torch.autograd.grad((first**2).sum(), leaf, create_graph=True)
    return torch.autograd.grad((second**2).sum(), leaf)[0].numpy()


def linear_second(part: int, group: Any, arrays: Arrays, static: dict[str, Any], wrt: tuple[str, ...]) -> list[Any]:
    """The same of a linear loss."""
    given = own_head(part, group, arrays)
    leaves = [given[name].requires_grad_() for name in wrt]
    return _second(xentropy.linear_cross_entropy(**given, **static, group=group), leaves)


def _second(loss: Tensor, leaves: list[Tensor]) -> list[Any]:
    gradients = torch.autograd.grad(loss, leaves, create_graph=True)
    squares = [(gradient**2).sum() for gradient in gradients]
    total = torch.stack(squares).sum()
    return [g.numpy() for g in torch.autograd.grad(total, leaves)]


def linear(part: int, group: Any, arrays: Arrays, static: dict[str, Any], wrt: tuple[str, ...]) -> Any:
    """A linear loss and its gradients."""
    given = own_head(part, group, arrays)
    leaves = [given[name].requires_grad_() for name in wrt]
    loss = xentropy.linear_cross_entropy(**given, **static, group=group)
    loss.backward()
    return loss.detach().numpy(), [leaf.grad.numpy() for leaf in leaves]


@contextmanager
def counting(log: list[tuple[str, int]]) -> Iterator[None]:
    """Notes the name and the bytes of every exchange: what each process contributes."""
    real = {name: getattr(dist, name) for name in ("all_gather", "all_reduce")}

    def counted(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            sent = args[1] if name == "all_gather" else args[0]
            log.append((name, sent.numel() * sent.element_size()))
            return real[name](*args, **kwargs)

        return call

    try:
        for name in real:
            setattr(dist, name, counted(name))
        yield
    finally:
        for name, function in real.items():
            setattr(dist, name, function)


def exchanges(part: int, group: Any, arrays: Arrays, static: dict[str, Any]) -> Any:
    """What forward and backward exchange, of logits or of hidden states."""
    given = own_head(part, group, arrays) if "weight" in arrays else own(part, group, arrays)
    function = xentropy.linear_cross_entropy if "weight" in arrays else xentropy.cross_entropy
    for name in given.keys() & {"logits", "hidden", "weight"}:
        given[name].requires_grad_()
    forward: list[tuple[str, int]] = []
    backward: list[tuple[str, int]] = []
    with counting(forward):
        loss = function(**given, **static, group=group)
    with counting(backward):
        loss.backward()
    return forward, backward


def each_its_own(part: int, group: Any, calls: list[tuple[Arrays, dict[str, Any]]]) -> float:
    """Every part makes a call of its own, of arrays that are cut already."""
    arrays, static = calls[part]
    given = {name: torch.tensor(a) for name, a in arrays.items()}
    return float(xentropy.cross_entropy(**given, **static, group=group))


def one_dies(part: int, group: Any, arrays: Arrays) -> float:
    """The last process ends instead of calling the loss."""
    if part == group.size() - 1:
        os._exit(1)
    return float(xentropy.cross_entropy(**own(part, group, arrays), group=group))


def one_is_absent(part: int, group: Any, arrays: Arrays) -> float:
    """The last process doesn't call the loss."""
    if part == group.size() - 1:
        return 0.0
    return float(xentropy.cross_entropy(**own(part, group, arrays), group=group))


def sharded(part: int, group: Any, arrays: Arrays, static: dict[str, Any], placement: int, drop_in: bool) -> Any:
    """Logits as a DTensor, sharded along an axis: the loss and the whole gradient, and their types and placements."""
    from torch.distributed.tensor import DeviceMesh, Shard, distribute_tensor

    import xentropy_torch

    mesh = DeviceMesh.from_group(group, "cpu")
    given = {name: torch.tensor(a) for name, a in arrays.items()}
    logits = distribute_tensor(given.pop("logits"), mesh, [Shard(placement)]).requires_grad_()
    if drop_in:
        weight = given.pop("class_weight", None)
        loss = xentropy_torch.cross_entropy(logits, given.pop("targets"), weight, **static)
    else:
        loss = xentropy.cross_entropy(logits, **given, **static)
    (loss * 2.0).backward()
    assert logits.grad is not None
    kinds = type(loss).__name__, str(loss.placements), str(logits.grad.placements)
    return kinds, loss.full_tensor().detach().numpy(), logits.grad.full_tensor().numpy()


def sharded_head(part: int, group: Any, arrays: Arrays) -> Any:
    """Weights of a linear loss as a DTensor, and hidden states and a bias as ones that are replicated."""
    from torch.distributed.tensor import DeviceMesh, Replicate, Shard, distribute_tensor

    mesh = DeviceMesh.from_group(group, "cpu")
    hidden = distribute_tensor(torch.tensor(arrays["hidden"]), mesh, [Replicate()]).requires_grad_()
    weight = distribute_tensor(torch.tensor(arrays["weight"]), mesh, [Shard(0)]).requires_grad_()
    bias = distribute_tensor(torch.tensor(arrays["bias"]), mesh, [Replicate()]).requires_grad_()
    loss = xentropy.linear_cross_entropy(hidden, weight, torch.tensor(arrays["targets"]), bias=bias)
    loss.backward()
    leaves = (hidden, weight, bias)
    return loss.full_tensor().detach().numpy(), *(leaf.grad.full_tensor().numpy() for leaf in leaves)


def refused(part: int, group: Any, arrays: Arrays) -> list[str]:
    """What is said of groups, transforms and placements that don't fit."""
    given = own(part, group, arrays)
    logits, targets = given.pop("logits"), given.pop("targets")

    def loss(x: Tensor) -> Tensor:
        return xentropy.cross_entropy(x, targets, group=group)

    calls: list[Callable[[], Any]] = [
        lambda: xentropy.cross_entropy(logits, targets, group="classes"),
        lambda: torch.func.grad(loss)(logits),
        lambda: torch.func.jvp(loss, (logits,), (logits,)),
    ]
    found = []
    for call in calls:
        try:
            call()
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
    return found


def compiled(part: int, group: Any, arrays: Arrays) -> Any:
    """In a function that is compiled."""
    given = own(part, group, arrays)
    logits = given["logits"].requires_grad_()

    @torch.compile(backend="eager")
    def loss(x: Tensor) -> Tensor:
        return xentropy.cross_entropy(2.0 * x, given["targets"], group=group) + 1.0

    value = loss(logits)
    value.backward()
    assert logits.grad is not None
    return value.detach().numpy(), logits.grad.numpy()
