"""PyTorch: eager and compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch._dynamo
from torch.nn import functional

import xentropy
import xentropy_torch
from benchmarks.cases import SMOOTHING, Case
from benchmarks.contender import BACKWARD, DROP_IN, FLOOR, FORWARD, OURS, Contender, Step

PACKAGES = ("torch",)
MODES = ("eager", "compile")

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _ours(case: Case) -> Loss:
    if case.kind == "binary":
        return xentropy.binary_cross_entropy
    return _smoothed(xentropy.cross_entropy, case)


def _drop_in(case: Case) -> Loss:
    if case.kind == "binary":
        return xentropy_torch.binary_cross_entropy_with_logits
    return _smoothed(xentropy_torch.cross_entropy, case)


def _native(case: Case) -> Loss:
    return (
        functional.binary_cross_entropy_with_logits
        if case.kind == "binary"
        else _smoothed(functional.cross_entropy, case)
    )


def _smoothed(loss: Callable[..., torch.Tensor], case: Case) -> Loss:
    if case.kind != "smoothed":
        return loss
    return lambda x, t: loss(x, t, label_smoothing=SMOOTHING)


def _inputs(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.from_numpy(case.logits()).to(getattr(torch, case.dtype))
    t = torch.from_numpy(case.targets())
    return x, t if case.kind in ("labels", "smoothed") else t.to(x.dtype)


def _builder(pick: Callable[[Case], Loss], mode: str, direction: str) -> Callable[[Case], Step]:
    def build(case: Case) -> Step:
        x, t = _inputs(case)
        loss = pick(case)
        if mode == "compile":
            torch._dynamo.reset()
            loss = torch.compile(loss, fullgraph=True)
        if direction == FORWARD:
            return lambda: loss(x, t)
        leaf = x.requires_grad_()
        return lambda: torch.autograd.grad(loss(leaf, t), leaf)

    return build


def _floor(direction: str) -> Callable[[Case], Step]:
    def build(case: Case) -> Step:
        x, _ = _inputs(case)
        return x.sum if direction == FORWARD else x.neg

    return build


def contenders() -> Iterator[Contender]:
    """Everybody, mode by mode."""
    picks: dict[str, Any] = {OURS: _ours, DROP_IN: _drop_in, "F.cross_entropy": _native}
    for mode in MODES:
        for direction in (FORWARD, BACKWARD):
            for who, pick in picks.items():
                yield Contender(who, mode, direction, _builder(pick, mode, direction))
            yield Contender(FLOOR, mode, direction, _floor(direction))
