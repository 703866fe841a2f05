"""The command: times in a process a mode, memory in a process each; prints, writes and draws what they found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from benchmarks.libraries import installed
from benchmarks.linear import worker
from benchmarks.linear.cases import CASES, LADDER, LinearCase, named
from benchmarks.process import HERE, printed

app = typer.Typer(add_completion=False, help="The linear loss beside the framework's loss of all the logits.")
Row = dict[str, Any]


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    libraries: Annotated[str, typer.Option(help="Names with commas; those that are installed, by default.")] = "",
    cases: Annotated[str, typer.Option(help="Names with commas, such as 64x16x1000,64x16x1000-bfloat16.")] = "",
    up_to: Annotated[int, typer.Option(help="The most rows of the memory that is drawn.")] = LADDER[-1].rows,
    seconds: Annotated[float, typer.Option(help="How long each case is repeated, at least.")] = 4.0,
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures go.")] = HERE / "linear.json",
) -> None:
    """Measure, print the table, write the figures and draw the picture."""
    if context.invoked_subcommand:
        return
    from benchmarks.linear import picture, table  # noqa: PLC0415  (what the workers need not import)
    from benchmarks.stamp import stamp  # noqa: PLC0415

    chosen = libraries.split(",") if libraries else installed()
    which = [named(name) for name in cases.split(",")] if cases else CASES
    console = Console(stderr=True)
    rows: list[Row] = []
    points: list[Row] = []
    packages = [package for library in chosen for package in worker.module(library).PACKAGES]
    report = {**stamp(packages), "rows": rows, "points": points}
    modes = [(library, mode) for library in chosen for mode in worker.module(library).MODES]
    for library, mode in track(modes, "Measuring", console=console):
        rows += _measured(library, mode, which, seconds)
        # After each: what was measured stays where the rest is given up.
        json_path.write_text(json.dumps(report, indent=1) + "\n")
    for library in track(chosen, "Memory by rows", console=console):
        points += _climbed(library, [case for case in LADDER if case.rows <= up_to])
        json_path.write_text(json.dumps(report, indent=1) + "\n")
    Console().print(table.rendered(report))
    if points:
        picture.draw(report, json_path.with_name(f"{json_path.stem}-memory.svg"))


@app.command()
def measure(library: str, mode: str, cases: str, who: str = "", seconds: float = 0.0) -> None:
    """One mode in this process, a line of JSON for each case: times, or the memory of one contender."""
    for given in json.loads(cases):
        case = LinearCase(**given)
        found: Row = {"bytes": worker.memory(library, mode, case, who)} if who else {}
        typer.echo(json.dumps(found or worker.time(library, mode, case, seconds)))


@app.command(name="table")
def show(json_path: Path = HERE / "linear.json") -> None:
    """The figures that were written before, in Markdown."""
    from benchmarks.linear import table  # noqa: PLC0415

    report = json.loads(json_path.read_text())
    typer.echo(table.markdown(report))


def _measured(library: str, mode: str, cases: Sequence[LinearCase], seconds: float) -> Iterator[Row]:
    """Times of everybody, in one process; and the memory of each."""
    rows = printed("linear", "measure", library, mode, _written(cases), "--seconds", str(seconds))
    # Ignored rows are no matter of memory.
    of_memory = [case for case in cases if not case.ignored]
    found = {one.who: _memory(library, mode, of_memory, one.who) for one in worker.contenders(library, mode)}
    for case, row in zip(cases, rows, strict=True):
        row["bytes"] = {} if case.ignored else {who: found[who][case] for who in row["seconds"]}
        if row["seconds"]:
            yield row


def _climbed(library: str, cases: Sequence[LinearCase]) -> Iterator[Row]:
    """The memory of ours and of the loss of all the logits, in the mode that comes first."""
    mode = worker.module(library).MODES[0]
    ours, dense, *_ = worker.contenders(library, mode)
    found = {one.who: _memory(library, mode, cases, one.who) for one in (ours, dense)}
    for case in cases:
        sizes = {who: found[who][case] for who in found}
        yield {"library": library, "mode": mode, "case": asdict(case), "bytes": sizes}


def _memory(library: str, mode: str, cases: Sequence[LinearCase], who: str) -> dict[LinearCase, int | None]:
    """Of one contender in a fresh process; in one for each case where memory is kept from case to case."""
    apart = [[case] for case in cases] if worker.module(library).KEEPS else [cases]
    rows = [row for some in apart for row in printed("linear", "measure", library, mode, _written(some), "--who", who)]
    return {case: row["bytes"] for case, row in zip(cases, rows, strict=True)}


def _written(cases: Sequence[LinearCase]) -> str:
    return json.dumps([asdict(case) for case in cases])
