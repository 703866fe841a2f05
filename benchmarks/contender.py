"""Who is measured: a loss in one mode, which sets itself up for a case and is then called again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.cases import Case

Step = Callable[[], Any]

OURS, DROP_IN, FLOOR = "xentropy", "drop-in", "floor"
FORWARD, BACKWARD = "forward", "forward + backward"


@dataclass(frozen=True)
class Contender:
    """One line of a comparison.

    Attributes:
        who: "xentropy", "drop-in", "floor", or the name of the peer.
        mode: how people run it, such as "eager" or "jit".
        direction: "forward" or "forward + backward".
        build: from a case to a step, which returns when its result is there, or None: no such loss here.
    """

    who: str
    mode: str
    direction: str
    build: Callable[[Case], Step | None]
