"""The figures as a table: for the terminal, and for the README."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from benchmarks.cases import SIZES, Case
from benchmarks.contender import DROP_IN, FLOOR, OURS

Row = dict[str, Any]
TITLES = {"torch": "PyTorch", "jax": "JAX", "tensorflow": "TensorFlow", "numpy": "NumPy"}
HEAD = ("mode", "case", "ours, ms", "peer, ms", "ours / peer", "drop-in / peer", "floor, ms", "memory", "first call, s")


def rendered(report: Row) -> Table:
    """All rows, for the terminal."""
    table = Table(*HEAD, title=caption(report), title_justify="left")
    for row in report["rows"]:
        table.add_row(*_cells(row))
    return table


def caption(report: Row) -> str:
    """Where, when and with what."""
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    return f"{report['cpu']}, Python {report['python']}, {report['day']}; {versions}"


def markdown(report: Row) -> str:
    """Ratios ours / peer of the plain cases by size, for the README."""
    sizes = [Case(*size).name for size in SIZES]
    lines = [
        caption(report),
        "",
        "| mode | " + " | ".join(size.replace("x", " x ") for size in sizes) + " |",
        "|" + "---|" * (1 + len(sizes)),
    ]
    for name, cells in _by_mode(report):
        lines.append(f"| {name} | " + " | ".join(cells.get(size, "") for size in sizes) + " |")
    return "\n".join(lines)


def _by_mode(report: Row) -> Iterator[tuple[str, dict[str, str]]]:
    modes: dict[str, dict[str, str]] = {}
    for row in report["rows"]:
        case = Case(**row["case"])
        if case.plain:
            modes.setdefault(_mode(row), {})[case.name] = f"{_ratio(row, OURS):.2f}"
    yield from modes.items()


def memory_markdown(report: Row) -> str:
    """Peak memory beyond the inputs, in sizes of the logits, ours and the peer's."""
    rows = [row for row in report["rows"] if row["bytes"]]
    lines = ["| mode | case | xentropy | the framework's own |", "|---|---|---|---|"]
    for row in rows:
        ours, other = _sizes(row)
        lines.append(f"| {_mode(row)} | {Case(**row['case']).name} | {ours:.2f} | {other:.2f} |")
    return "\n".join(lines)


def _mode(row: Row) -> str:
    title = "NumPy" if row["library"] == "numpy" else f"{TITLES[row['library']]} {row['mode']}"
    return f"{title}, {row['direction']}"


def peer(row: Row) -> str:
    """The name of the one that is neither ours nor the floor."""
    return next(who for who in row["seconds"] if who not in (OURS, DROP_IN, FLOOR))


def _ratio(row: Row, who: str) -> float:
    return float(row["seconds"][who] / row["seconds"][peer(row)])


def _cells(row: Row) -> Iterator[str]:
    seconds, other = row["seconds"], peer(row)
    yield _mode(row)
    yield Case(**row["case"]).name
    yield f"{1e3 * seconds[OURS]:.3g}"
    yield f"{1e3 * seconds[other]:.3g} ({other})"
    yield f"{_ratio(row, OURS):.2f}"
    yield f"{_ratio(row, DROP_IN):.2f}" if DROP_IN in seconds else ""
    yield f"{1e3 * seconds[FLOOR]:.3g}"
    yield _memory(row)
    yield f"{row['first_call'][OURS]:.2f} ({row['first_call'][other]:.2f})"


def _memory(row: Row) -> str:
    return "{:.2f} ({:.2f})".format(*_sizes(row)) if row["bytes"] else ""


def _sizes(row: Row) -> tuple[float, float]:
    """Peaks beyond the inputs, in the size of the logits: ours and the peer's."""
    case = Case(**row["case"])
    logits = case.rows * case.classes * (2 if case.dtype == "bfloat16" else 4)
    return row["bytes"][OURS] / logits, row["bytes"][peer(row)] / logits
