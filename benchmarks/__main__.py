"""The command: runs every comparison in processes of its own and prints, writes and draws what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from benchmarks import worker
from benchmarks.cases import CASES, Case, named
from benchmarks.contender import BACKWARD, FLOOR, FORWARD

LIBRARIES = ("torch", "jax", "tensorflow", "numpy")
NEEDS = {"torch": "torch", "jax": "optax", "tensorflow": "tensorflow", "numpy": "scipy"}
HERE = Path(__file__).parent

app = typer.Typer(add_completion=False, help="Time and memory of every mode, beside the framework's own loss.")


@app.command()
def run(
    libraries: Annotated[str, typer.Option(help="Names with commas; those that are installed, by default.")] = "",
    cases: Annotated[str, typer.Option(help="Names with commas, such as 32x10,1024x32000-bfloat16.")] = "",
    seconds: Annotated[float, typer.Option(help="How long each comparison is repeated, at least.")] = 2.0,
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures go.")] = HERE / "results.json",
) -> None:
    """Measure, print the table, write the figures and draw the picture."""
    from benchmarks import picture, table  # noqa: PLC0415  (what the workers need not import)
    from benchmarks.stamp import stamp  # noqa: PLC0415

    chosen = libraries.split(",") if libraries else [name for name in LIBRARIES if find_spec(NEEDS[name])]
    which = [named(name) for name in cases.split(",")] if cases else list(CASES)
    comparisons = [
        (library, mode, direction, case)
        for library in chosen
        for mode in _module(library).MODES
        for direction in (FORWARD, BACKWARD)
        for case in which
    ]
    rows = [
        row for c in track(comparisons, "Measuring", console=Console(stderr=True)) if (row := _measured(*c, seconds))
    ]
    packages = [package for library in chosen for package in _module(library).PACKAGES]
    report = {**stamp(packages), "rows": rows}
    json_path.write_text(json.dumps(report, indent=1) + "\n")
    Console().print(table.rendered(report))
    picture.draw(report, json_path.with_suffix(".svg"))


@app.command()
def measure(library: str, mode: str, direction: str, case: str, who: str = "", seconds: float = worker.SECONDS) -> None:
    """One comparison in this process, as JSON: time, or the memory of one contender."""
    worker.run(library, mode, direction, named(case), who or None, seconds)


@app.command(name="table")
def show(json_path: Path = HERE / "results.json") -> None:
    """The table of figures that were written before, in Markdown."""
    from benchmarks import table  # noqa: PLC0415

    typer.echo(table.markdown(json.loads(json_path.read_text())))


def _module(library: str) -> Any:
    return import_module(f"benchmarks.libraries.{library}_")


def _measured(library: str, mode: str, direction: str, case: Case, seconds: float) -> dict[str, Any] | None:
    """Times of everybody, and the memory of those that are compared, each in a fresh process."""
    row = _worker(library, mode, direction, case.name, "--seconds", str(seconds))
    if len(row["seconds"]) < 2:
        return None
    compared = [who for who in row["seconds"] if who != FLOOR]
    large = case.rows * case.classes >= 1 << 24
    row["bytes"] = {
        who: _worker(library, mode, direction, case.name, "--who", who)["bytes"] for who in compared if large
    }
    return row


def _worker(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks", "measure", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parent)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    app()
