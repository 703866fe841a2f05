"""The figures as tables: for the terminal, and for the README."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from benchmarks.contender import OURS
from benchmarks.linear.cases import LinearCase
from benchmarks.table import TITLES, caption

Row = dict[str, Any]
HEAD = ("mode", "case", "ours, s", "other, s", "ours / other", "gradients, MB", "ours, MB", "other, MB", "ours / other")


def rendered(report: Row) -> Table:
    """All rows, one for each that ours is compared with, for the terminal."""
    table = Table(*HEAD, title=caption(report), title_justify="left")
    for row in report["rows"]:
        for other in _others(row):
            table.add_row(*_cells(row, other))
    return table


def markdown(report: Row) -> str:
    """Ours / other of times and of peak memory, by case, for the README; the memory of ours in MB beside it."""
    names = list(dict.fromkeys(_case(row).name for row in report["rows"]))
    measured = {_case(row).name for row in report["rows"] if row["bytes"]}
    heads = [head for name in names for head in _heads(name, name in measured)]
    lines = [caption(report), "", f"| mode | beside | {' | '.join(heads)} |", "|" + "---|" * (2 + len(heads))]
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in report["rows"]:
        for other in _others(row):
            found, name = cells.setdefault((_mode(row), other), {}), _case(row).name
            found[_heads(name, True)[0]] = f"{_ratio(row['seconds'], other):.2f}"
            if row["bytes"]:
                size = f"{_ratio(row['bytes'], other):.2f} ({_megabytes(row['bytes'][OURS])} MB)"
                found[_heads(name, True)[1]] = size
    lines += [
        f"| {mode} | `{other}` | {' | '.join(found.get(head, '') for head in heads)} |"
        for (mode, other), found in cells.items()
    ]
    return "\n".join(lines)


def _heads(name: str, measured: bool) -> list[str]:
    heads = [f"{_heading(name)}: time", f"{_heading(name)}: memory"]
    return heads if measured else heads[:1]


def _others(row: Row) -> list[str]:
    return [who for who in row["seconds"] if who != OURS]


def _case(row: Row) -> LinearCase:
    return LinearCase(**row["case"])


def _mode(row: Row) -> str:
    return "NumPy" if row["library"] == "numpy" else f"{TITLES[row['library']]} {row['mode']}"


def _heading(name: str) -> str:
    """Rows x features x classes, and what is special."""
    sizes, *flags = name.split("-")
    said = {"ignored": "every other row ignored"}
    return ", ".join([sizes.replace("x", " x "), *(said.get(flag, flag) for flag in flags)])


def _ratio(found: dict[str, float], other: str) -> float:
    return float(found[OURS] / found[other])


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.0f}"


def _cells(row: Row, other: str) -> Iterator[str]:
    seconds, found = row["seconds"], row["bytes"]
    yield _mode(row)
    yield _case(row).name
    yield f"{seconds[OURS]:.3g}"
    yield f"{seconds[other]:.3g} ({other})"
    yield f"{_ratio(seconds, other):.2f}"
    if found:
        yield _megabytes(_case(row).of_gradients)
        yield _megabytes(found[OURS])
        yield _megabytes(found[other])
        yield f"{_ratio(found, other):.2f}"
