"""One process of several: what a step of everybody takes, exchanges, and holds at its peak."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from time import perf_counter

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import worker
from benchmarks.parts.contenders import CONTENDERS, Step


def measure(rank: int, count: int, meeting: str, rows: int, classes: int, who: str, seconds: float, out: str) -> None:
    """Of ``count`` processes, this is the one that is called ``rank``; the first one writes down what it found."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count)
    found = _memory(rows, classes, who) if who else _times(rows, classes, seconds)
    if rank == 0:
        Path(out).write_text(json.dumps(found))
    dist.destroy_process_group()


def _times(rows: int, classes: int, seconds: float) -> dict[str, dict[str, float]]:
    """In turns, and the fastest of all turns; all processes begin a step together."""
    steps = {name: build(rows, classes) for name, build in CONTENDERS.items()}
    fastest = dict.fromkeys(steps, float("inf"))
    for step in steps.values():
        step()
    for _ in range(max(5, int(seconds))):
        for name, step in steps.items():
            fastest[name] = min(fastest[name], _seconds(step))
    return {"seconds": fastest, "exchanged": {name: _exchanged(step) for name, step in steps.items()}}


def _seconds(step: Step) -> float:
    dist.barrier()
    begun = perf_counter()
    step()
    return perf_counter() - begun


class _Counting(TorchDispatchMode):
    """Adds up the bytes that this process puts into exchanges, whoever asks for them."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # seen again as what it is made of
        if func.namespace == "c10d" or func.__name__.startswith("all_"):
            sent = _sent(func.__name__, args)
            self.bytes += sent
            self.calls += sent > 0
        return func(*args, **(kwargs or {}))


def _sent(name: str, args: tuple[object, ...]) -> int:
    which = 1 if name.startswith("allgather_") else 0
    given = args[which] if args else None
    tensors = given if isinstance(given, (list, tuple)) else [given]
    return sum(t.numel() * t.element_size() for t in tensors if isinstance(t, torch.Tensor))


def _exchanged(step: Step) -> dict[str, int]:
    with _Counting() as counted:
        step()
    return {"calls": counted.calls, "bytes": counted.bytes}


def _memory(rows: int, classes: int, who: str) -> int:
    """Bytes at the peak of a step, beyond what was there before any."""
    CONTENDERS[who](2, 4)()
    step = CONTENDERS[who](rows, classes)
    gc.collect()
    before = worker.status("VmRSS")
    for _ in range(3):
        step()
    return worker.peak(step) - before
