"""PyTorch: eager and compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import torch
import torch._dynamo
from torch.nn import functional

import xentropy_torch
from benchmarks.cases import Case
from benchmarks.contender import DROP_IN, FORWARD, OURS, Contender, Loss, Step, choose, line_up, ours

PACKAGES = ("torch",)
MODES = ("eager", "compile")


def _drop_in(case: Case) -> Loss:
    return choose(case, xentropy_torch.cross_entropy, xentropy_torch.binary_cross_entropy_with_logits)


def _native(case: Case) -> Loss:
    return choose(case, functional.cross_entropy, functional.binary_cross_entropy_with_logits)


@lru_cache(maxsize=1)
def _inputs(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.from_numpy(case.logits()).to(getattr(torch, case.dtype))
    t = torch.from_numpy(case.targets())
    return x, t if case.indexed else t.to(x.dtype)


def _builder(pick: Callable[[Case], Loss], mode: str, direction: str) -> Callable[[Case], Step]:
    def build(case: Case) -> Step:
        x, t = _inputs(case)
        loss = pick(case)
        if mode == "compile":
            torch._dynamo.reset()
            loss = torch.compile(loss, fullgraph=True)
        if direction == FORWARD:
            return lambda: loss(x, t)
        leaf = x.detach().requires_grad_()
        return lambda: torch.autograd.grad(loss(leaf, t), leaf)

    return build


def _floor(_mode: str, direction: str) -> Callable[[Case], Step]:
    def build(case: Case) -> Step:
        x, _ = _inputs(case)
        return x.sum if direction == FORWARD else x.neg

    return build


def contenders() -> Iterator[Contender]:
    """Everybody, mode by mode."""
    return line_up(MODES, {OURS: ours, DROP_IN: _drop_in, "F.cross_entropy": _native}, _builder, _floor)
