"""``python -m benchmarks parts``: starts the processes and prints what they found."""

from __future__ import annotations

import json
import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

import typer

from benchmarks.parts import worker
from benchmarks.parts.arithmetic import lines
from benchmarks.parts.contenders import CONTENDERS

app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context, rows: int = 1024, classes: int = 32_000, processes: int = 2, seconds: float = 10.0
) -> None:
    """Forward and backward of ROWS x CLASSES float32 logits, of which each of some processes has a slice."""
    if context.invoked_subcommand:
        return
    own = classes // processes
    found = _together(processes, rows, own, "", seconds)
    typer.echo(f"| {rows} x {classes}, {processes} processes | time | peak memory | exchanges | bytes a row |")
    typer.echo("|---|---|---|---|---|")
    fastest = found["seconds"]["xentropy"]
    for who in CONTENDERS:
        peak = _together(processes, rows, own, who, seconds) / (rows * own * 4)
        calls, sent = found["exchanged"][who]["calls"], found["exchanged"][who]["bytes"]
        time = found["seconds"][who]
        took = f"{1e3 * time:.1f} ms ({time / fastest:.2f})"
        typer.echo(f"| {who} | {took} | {peak:.2f} of its logits | {calls} | {sent / rows:.1f} |")


@app.command()
def arithmetic() -> None:
    """What a large vocabulary over many devices costs, in Markdown."""
    typer.echo("\n".join(lines()))


def _together(processes: int, rows: int, classes: int, who: str, seconds: float) -> Any:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting, out = (Path(folder) / "meeting").as_uri(), str(Path(folder) / "found")
        started = [
            context.Process(target=worker.measure, args=(i, processes, meeting, rows, classes, who, seconds, out))
            for i in range(processes)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join()
        return json.loads(Path(out).read_text())
