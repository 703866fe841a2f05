"""The command line."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from xentropy.conventions.command import explain
from xentropy.parity import (
    arguments,
    baseline,
    comparison,
    comparison_report,
    discovery,
    files,
    loss_report,
    page,
    report,
)
from xentropy.parity.adapter import ParityAdapter
from xentropy.parity.ending import Ending
from xentropy.parity.families import FAMILIES, Family
from xentropy.parity.loss_command import Call, Held
from xentropy.parity.loss_conventions import Conventions
from xentropy.parity.losses.named import EXACT
from xentropy.parity.losses.tolerance import Tolerance
from xentropy.parity.matrix import Adapters, FamilyResult, run_family
from xentropy.parity.record import make_record

MISSED, USAGE = 1, 2
DISTRIBUTION = "xentropy-array"

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(explain)


@app.callback()
def xentropy() -> None:
    """One cross-entropy for every array library."""


@app.command()
def parity(
    context: typer.Context,
    loss: arguments.LossName = None,
    backends: Annotated[
        str | None, typer.Option(help="Names separated by commas; every installed one if left out.")
    ] = None,
    families: Annotated[str | None, typer.Option(help="Names separated by commas; all of them if left out.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random inputs.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", dir_okay=False, help="Write every number there.")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", dir_okay=False, help="Write a page of it there.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Write a few numbers of every case: a baseline.")
    ] = None,
    own: Annotated[bool, typer.Option(help="Save the frameworks' own losses, too.")] = True,
    compare: Annotated[
        Path | None, typer.Option(metavar="FILE", exists=True, dir_okay=False, help="Fail where numbers moved from it.")
    ] = None,
    bound: Annotated[float, typer.Option(min=0, metavar="ULP", help="How far they may move.")] = comparison.BOUND,
    strict: Annotated[
        bool, typer.Option("--strict", help="Compare frameworks' own losses in ulp of the number, not of its logits.")
    ] = False,
    show_list: Annotated[bool, typer.Option("--list", help="Print families and backends, and stop.")] = False,
    against: arguments.Against = EXACT,
    arrays: arguments.Arrays = None,
    against_arrays: arguments.AgainstArrays = None,
    targets_first: arguments.TargetsFirst = False,
    reduction: arguments.Reduction = "none",
    targets: arguments.Targets = "indices",
    probabilities: arguments.Probabilities = False,
    label_smoothing: arguments.LabelSmoothing = 0.0,
    ignore_index: arguments.IgnoreIndex = None,
    quantities: arguments.Quantities = None,
    ulp: arguments.Ulp = None,
    rtol: arguments.Rtol = None,
    atol: arguments.Atol = 0.0,
    examples: arguments.Examples = 70,
) -> None:
    """Compare every backend's loss and gradient with the exact values; or LOSS, a loss of your own, with another.

    Exit status: 0 when every bound is met, 1 when one is missed, a number moved or a backend does not load, 2 for a
    wrong call.
    """
    console = report.make_console()
    if show_list:
        console.print(report.listing(_titles(), _states()))
        return
    _check_call(context, loss)
    chosen = _choose_families(families)
    for file, option in ((json_file, "--json"), (html_file, "--html"), (save, "--save")):
        files.check_directory(file, option)
    with _refused(baseline.BaselineError, "--compare"):
        old = None if compare is None else baseline.load(compare, seed)
    start = time.perf_counter()
    call = None if loss is None else _call(console, context.params)
    if call is None:
        adapters = _adapters(console, backends)
    else:
        adapters, chosen = call.adapters(), _fitting(console, call, chosen, seed, required=families is not None)
    if old is not None:
        with _refused(baseline.BaselineError, "--compare"):
            baseline.check_losses(old, adapters)
    where = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, seed {seed}"
    console.print(report.header(where, adapters, _not_installed()))
    results = _run(console, chosen, adapters, seed)
    misses = [miss for result in results for miss in result.misses()]
    run = comparison.Run(
        results,
        baseline.measured(results),
        baseline.current_versions(adapters),
        families=[name for name in FAMILIES if name not in {family.name for family in chosen}],
        backends=None if backends is None and call is None else list(adapters),
    )
    strictly = strict or (call is not None and call.imported)
    compared = None if old is None else comparison.compare(old, run, bound, strict=strictly)
    if save is not None:
        baseline.save(save, seed, run.versions, run.numbers, own=own)
    seconds = time.perf_counter() - start
    console.print(Group("", Text(report.LEGEND, "dim"), "", report.verdict(results, misses, seconds)))
    if compared is not None:
        console.print(Group("", comparison_report.text(compared)))
    held = None if call is None else _hold(console, call, results, seed)
    ending = Ending(misses, compared, call, held)
    facts = {"xentropy": version(DISTRIBUTION), "seed": seed, "seconds": seconds}
    if html_file is not None:
        console.print(f"\nwriting {html_file}", style="dim")
        told = results, misses, adapters, _not_installed(), facts
        page.write(html_file, *told, failures=ending.failures(), held=ending.table())
    if json_file is not None:
        record = make_record(results, misses, adapters, _not_installed(), facts) | ending.record()
        files.write_json(json_file, record)
    raise typer.Exit(MISSED if ending.failed else 0)


def _check_call(context: typer.Context, loss: str | None) -> None:
    """Options that are about something which was not asked for."""
    given = {name for name in context.params if (s := context.get_parameter_source(name)) and s.name == "COMMANDLINE"}
    about = [
        *((name, "is about LOSS, and none is given") for name in arguments.NAMES if loss is None),
        *([] if loss is None else [("backends", "and LOSS exclude each other")]),
        *([] if "compare" in given else [("bound", "is about --compare"), ("strict", "is about --compare")]),
        *([] if "save" in given else [("own", "is about --save")]),
        *(
            []
            if ":" in context.params["against"]
            else [("against_arrays", "is about --against package.module:function")]
        ),
    ]
    for name, rule in about:
        if name in given:
            raise typer.BadParameter(rule, param_hint=f"--{name.replace('_', '-')}")


def _fitting(console: Console, call: Call, chosen: Sequence[Family], seed: int, *, required: bool) -> list[Family]:
    """The families that have cases of what the loss computes."""
    found = call.families(chosen, seed)
    names = {family.name for family in found}
    others = ", ".join(family.name for family in chosen if family.name not in names)
    if required and not found:
        raise typer.BadParameter(f"nothing in {others} is what LOSS computes", param_hint="--families")
    if others:
        console.print(f"left out, since LOSS computes something else: {others}", style="dim")
    return found


def _call(console: Console, given: Mapping[str, Any]) -> Call:
    """What the options of LOSS ask for."""
    console.print(f"loading {given['loss']}", style="dim")
    same = ("loss", "against", "arrays", "against_arrays", "targets_first", "reduction", "examples")
    with _wrong_call():
        return Call(
            **{name: given[name] for name in same},
            quantities=None if given["quantities"] is None else _names(given["quantities"]),
            tolerance=Tolerance(given["ulp"], given["rtol"], given["atol"]),
            conventions=Conventions(
                given["targets"], not given["probabilities"], given["label_smoothing"], given["ignore_index"]
            ),
        )


def _adapters(console: Console, backends: str | None) -> Mapping[str, ParityAdapter]:
    names = _choose_backends(backends)
    console.print(f"loading {', '.join(names)}", style="dim")
    return _load(names)


@contextmanager
def _wrong_call() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, discovery.AdapterError) as error:
        option, _, rest = str(error).partition(" ")
        hint, text = (option, rest) if option.startswith("--") else ("LOSS", str(error))
        raise typer.BadParameter(text, param_hint=hint) from error


def _hold(console: Console, call: Call, results: Sequence[FamilyResult], seed: int) -> list[Held]:
    console.print()
    console.print(loss_report.title(call))
    held = call.hold(results, seed)
    console.print(loss_report.table(held))
    # Not folded: there is a program in it.
    console.print(loss_report.ending(held), soft_wrap=True)
    return held


@contextmanager
def _refused(kind: type[Exception], option: str) -> Iterator[None]:
    """An error of this kind is about the option."""
    try:
        yield
    except kind as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _titles() -> dict[str, str]:
    return {name: family.title for name, family in FAMILIES.items()}


def _states() -> dict[str, str]:
    return {name: "installed" if discovery.is_installed(name) else "not installed" for name in discovery.registered()}


def _not_installed() -> list[str]:
    return [name for name, state in _states().items() if state != "installed"]


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]


def _choose_families(listed: str | None) -> list[Family]:
    names = list(FAMILIES) if listed is None else _names(listed)
    unknown = [name for name in names if name not in FAMILIES]
    if unknown or not names:
        wrong = ", ".join(unknown) or "an empty list"
        raise typer.BadParameter(
            f"no family is called {wrong}; there are {', '.join(FAMILIES)}", param_hint="--families"
        )
    return [FAMILIES[name] for name in dict.fromkeys(names)]


def _choose_backends(listed: str | None) -> list[str]:
    with _refused(discovery.UnknownBackendError, "--backends"):
        names = discovery.select(None if listed is None else _names(listed))
    if not names:
        raise typer.BadParameter("no backend to run", param_hint="--backends")
    return names


def _load(names: Sequence[str]) -> dict[str, ParityAdapter]:
    try:
        return {name: discovery.load(name) for name in names}
    except discovery.AdapterError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(MISSED) from error


def _run(console: Console, families: Sequence[Family], adapters: Adapters, seed: int) -> list[FamilyResult]:
    results = []
    with _progress(console, sum(len(family.cases(seed)) for family in families) * len(adapters)) as step:
        for number, family in enumerate(families, start=1):
            console.print()
            console.print(report.family_title(number, len(families), family.name, family.title))
            result = run_family(family, adapters, seed, step)
            console.print(report.family_table(result, list(adapters), show_header=number == 1))
            for note in report.notes(result, list(adapters)):
                console.print(note)
            results.append(result)
    return results


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """A bar under the tables on a terminal; in a log the families' titles are the progress."""
    if not console.is_terminal:
        yield lambda: None
        return
    columns: list[Any] = [TextColumn("measuring"), BarColumn(), TextColumn("{task.completed}/{task.total}")]
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)
