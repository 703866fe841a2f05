"""``xentropy explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from xentropy.conventions import discovery, report
from xentropy.conventions.measure import Finding, Inquiry
from xentropy.conventions.record import make_record
from xentropy.parity.files import check_directory, write_json
from xentropy.parity.report import make_console

FAILED = 1


def explain(
    name: Annotated[
        str | None, typer.Option("--framework", metavar="NAME", help="Whose losses; --list says which there are.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", dir_okay=False, help="Write every number there.")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Print the frameworks, and stop.")] = False,
) -> None:
    """Measure what a framework's own losses do, and print the call of ours that does the same.

    Exit status: 0 when every call was made, 1 when one could not be, 2 for a wrong call or a framework that is not
    installed.
    """
    console = make_console()
    if show_list:
        console.print(report.listing(discovery.states()))
        return
    check_directory(json_file, "--json")
    try:
        framework = discovery.load(name)
        versions = discovery.versions(framework)
    except discovery.UnavailableError as error:
        raise typer.BadParameter(str(error), param_hint="--framework") from error
    except discovery.ProbesError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(FAILED) from error
    report.introduce(console, framework, versions)
    findings = _shown(console, Inquiry(framework))
    if json_file is not None:
        write_json(json_file, make_record(str(name), framework, versions, findings))
    console.print()
    console.print(report.verdict(findings))
    raise typer.Exit(FAILED if any(finding.fault for finding in findings) else 0)


def _shown(console: Console, inquiry: Inquiry) -> list[Finding]:
    findings: list[Finding] = []
    for finding in inquiry.findings():
        first = not findings or findings[-1].probe.convention != finding.probe.convention
        report.show(console, finding, first=first)
        findings.append(finding)
    return findings
