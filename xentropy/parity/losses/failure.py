"""What is said of two losses that differ."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from xentropy.parity.cases import Array, Case
from xentropy.parity.literals import written
from xentropy.parity.losses.compare import Gap
from xentropy.parity.losses.subject import Subject

# More numbers than this are not read by anybody.
_MOST = 64
_FIELDS = ("class_weight", "sample_weight", "pos_weight")


def source(case: Case) -> str:
    """The case as an expression of Python that makes the same arrays, to the last bit."""
    parts = [repr(case.name), _array(case.logits), _array(case.targets), f"dtype={case.dtype!r}"]
    if case.binary:
        parts.append("binary=True")
    if not case.from_logits:
        parts.append("from_logits=False")
    parts += [f"{name}={_array(getattr(case, name))}" for name in _FIELDS if getattr(case, name) is not None]
    parts += [f"ignore_index={case.ignore_index}"] if case.ignore_index is not None else []
    parts += [f"label_smoothing={case.label_smoothing!r}"] if case.label_smoothing else []
    parts += [f"precision={case.precision!r}"] if case.precision is not None else []
    return f"Case({', '.join(parts)})"


def differs(gap: Gap, case: Case, sides: Sequence[Subject], tolerance: str) -> str:
    """The smallest failing case, what each side says, what is exact, and who is wrong."""
    names = [side.name for side in sides]
    title = f"{names[0]} and {names[1]} differ" if len(names) > 1 else f"{names[0]} is off"
    width = max(len(name) for name in [*names, "exact"]) + 2
    lines = [
        f"{title} in the {gap.quantity}{_place(gap.at)}: {gap.apart:.4g} ulp, {gap.allowed:.4g} allowed ({tolerance})"
    ]
    for name, number, off, wrong in zip(names, gap.numbers, gap.off, gap.wrong, strict=True):
        lines.append(f"    {name:<{width}}{number:<16.9g} {off:.4g} ulp from exact{'  <- wrong' if wrong else ''}")
    lines.append(f"    {'exact':<{width}}{gap.exact:.9g}")
    if not any(gap.wrong):
        lines.append("Each of them is within the bound of the exact number, on either side of it.")
    if _is_another_loss(gap):
        lines.append("What a loss does by itself (label smoothing, ignored rows, weights) has to be said of the cases.")
    return "\n".join([*lines, *_smallest(case)])


def _is_another_loss(gap: Gap) -> bool:
    """Whether what came back is no rounding of the exact number, nor what rounding makes 0."""
    apart = [abs(number - gap.exact) / max(abs(number), abs(gap.exact), 1e-300) for number in gap.numbers]
    return all(number != 0 for number in gap.numbers) and all(0.01 < part < math.inf for part in apart)


def raised(error: Exception, case: Case, side: Subject, quantities: Sequence[str]) -> str:
    """The smallest case that a loss raises on."""
    lines = [f"{side.name} raised {type(error).__name__}: {error}"]
    if len(quantities) > 1:
        lines.append(f"Asked for were {', '.join(quantities)}; `quantities` leaves out what a loss does not have.")
    return "\n".join([*lines, *_smallest(case)])


def _place(at: Sequence[int]) -> str:
    return f" at [{', '.join(map(str, at))}]" if at else ""


def _smallest(case: Case) -> list[str]:
    shape = " x ".join(map(str, case.logits.shape))
    head = f"The smallest case that fails ({case.name}, {shape}, {case.dtype})"
    if max(case.logits.size, case.targets.size) > _MOST:
        return [f"{head} is the attribute `case` of this exception."]
    return [
        f"{head}; `cases=[case]` runs it again:",
        "    import numpy as np",
        "    from xentropy.parity import Case",
        f"    case = {source(case)}",
    ]


def _array(values: Array) -> str:
    numbers = re.sub("inf|nan", r"np.\g<0>", written(values))
    return f"np.asarray({numbers}, dtype=np.{values.dtype})"
