"""What ``xentropy parity LOSS`` says of the loss: a table, the failures, the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from xentropy.parity.loss_command import Call, Held
from xentropy.parity.losses.compare import Gap
from xentropy.parity.losses.subject import QUANTITIES
from xentropy.parity.record import number as plain
from xentropy.parity.report import NONE, judged, number

# The smallest cases of so many groups are printed; what fails everywhere fails alike.
MOST_FAILURES = 3


def names(call: Call) -> tuple[str, str]:
    """Who is held against what."""
    return call.sides[0].name, call.sides[1].name if len(call.sides) > 1 else "the exact value"


def title(call: Call) -> Text:
    """The same as a line."""
    loss, other = names(call)
    return Text.assemble((loss, "bold"), " against ", (other, "bold"), f": {call.tolerance}")


def table(held: Sequence[Held]) -> Table:
    """A row for each family and each corner of drawn cases: the largest distance, and its part of what is allowed."""
    out = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    out.add_column("", width=17, no_wrap=True)
    out.add_column("cases", width=5, justify="right")
    for name in QUANTITIES:
        out.add_column(f"{name}\nulp", width=9, justify="right", no_wrap=True)
        out.add_column("\nof bound", width=8, justify="right", no_wrap=True)
    for one in held:
        largest = one.agreement.largest()
        cells = [cell for name in QUANTITIES for cell in _cells(largest.get(name))]
        out.add_row(one.name, str(one.agreement.cases), *cells)
    return out


def _cells(gap: Gap | None) -> list[Text]:
    if gap is None:
        return [Text(NONE), Text(NONE)]
    percent = math.ceil(100 * gap.share) if math.isfinite(gap.share) else math.inf
    text = "MISSED" if math.isinf(percent) else f"{percent if percent < 1000 else number(percent)}%"
    return [Text(number(gap.apart)), judged(text, gap.share <= 1)]


def ending(held: Sequence[Held]) -> Text:
    """What was left out, the smallest cases that fail, and yes or no."""
    text = Text()
    for reason in dict.fromkeys(one.skipped for one in held if one.skipped):
        text.append(f"  left out: {reason}\n", "yellow")
    for name in dict.fromkeys(name for one in held for name in one.agreement.left_out):
        text.append(f"  no {name} was compared: one of the libraries has no derivatives\n", "yellow")
    failed = [one for one in held if one.error is not None]
    for one in failed[:MOST_FAILURES]:
        text.append(f"\n{one.name}: {one.error}\n")
    compared = sum(one.agreement.cases for one in held)
    if failed:
        return text.append("\nFAIL", "bold red").append(f"  {', '.join(one.name for one in failed)}")
    if not compared:
        return text.append("\nFAIL", "bold red").append("  no case was compared")
    return text.append("\nPASS", "bold green").append(f"  {compared} cases within the bound")


def passed(held: Sequence[Held]) -> bool:
    """Whether something was compared, and nothing failed."""
    return any(one.agreement.cases for one in held) and all(one.error is None for one in held)


def record(call: Call, held: Sequence[Held]) -> dict[str, Any]:
    """The same as plain JSON values."""
    return {
        "loss": call.loss,
        "against": call.against,
        "reduction": call.reduction,
        "tolerance": str(call.tolerance),
        "verdict": "pass" if passed(held) else "fail",
        "groups": [_group(one) for one in held],
    }


def _group(one: Held) -> dict[str, Any]:
    largest = one.agreement.largest().items()
    return {
        "name": one.name,
        "cases": one.agreement.cases,
        "ulp": {name: {"apart": plain(gap.apart), "allowed": plain(gap.allowed)} for name, gap in largest},
        "left_out": list(one.agreement.left_out),
        "skipped": one.skipped or None,
        "failure": None if one.error is None else str(one.error),
    }
