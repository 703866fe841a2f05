"""Who is measured: a loss in one mode, which sets itself up for a case and is then called again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import xentropy
from benchmarks.cases import SMOOTHING, Case

Step = Callable[[], Any]
Loss = Callable[..., Any]
# Of a Case, or of a LinearCase.
Build = Callable[[Any], Step | None]

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
    build: Build


def choose(case: Case, of_classes: Loss, of_elements: Loss) -> Loss:
    """The loss of a case, of two that smooth labels by themselves."""
    if case.kind == "binary":
        return of_elements
    return partial(of_classes, label_smoothing=SMOOTHING) if case.kind == "smoothed" else of_classes


def ours(case: Case) -> Loss:
    """xentropy's loss of a case, of any library's arrays."""
    return choose(case, xentropy.cross_entropy, xentropy.binary_cross_entropy)


def line_up(
    modes: tuple[str, ...],
    losses: dict[str, Callable[[Case], Loss]],
    builder: Callable[[Callable[[Case], Loss], str, str], Build],
    floor: Callable[[str, str], Build],
) -> Iterator[Contender]:
    """Everybody, mode by mode: ``builder(loss, mode, direction)`` of each loss, and ``floor(mode, direction)``."""
    for mode in modes:
        for direction in (FORWARD, BACKWARD):
            for who, loss in losses.items():
                yield Contender(who, mode, direction, builder(loss, mode, direction))
            yield Contender(FLOOR, mode, direction, floor(mode, direction))
