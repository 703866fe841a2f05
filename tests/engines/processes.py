"""PyTorch: a part a process, in groups of gloo on this machine's loopback."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import xentropy
from engines import Whole, cut, slices

MOST = 4
# Seconds until gloo gives up; and until the tests do.
PATIENCE, LIMIT = 20, 120


class Processes:
    """Some processes that wait for work, and all groups of the first few of them."""

    def __init__(self, count: int, patience: float = PATIENCE) -> None:
        context = multiprocessing.get_context("spawn")
        meeting = Path(tempfile.mkdtemp()) / "meeting"
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(rank, count, meeting, patience, theirs), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)
        atexit.register(self.stop)

    def run(self, fn: Callable[..., Any], *args: Any, parts: int | None = None) -> list[Any]:
        """fn(part, group, *args) in the first few processes; what it returned or raised, None if the process is gone.

        ``fn`` and all else that is sent have to be importable there.
        """
        pipes = self._pipes[:parts]
        for pipe in pipes:
            pipe.send((fn, len(pipes), args))
        return [self._answer(pipe) for pipe in pipes]

    @staticmethod
    def _answer(pipe: Connection) -> Any:
        assert pipe.poll(LIMIT), "a process does not answer"
        try:
            return pipe.recv()
        except EOFError:
            return None

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()


def _serve(rank: int, count: int, meeting: Path, patience: float, pipe: Connection) -> None:
    import torch
    import torch.distributed as dist

    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    wait = timedelta(seconds=patience)
    dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=count, timeout=wait)
    groups = {parts: dist.new_group(list(range(parts)), timeout=wait) for parts in range(1, count + 1)}
    while True:
        fn, parts, args = pipe.recv()
        try:
            answer = fn(rank, groups[parts], *args)
        except Exception as error:
            answer = error
        pipe.send(answer)


@cache
def processes() -> Processes:
    """The ones that all tests share."""
    return Processes(MOST)


def run(fn: Callable[..., Any], *args: Any, parts: int) -> list[Any]:
    """See ``Processes.run``; an error in any of them is raised."""
    outcomes = processes().run(fn, *args, parts=parts)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return outcomes


def evaluate(
    arrays: Mapping[str, np.ndarray[Any, Any]], static: Mapping[str, Any], parts: int, wrt: tuple[str, ...]
) -> Whole:
    """See ``engines.Engine``."""
    found = run(_evaluated, dict(arrays), dict(static), wrt, parts=parts)
    for value, _ in found:
        np.testing.assert_array_equal(value, found[0][0])
    gradients = zip(*(gradients for _, gradients in found), strict=True)
    return Whole(found[0][0], tuple(np.concatenate(part, axis=-1) for part in gradients))


def _evaluated(part: int, group: Any, arrays: Any, static: Any, wrt: tuple[str, ...]) -> Any:
    import torch

    where = slices(arrays["logits"].shape[-1], group.size())[part]
    given = {name: torch.tensor(a) for name, a in cut(arrays, where).items()}
    leaves = [given[name].requires_grad_() for name in wrt]
    loss = xentropy.cross_entropy(**given, **static, group=group)
    if leaves:
        loss.sum().backward()
    return loss.detach().numpy(), tuple(leaf.grad.numpy() for leaf in leaves)
