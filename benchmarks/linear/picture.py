"""Peak memory against the number of rows: ours, and the same library's loss of all the logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.contender import OURS
from benchmarks.linear.cases import LinearCase
from benchmarks.table import TITLES


def draw(report: dict[str, Any], path: Path) -> None:
    """Draw the points of all libraries into one panel, and the size of the gradients."""
    # The same figures give the same file.
    mpl.rcParams["svg.hashsalt"] = "xentropy"
    mpl.rcParams["svg.fonttype"] = "none"
    points = report["points"]
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, library in enumerate(dict.fromkeys(point["library"] for point in points)):
        of_library = [point for point in points if point["library"] == library]
        rows = [point["case"]["rows"] for point in of_library]
        for who in of_library[0]["bytes"]:
            label = f"{TITLES[library]}, {who if who == OURS else f'all logits ({who})'}"
            sizes = [point["bytes"][who] / 1e6 for point in of_library]
            axes.plot(rows, sizes, "-" if who == OURS else "--", marker=".", color=f"C{number}", label=label)
    cases = [LinearCase(**point["case"]) for point in points if point["library"] == points[0]["library"]]
    sizes = [case.of_gradients / 1e6 for case in cases]
    rows = [case.rows for case in cases]
    axes.plot(rows, sizes, ":", color="black", label="the gradients of hidden and weight")
    axes.set(xlabel="rows", ylabel="peak memory of loss and gradients, MB", xscale="log", yscale="log")
    axes.set_xticks(rows, [str(count) for count in rows])
    axes.minorticks_off()
    axes.set_title(f"{cases[0].features} features, {cases[0].classes:,} classes, float32", fontsize="medium")
    axes.legend(fontsize="x-small", frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
