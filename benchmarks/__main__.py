"""The command: runs every comparison in processes of its own and prints, writes and draws what they found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from benchmarks import worker
from benchmarks.cases import CASES, Case, named
from benchmarks.contender import BACKWARD, DROP_IN, FLOOR, FORWARD
from benchmarks.libraries import installed
from benchmarks.linear.command import app as linear
from benchmarks.parts.command import app as parts
from benchmarks.process import HERE, printed

# Large enough for the logits to stand out, and a process each.
MEASURED_IN_BYTES = ("1024x32000", "1024x32000-bfloat16")

app = typer.Typer(add_completion=False, help="Time and memory of every mode, beside the framework's own loss.")
app.add_typer(linear, name="linear")
app.add_typer(parts, name="parts")


@app.command()
def run(
    libraries: Annotated[str, typer.Option(help="Names with commas; those that are installed, by default.")] = "",
    cases: Annotated[str, typer.Option(help="Names with commas, such as 32x10,1024x32000-bfloat16.")] = "",
    seconds: Annotated[float, typer.Option(help="How long each case is repeated, at least.")] = 2.0,
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures go.")] = HERE / "results.json",
) -> None:
    """Measure, print the table, write the figures and draw the picture."""
    from benchmarks import picture, table  # noqa: PLC0415  (what the workers need not import)
    from benchmarks.stamp import stamp  # noqa: PLC0415

    chosen = libraries.split(",") if libraries else installed()
    which = [named(name) for name in cases.split(",")] if cases else list(CASES)
    comparisons = [
        (library, mode, direction)
        for library in chosen
        for mode in worker.module(library).MODES
        for direction in (FORWARD, BACKWARD)
    ]
    console = Console(stderr=True)
    packages = [package for library in chosen for package in worker.module(library).PACKAGES]
    rows: list[dict[str, Any]] = []
    report = {**stamp(packages), "rows": rows}
    for comparison in track(comparisons, "Measuring", console=console):
        rows += _measured(*comparison, which, seconds)
        # After each: what was measured stays where the rest is given up.
        json_path.write_text(json.dumps(report, indent=1) + "\n")
    Console().print(table.rendered(report))
    picture.draw(report, json_path.with_suffix(".svg"))


@app.command()
def measure(
    library: str, mode: str, direction: str, cases: str, who: str = "", seconds: float = worker.SECONDS
) -> None:
    """One mode in this process, a line of JSON for each case: times, or the memory of one contender."""
    for case in cases.split(","):
        worker.run(library, mode, direction, named(case), who or None, seconds)


@app.command(name="table")
def show(json_path: Path = HERE / "results.json") -> None:
    """The tables of figures that were written before, in Markdown."""
    from benchmarks import table  # noqa: PLC0415

    report = json.loads(json_path.read_text())
    typer.echo(f"{table.markdown(report)}\n\n{table.memory_markdown(report)}")


def _measured(library: str, mode: str, direction: str, cases: list[Case], seconds: float) -> Iterator[dict[str, Any]]:
    """Times of everybody, in one process; and the memory of ours and the peer, each in a fresh one."""
    names = ",".join(case.name for case in cases)
    rows = printed("measure", library, mode, direction, names, "--seconds", str(seconds))
    for case, row in zip(cases, rows, strict=True):
        compared = [who for who in row["seconds"] if who not in (FLOOR, DROP_IN)]
        row["bytes"] = {}
        if case.name in MEASURED_IN_BYTES:
            for who in compared:
                (found,) = printed("measure", library, mode, direction, case.name, "--who", who)
                row["bytes"][who] = found["bytes"]
        if compared:
            yield row


if __name__ == "__main__":
    app()
