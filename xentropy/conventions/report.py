"""The findings on the terminal: 80 columns, coloured where there is somebody to see colours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from xentropy.conventions.measure import Finding
from xentropy.conventions.outcome import digits_apart, ulps
from xentropy.conventions.probe import QUESTIONS, Framework

_LABEL = 9


def header(framework: Framework, versions: Mapping[str, str]) -> Text:
    """Whose losses, which versions, and the code that every probe begins with."""
    installed = ", ".join(f"{name} {version}" for name, version in versions.items())
    text = Text(f"What the losses of {framework.losses} do, measured on\n{installed}")
    text.append(f"; {framework.note}" if framework.note else "")
    text.append("\n\nBefore each call:\n\n")
    text.append(_indented(framework.own, framework.arrays), "cyan")
    if framework.drop_in:
        text.append("\n\nThe drop-in, which says the same where nothing is said of it, has instead\n\n")
        text.append(_indented(framework.drop_in), "cyan")
    return text


def show(console: Console, finding: Finding, *, first: bool) -> None:
    """One finding; the first of a convention has its question above it."""
    probe = finding.probe
    console.print()
    if first:
        console.print(Text.assemble((probe.convention, "bold"), ("  " + QUESTIONS[probe.convention], "dim")))
    if probe.case:
        console.print(Text(f"  {probe.case}"))
    for label, text in _lines(finding):
        for number, line in enumerate(text.wrap(console, console.width - _LABEL - 1)):
            line.rstrip()
            console.print(Text.assemble((f"{'' if number else label:>{_LABEL}} ", "dim"), line))


def verdict(findings: Sequence[Finding]) -> Text:
    """The last lines: how many answers were found, and where the drop-in says something else."""
    alone = [finding for finding in findings if not finding.answer and not finding.fault]
    differing = [finding for finding in findings if finding.drop_in and finding.drop_in_ulp is None]
    faults = [finding for finding in findings if finding.fault]
    text = Text(f"{len(findings)} calls; nothing of ours does what {len(alone)} of them do")
    if any(finding.drop_in for finding in findings):
        text.append(f"; the drop-in differs in {len(differing)}")
    text.append("\n")
    if faults:
        text.append("FAILED", "bold red").append(f"  probes that could not be run: {len(faults)}")
    else:
        text.append("DONE", "bold green").append("  every call was made and compared in this run")
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


def _indented(*sources: str) -> str:
    return "\n".join(f"    {line}" for source in sources for line in source.strip().splitlines())
