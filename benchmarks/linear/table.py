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
    """Times, ours / other, by case, for the README."""
    names = list(dict.fromkeys(_case(row).name for row in report["rows"]))
    lines = [
        caption(report),
        "",
        f"| mode | beside | {' | '.join(_heading(name) for name in names)} |",
        "|" + "---|" * (2 + len(names)),
    ]
    times: dict[tuple[str, str], dict[str, str]] = {}
    for row in report["rows"]:
        for other in _others(row):
            times.setdefault((_mode(row), other), {})[_case(row).name] = f"{_ratio(row['seconds'], other):.2f}"
    for (mode, other), found in times.items():
        lines.append(f"| {mode} | `{other}` | {' | '.join(found.get(name, '') for name in names)} |")
    return "\n".join(lines)


def memory_markdown(report: Row) -> str:
    """Peak memory beyond the inputs, in MB, and ours / other."""
    lines = ["| mode | case | gradients, MB | xentropy, MB | beside, MB | ratio |", "|---|---|---|---|---|---|"]
    for row in report["rows"]:
        if not row["bytes"]:
            continue
        size, found = _megabytes(_case(row).of_gradients), row["bytes"]
        for other in _others(row):
            beside = f"{_megabytes(found[other])} (`{other}`)"
            cells = (_mode(row), _heading(_case(row).name), size, _megabytes(found[OURS]), beside)
            lines.append(f"| {' | '.join(cells)} | {_ratio(found, other):.2f} |")
    return "\n".join(lines)


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
