"""The geometry of the error against confidence: two panels of curves, one position a level.

An own drawing, because a plotting library for the browser is megabytes of script in every report, and the ones there
are answer to a mouse but not to a keyboard or a screen reader.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xentropy.parity.cases import Array
from xentropy.parity.confidence import LEVELS, Curve
from xentropy.parity.page.text import scientific

WIDTH, HEIGHT = 520, 340
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 14, 44
LARGEST, SMALLEST = 8.0, 1e-8
# As many dashes, markers and colours as there are frameworks to tell apart; after that they begin again.
DASHES = ("none", "7 4", "2 3", "9 3 2 3", "12 4", "4 2 1 2")
MARKERS = (
    "M-3.5-3.5h7v7h-7z",
    "M0-4.5 4.5 3.5h-9z",
    "M0-4.8 4.8 0 0 4.8-4.8 0z",
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M0 4.5 4.5-3.5h-9z",
    "M-4-1.2h2.8V-4h2.4v2.8H4v2.4H1.2V4h-2.4V1.2H-4z",
)
MARKED = 9


@dataclass(frozen=True)
class Line:
    """A curve in one panel: its path, and where its markers are."""

    points: str
    marks: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Series:
    """A curve in both panels, with its numbers as they are read out, and the largest; those of no gradient are empty.

    ``style`` is the framework's: which dash, marker and colour it has.
    """

    name: str
    own: bool
    style: int
    dash: str
    marker: str
    lines: dict[str, Line]
    loss: tuple[str, ...]
    gradient: tuple[str, ...]
    largest: dict[str, str]


@dataclass(frozen=True)
class Tick:
    """A line of the grid and what is written beside it."""

    at: float
    power: int


def x_of(level: float) -> float:
    """More confident, that is a smaller loss, is further right."""
    first, last = math.log(LEVELS[0]), math.log(LEVELS[-1])
    return round(LEFT + (WIDTH - LEFT - RIGHT) * (math.log(level) - first) / (last - first), 2)


def y_of(error: float) -> float:
    """Errors beyond the panel, infinite ones too, are at its upper edge."""
    inside = min(max(error, SMALLEST), LARGEST)
    share = (math.log(LARGEST) - math.log(inside)) / (math.log(LARGEST) - math.log(SMALLEST))
    return round(TOP + (HEIGHT - TOP - BOTTOM) * share, 2)


def positions() -> tuple[float, ...]:
    """The horizontal position of every level."""
    return tuple(x_of(float(level)) for level in LEVELS)


def levels() -> tuple[str, ...]:
    """Every level as it is read out."""
    return tuple(scientific(float(level)) for level in LEVELS)


def x_ticks() -> list[Tick]:
    """Every sixth power of ten."""
    return [Tick(x_of(10.0**power), power) for power in range(0, -37, -6)]


def y_ticks() -> list[Tick]:
    """Every second power of ten."""
    return [Tick(y_of(10.0**power), power) for power in range(0, -9, -2)]


def series(curves: Sequence[Curve], names: Sequence[str]) -> list[Series]:
    """The curves, called so, own losses behind ours."""
    backends = list(dict.fromkeys(curve.backend for curve in curves))
    return [_series(curve, name, backends.index(curve.backend)) for curve, name in zip(curves, names, strict=True)]


def _series(curve: Curve, name: str, position: int) -> Series:
    style = position % len(DASHES)
    offset = style * MARKED // len(DASHES) + (0 if curve.own else MARKED // 2)
    quantities = {"loss": curve.loss, "gradient": curve.gradient}
    return Series(
        name=name,
        own=curve.own,
        style=style,
        dash=DASHES[style],
        marker=MARKERS[style],
        lines={key: _line(values, offset) for key, values in quantities.items() if values is not None},
        loss=_numbers(curve.loss),
        gradient=_numbers(curve.gradient),
        largest={key: scientific(float(values.max())) for key, values in quantities.items() if values is not None},
    )


def _line(values: Array, offset: int) -> Line:
    points = list(zip(positions(), map(y_of, values.tolist()), strict=True))
    return Line(" ".join(f"{x:g},{y:g}" for x, y in points), tuple(points[offset % MARKED :: MARKED]))


def _numbers(values: Array | None) -> tuple[str, ...]:
    return () if values is None else tuple(map(scientific, values.tolist()))
