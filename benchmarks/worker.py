"""One fresh process: measures the contenders of a library and prints one JSON object a line."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.cases import Case
from benchmarks.contender import FLOOR, Contender, Step

ROUNDS, SECONDS, BATCH_SECONDS = 5, 3.0, 0.005


def module(library: str) -> Any:
    """Where a library's ``PACKAGES``, ``MODES`` and ``contenders()`` are."""
    return import_module(f"benchmarks.libraries.{library}_")


def contenders(library: str, mode: str, direction: str) -> list[Contender]:
    """Those of one mode and direction."""
    return [c for c in module(library).contenders() if c.mode == mode and c.direction == direction]


def time(
    lined_up: Iterable[Contender], case: Any, seconds: float, warm: int = 3, least: int = ROUNDS
) -> dict[str, Any]:
    """Seconds a step of everybody: in turns, and the fastest of all turns; and those of the first call."""
    steps, first, repeats, fastest = {}, {}, {}, {}
    for contender in lined_up:
        step = contender.build(case)
        if step is None:
            continue
        steps[contender.who] = step
        first[contender.who] = _seconds(step, 1)
        # What is compiled for a shape that comes again, and what the library sets up, is no part of a step.
        fastest[contender.who] = min(_seconds(step, 1) for _ in range(warm))
        repeats[contender.who] = max(1, round(BATCH_SECONDS / fastest[contender.who]))
    begun, rounds, names = perf_counter(), 0, list(steps)
    while steps and (rounds < least or perf_counter() - begun < seconds):
        # Everybody comes after everybody else in turn: after one whose threads sleep or whose arrays fill the cache, a
        # step of 10 us took 16.
        for who in names[rounds % len(names) :] + names[: rounds % len(names)]:
            fastest[who] = min(fastest[who], _seconds(steps[who], repeats[who]))
        rounds += 1
    first.pop(FLOOR, None)
    return {"seconds": fastest, "first_call": first, "rounds": rounds}


def _seconds(step: Step, repeats: int) -> float:
    begun = perf_counter()
    for _ in range(repeats):
        step()
    return (perf_counter() - begun) / repeats


def peak(step: Step) -> int:
    """The most memory, in bytes, that the process had at any time of one more step."""
    gc.collect()
    # 5: the peak begins anew (proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    step()
    return status("VmHWM")


def memory(library: str, mode: str, direction: str, case: Case, who: str) -> int | None:
    """Bytes that a call of a step takes at its peak, beyond what was there before any."""
    (contender,) = (c for c in contenders(library, mode, direction) if c.who == who)
    small = contender.build(Case(2, 4, case.dtype, case.kind))
    step = contender.build(case)
    if small is None or step is None:
        return None
    # Whatever the library sets up once.
    small()
    gc.collect()
    before = status("VmRSS")
    for _ in range(3):
        step()
    return peak(step) - before


def status(field: str) -> int:
    """A size, in bytes, of ``/proc/self/status``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def run(library: str, mode: str, direction: str, case: Case, who: str | None, seconds: float) -> None:
    """Measure time, or (of one contender) memory, and print it."""
    if who is None:
        found: dict[str, Any] = time(contenders(library, mode, direction), case, seconds)
    else:
        found = {"bytes": memory(library, mode, direction, case, who)}
    print(json.dumps({"library": library, "mode": mode, "direction": direction, "case": asdict(case), **found}))
