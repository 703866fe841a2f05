"""The report on the terminal: 80 columns, coloured where there is somebody to see colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xentropy.parity.adapter import ParityAdapter
from xentropy.parity.judge import Worst, spread_bound
from xentropy.parity.matrix import Entry, FamilyResult, Miss, Spread

WIDTH = 80
NONE = "-"

LEGEND = """\
ulp       largest error, in units in the last place of the exact value
of bound  largest error as a part of its row's bound: 4 ulp, and one more for
          each unit between the largest and smallest logit that count; 1 ulp
          with precision='float64'; half-precision gradients, one rounding more
else      largest error of the other gradient entries, absolute; its bound is
          4e-7 (7.5e-16 in float64) times the row's weight and, of a
          probability p, 1/p; in half precision half an ulp more; of a linear
          loss, the gradients of hidden, weight and bias, and 2^-24 of each
          sum of absolute values times 2 (4 + range of logits) + terms
own       the framework's own loss on the same input, in the same ulp
spread    largest distance between backends: 4 ulp at most (8 in float64), and
          with precision='float64' not one bit"""

_COLUMNS = (
    ("", 14),
    ("loss\nulp", 6),
    ("\nof bound", 8),
    ("gradient\nulp", 8),
    ("\nof bound", 8),
    ("\nelse", 7),
    ("own loss\nulp", 8),
    ("own grad\nulp", 8),
)


def make_console() -> Console:
    """A console of at most 80 columns; where nobody watches, exactly 80 and without colours."""
    console = Console(highlight=False, soft_wrap=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


def header(where: str, adapters: Mapping[str, ParityAdapter], missing: Sequence[str]) -> Text:
    """The first lines: what is compared, and what is not there to be compared."""
    text = Text(f"xentropy against the exact values: {where}\n")
    first = max(_COLUMNS[0][1], *(len(name) + 3 for name in [*adapters, *missing]))
    second = max(len(adapter.version) for adapter in adapters.values())
    for name, adapter in adapters.items():
        own = f"own loss: {adapter.native_name}" if adapter.native_name else "no loss of its own"
        text.append(f"{'  ' + name:<{first}}{adapter.version:<{second}}  {own}\n")
    for name in missing:
        text.append(f"{'  ' + name:<{first}}not installed\n", "yellow")
    text.rstrip()
    return text


def family_title(number: int, total: int, name: str, title: str) -> Text:
    """The line that announces a family."""
    return Text.assemble((f"[{number:>{len(str(total))}}/{total}] ", "dim"), (name, "bold"), f"  {title}")


def family_table(result: FamilyResult, backends: Sequence[str], *, show_header: bool) -> Table:
    """One row a backend and one for the spread."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=show_header, header_style="bold")
    for heading, width in _COLUMNS:
        table.add_column(heading, width=width, justify="right" if heading else "left", no_wrap=True)
    for name in backends:
        own = [case.ours[name] for case in result.cases]
        peers = [case.native[name] for case in result.cases]
        table.add_row(f"  {name}", *_cells(own, peers))
    if len(backends) > 1:
        spreads = [case.spread for case in result.cases]
        native = [case.native_spread for case in result.cases]
        precise = all(case.case.precision for case in result.cases)
        allowed = max(spread_bound(case.case) for case in result.cases)
        cells = _spread_cells(spreads, native, None if precise else allowed)
        table.add_row("  spread", *cells, style="dim" if not precise else "")
    return table


def notes(result: FamilyResult, backends: Sequence[str]) -> list[Text]:
    """What the table cannot say: calls that were not made, calls that failed, and the examples' numbers."""
    lines = []
    for name in backends:
        entries = {case.case.name: case.ours[name] for case in result.cases}
        skipped = {entry.skipped for entry in entries.values() if entry.skipped}
        lines += [Text(f"  {name} left out: {reason}", "yellow") for reason in sorted(skipped)]
        examples = [entry.example for entry in entries.values() if entry.example]
        if examples:
            kinds = sorted({entry.array_type.rpartition(".")[2] for entry in entries.values()})
            lines.append(Text(f"{'  ' + name:<{_COLUMNS[0][1]}} {'  '.join(examples)}   {', '.join(kinds)}"))
        failed = {entry.fault for case in result.cases if (entry := case.native[name]).fault}
        lines += [Text(f"  {name}'s own loss failed: {fault}", "yellow") for fault in sorted(failed)]
    return lines


def verdict(results: Sequence[FamilyResult], misses: Sequence[Miss], seconds: float) -> Text:
    """The last lines: how far apart backends are, every missed bound in words, and yes or no."""
    text = _distances(results)
    for miss in misses:
        text.append(f"  {miss.family}/{miss.case}, {miss.backend}: {miss.what}\n")
        text.append(f"      {miss.numbers}\n" if miss.numbers else "", "dim")
    cases = sum(len(result.cases) for result in results)
    measured = f"cases: {cases}; families: {len(results)}; {seconds:.0f} s"
    if misses:
        text.append("FAIL", "bold red").append(f"  bounds missed: {len(misses)}; {measured}")
    else:
        text.append("PASS", "bold green").append(f"  every bound met; {measured}")
    return text


def _distances(results: Sequence[FamilyResult]) -> Text:
    ours = _largest(case.spread.loss for result in results for case in result.cases)
    native = _largest(case.native_spread.loss for result in results for case in result.cases)
    text = Text()
    if ours is not None:
        text.append(f"Backends are up to {number(ours)} ulp apart in a loss")
        text.append("" if native is None else f"; the frameworks' own losses, {number(native)}")
        text.append(".\n")
    return text


def listing(families: Mapping[str, str], backends: Mapping[str, str]) -> Table:
    """What ``--list`` prints."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_row(Text("families", "bold"), "")
    for name, title in families.items():
        table.add_row(f"  {name}", title)
    table.add_row(Text("backends", "bold"), "")
    for name, state in backends.items():
        table.add_row(f"  {name}", state)
    return table


def number(value: float) -> str:
    """At most six characters: 0.52, 12.3, 1234, 1.7e7, inf."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if 0.01 <= value < 10:
        return f"{value:.2f}"
    if 10 <= value < 1000:
        return f"{value:.1f}" if value < 100 else f"{value:.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _cells(own: Sequence[Entry], peers: Sequence[Entry]) -> list[Text]:
    loss = [entry.judgement.loss for entry in own]
    label = [entry.judgement.label for entry in own]
    elsewhere = _present(one for entry in own for one in (entry.judgement.elsewhere, entry.judgement.products))
    failed = any(entry.fault for entry in own)
    cells = [_error(loss), _share(loss, failed), _error(label), _share(label, False)]
    worst = max(elsewhere, key=lambda one: one.share, default=None)
    cells.append(Text(NONE) if worst is None else judged(number(worst.error), worst.share <= 1))
    return [
        *cells,
        _error(entry.judgement.loss for entry in peers),
        _error(entry.judgement.label for entry in peers),
    ]


def _present(many: Iterable[Worst | None]) -> list[Worst]:
    return [one for one in many if one is not None]


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _error(many: Iterable[Worst | None]) -> Text:
    present = _present(many)
    if any(one.nan for one in present):
        return Text("nan")
    largest = _largest(one.error for one in present)
    return Text(NONE if largest is None else number(largest))


def _share(many: Iterable[Worst | None], failed: bool) -> Text:
    if failed:
        return judged("FAILED", False)
    largest = _largest(one.share for one in _present(many))
    if largest is None:
        return Text(NONE)
    percent = f"{math.ceil(100 * largest)}%" if math.isfinite(largest) else "MISSED"
    return judged(percent, largest <= 1)


def judged(text: str, met: bool) -> Text:
    """Green where the bound is met; red, and with a mark where colours are not seen."""
    return Text(text if met or not text.endswith("%") else f"{text}!", "green" if met else "bold red")


def _spread_cells(ours: Sequence[Spread], native: Sequence[Spread], allowed: float | None) -> list[Text]:
    """Distances in parts of what is allowed; None where not one bit may differ."""
    cells: list[Text] = []
    for largest in (_largest(one.loss for one in ours), _largest(one.label for one in ours)):
        share = Text(NONE)
        if largest is not None and allowed is not None:
            share = judged(_percent(largest / allowed), largest <= allowed)
        cells += [Text(NONE if largest is None else number(largest)), share]
    identical = all(one.identical for one in ours)
    cells.append(judged("same" if identical else "DIFFER", identical) if allowed is None else Text(""))
    for largest in (_largest(one.loss for one in native), _largest(one.label for one in native)):
        cells.append(Text(NONE if largest is None else number(largest)))
    return cells


def _percent(share: float) -> str:
    return f"{math.ceil(100 * share)}%" if math.isfinite(share) else "MISSED"
