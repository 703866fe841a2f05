"""PyTorch: eager and compiled, beside its loss of all the logits and its own linear loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import torch
from torch.nn import functional

import xentropy
from benchmarks.contender import BACKWARD, OURS, Contender, Loss, Step
from benchmarks.linear.cases import LinearCase

PACKAGES = ("torch",)
MODES = ("eager", "compile")
KEEPS = False


def _ours(case: LinearCase) -> Loss:
    return partial(xentropy.linear_cross_entropy, **case.options)


def _dense(_: LinearCase) -> Loss:
    return lambda h, w, y: functional.cross_entropy(h @ w.T, y)


def _chunked(_: LinearCase) -> Loss:
    options: Any = torch.nn.LinearCrossEntropyOptions()
    return lambda h, w, y: functional.linear_cross_entropy(h, w, y, options=options)


@lru_cache(maxsize=1)
def _inputs(case: LinearCase) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    hidden, weight, labels = case.arrays()
    h, w = (torch.from_numpy(array).to(getattr(torch, case.dtype)).requires_grad_() for array in (hidden, weight))
    return h, w, torch.from_numpy(labels)


def _builder(pick: Callable[[LinearCase], Loss], mode: str) -> Callable[[LinearCase], Step]:
    def build(case: LinearCase) -> Step:
        h, w, y = _inputs(case)
        loss = pick(case)
        if mode == "compile":
            # Another case is another program, not the same one with sizes unknown.
            loss = torch.compile(loss, fullgraph=True, dynamic=False)
        return lambda: torch.autograd.grad(loss(h, w, y), (h, w))

    return build


def contenders() -> Iterator[Contender]:
    """Everybody, mode by mode; PyTorch's own linear loss where this version has it in blocks."""
    for mode in MODES:
        yield Contender(OURS, mode, BACKWARD, _builder(_ours, mode))
        yield Contender("F.cross_entropy", mode, BACKWARD, _builder(_dense, mode))
        if mode == "eager" and hasattr(torch.nn, "LinearCrossEntropyOptions"):
            yield Contender("F.linear_cross_entropy", mode, BACKWARD, _builder(_chunked, mode))
