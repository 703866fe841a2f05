"""Time over the floor by number of classes, forward and backward, one panel a library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.cases import Case
from benchmarks.contender import BACKWARD, DROP_IN, FLOOR, OURS
from benchmarks.table import TITLES

LINES = {"eager": "-", "un-jitted": ":", "compile": "--", "jit": "-", "tf.function": "--", "XLA": ":", "NumPy": "-"}


def draw(report: dict[str, Any], path: Path) -> None:
    """Draw the rows of class indices in float32."""
    # The same figures give the same file.
    mpl.rcParams["svg.hashsalt"] = "xentropy"
    mpl.rcParams["svg.fonttype"] = "none"
    libraries = list(dict.fromkeys(row["library"] for row in report["rows"]))
    figure = Figure(figsize=(3.0 * len(libraries) + 0.6, 3.4), layout="constrained")
    axes = figure.subplots(1, len(libraries), squeeze=False, sharey=True)[0]
    for panel, library in zip(axes, libraries, strict=True):
        _panel(panel, library, [row for row in report["rows"] if row["library"] == library and _is_plain(row)])
    axes[0].set_ylabel("time / time to read the logits\nand write a gradient")
    figure.savefig(path, metadata={"Date": None})


def _is_plain(row: dict[str, Any]) -> bool:
    case = Case(**row["case"])
    return row["direction"] == BACKWARD and case.plain and case.classes >= 1000


def _panel(axes: Axes, library: str, rows: list[dict[str, Any]]) -> None:
    for mode in dict.fromkeys(row["mode"] for row in rows):
        of_mode = [row for row in rows if row["mode"] == mode]
        for who in of_mode[0]["seconds"]:
            if who in (FLOOR, DROP_IN):
                continue
            classes = [row["case"]["classes"] for row in of_mode]
            over = [row["seconds"][who] / row["seconds"][FLOOR] for row in of_mode]
            colour = "C0" if who == OURS else "C1"
            axes.plot(classes, over, LINES[mode], marker=".", color=colour, label=f"{who}, {mode}")
    axes.set(title=TITLES[library], xlabel="classes", xscale="log", yscale="log")
    axes.legend(fontsize="x-small", frameon=False)
    axes.grid(alpha=0.3)
