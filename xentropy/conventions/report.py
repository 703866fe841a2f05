"""The findings on the terminal: 80 columns, coloured where there is somebody to see colours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from xentropy.conventions.measure import Finding
from xentropy.conventions.outcome import digits_apart, ulps
from xentropy.conventions.probe import QUESTIONS, Framework

_LABEL = 9
_OWN = """\
Every call follows these lines, and starts from the arrays that they make: one
that is made anew above a call is for that call and those of ours below it."""
_DROP_IN = """\
Every call follows the lines of "own" and "both", and starts from the arrays
that they make: one that is made anew above a call is for that call and those of
ours below it. The drop-in is asked the same after its lines; where nothing is
said of it, it says what the framework says."""


def listing(states: Mapping[str, str]) -> Text:
    """What ``--list`` prints."""
    width = max((len(name) for name in states), default=0)
    return Text("\n".join(f"{name:<{width}}  {state}" for name, state in states.items()))


def introduce(console: Console, framework: Framework, versions: Mapping[str, str]) -> None:
    """Whose losses, which versions, and the code that every call follows."""
    installed = ", ".join(f"{name} {version}" for name, version in versions.items())
    note = f"; {framework.note}" if framework.note else ""
    console.print(Text(f"What the losses of {framework.losses} do, measured on\n{installed}{note}\n"))
    console.print(Text(_DROP_IN if framework.drop_in else _OWN))
    for label, code in (("own", framework.own), ("drop-in", framework.drop_in), ("both", framework.arrays)):
        if code:
            _entry(console, label, Text(code.rstrip(), "cyan"))


def show(console: Console, finding: Finding, *, first: bool) -> None:
    """One finding; the first of a convention has its question above it."""
    probe = finding.probe
    console.print()
    if first:
        console.print(Text.assemble((probe.convention, "bold"), "\n", (QUESTIONS[probe.convention], "dim")))
    if probe.case:
        console.print(Text(f"  {probe.case}"))
    for label, text in _lines(finding):
        _entry(console, label, text)


def verdict(findings: Sequence[Finding]) -> Text:
    """The last lines: how many answers were found, and where the drop-in says something else."""
    compared = [finding for finding in findings if finding.trials and not finding.fault]
    alone = [finding for finding in compared if not finding.answer]
    differing = [finding for finding in findings if finding.drop_in and finding.drop_in_ulp is None]
    faults = [finding for finding in findings if finding.fault]
    text = Text(f"{len(findings)} calls; nothing of ours does what {len(alone)} of them do")
    if any(finding.drop_in for finding in findings):
        text.append(f"; the drop-in differs in {len(differing)}")
    text.append("\n")
    if faults:
        text.append("FAILED", "bold red").append(f"  probes that could not be run: {len(faults)}")
    else:
        shown = len(findings) - len(compared)
        told = f"in this run; compared: {len(compared)}, only shown: {shown}" if shown else "and compared in this run"
        text.append("DONE", "bold green").append(f"  every call was made {told}")
    return text


def _lines(finding: Finding) -> Iterator[tuple[str, Text]]:
    """Labels, and what they are the labels of."""
    probe, theirs, right, drop_in = finding.probe, finding.theirs, finding.right, finding.drop_in
    yield "call", Text("\n".join(line for line in (probe.given, probe.call) if line), "cyan")
    if finding.fault:
        yield "FAILED", Text(finding.fault, "bold red")
        return
    nearest = finding.nearest
    digits = digits_apart(theirs, nearest.outcome) if nearest and nearest.outcome else 4
    yield "gives", Text(theirs.text(digits))
    for warning in theirs.warned:
        yield "warns", Text(warning, "yellow")
    if right:
        yield "means", Text(right.answer, "bold")
        if right.ours:
            yield "ours", Text(right.ours, "cyan")
            yield "", Text("raises the same" if theirs.error else f"agrees {ulps(right.ulp or 0.0)}", "green")
    elif finding.trials:
        yield "", Text("nothing of ours does this", "yellow")
    if nearest and nearest.outcome:
        yield "ours", Text(nearest.ours, "cyan")
        yield "gives", Text(nearest.outcome.text(digits))
    if drop_in and finding.drop_in_ulp is None:
        yield "drop-in", Text(drop_in.text(digits_apart(theirs, drop_in)), "yellow")


def _entry(console: Console, label: str, text: Text) -> None:
    for number, line in enumerate(text.wrap(console, console.width - _LABEL - 1)):
        line.rstrip()
        console.print(Text.assemble((f"{'' if number else label:>{_LABEL}} ", "dim"), line))
