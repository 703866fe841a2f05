"""One fresh process: the times of a mode, or the memory of one contender."""

from __future__ import annotations

import ctypes
import gc
from dataclasses import asdict
from importlib import import_module
from typing import Any

from benchmarks import worker
from benchmarks.contender import Contender
from benchmarks.linear.cases import LinearCase


def module(library: str) -> Any:
    """Where a library's ``PACKAGES``, ``MODES``, ``KEEPS`` and ``contenders()`` are."""
    return import_module(f"benchmarks.linear.{library}_")


def contenders(library: str, mode: str) -> list[Contender]:
    """Those of one mode: ours, that of all the logits, and any others."""
    return [contender for contender in module(library).contenders() if contender.mode == mode]


def time(library: str, mode: str, case: LinearCase, seconds: float) -> dict[str, Any]:
    """Seconds a step of everybody, in turns, and the fastest of all turns."""
    # A step takes about a second: three calls of each are nearer to its fastest than machines are to each other.
    found = worker.time(contenders(library, mode), case, seconds, warm=1, least=2)
    return {"library": library, "mode": mode, "case": asdict(case), **found}


def memory(library: str, mode: str, case: LinearCase, who: str) -> int | None:
    """Bytes that a step takes at its peak, gradients and all, beyond what was there before it.

    Without what the library sets up once, for which the tiny case is run, and without what is compiled: ahead of time,
    in the tiny case or, where the library's allocator gives memory back, in one step of the case itself.
    """
    (contender,) = (one for one in contenders(library, mode) if one.who == who)
    tiny, step = contender.build(case.tiny), contender.build(case)
    if tiny is None or step is None:
        return None
    tiny()
    if module(library).KEEPS:
        # What it keeps of the first step, it computes in later.
        before = _settled()
        step()
    else:
        step()
        before = _settled()
    _settled()
    return worker.peak(step) - before


def _settled() -> int:
    """The memory of the process once everything that can be given back has been."""
    gc.collect()
    # The C library keeps some of what it was given back.
    ctypes.CDLL(None).malloc_trim(0)
    return worker.status("VmRSS")
