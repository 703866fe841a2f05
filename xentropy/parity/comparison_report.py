"""What ``--compare`` says on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from xentropy.parity.baseline import EXACT, OURS, OWN
from xentropy.parity.comparison import Comparison
from xentropy.parity.moved import Move

PRINTED = 20


def text(compared: Comparison) -> Text:
    """What differs from the baseline, one number a line, and yes or no."""
    out = Text(f"against {compared.baseline.file}: {', '.join(compared.upgrades) or 'the same versions'}\n")
    for line in _largest(compared):
        out.append(f"  {line}\n")
    for note in compared.notes:
        out.append(f"  {note}\n", "dim")
    for line in (*compared.missing, *_most(compared.moved)):
        out.append(f"  {line}\n", "red")
    if not compared.count:
        out.append("FAIL", "bold red").append(f"  {_nothing(compared)}")
    elif compared.failed:
        counts = f"numbers moved: {len(compared.moved)}; missing: {len(compared.missing)}"
        out.append("FAIL", "bold red").append(f"  {counts}; compared: {compared.count}")
    else:
        within = f"no number moved by more than {compared.bound:g} ulp; compared: {compared.count}"
        out.append("PASS", "bold green").append(f"  {within}")
    return out


def _largest(compared: Comparison) -> Iterator[str]:
    """How far numbers moved that are not named because they moved too far."""
    for who, title in ((OURS, "our losses"), (OWN, "the frameworks' own")):
        most = compared.largest.get(who)
        if most is not None and not most.beyond:
            yield f"{title} moved most at {most}"
        elif most is None and compared.counts[who]:
            yield f"{title}: not one number moved"


def _most(moved: Sequence[Move]) -> Iterator[str]:
    """All that moved, or where a log would be long of it, what moved most."""
    if len(moved) <= PRINTED:
        yield from map(str, moved)
        return
    yield from map(str, sorted(moved, key=lambda move: move.distance, reverse=True)[:PRINTED])
    yield f"and {len(moved) - PRINTED} more, which moved less"


def _nothing(compared: Comparison) -> str:
    keys = [key for key in compared.baseline.lines if key.whose != EXACT]
    backends = ", ".join(dict.fromkeys(key.backend for key in keys)) or "no numbers"
    families = ", ".join(dict.fromkeys(key.family for key in keys))
    there = f"{backends} in {families}, and this run has none of that, or of other input" if keys else backends
    return f"not one number was compared: {compared.baseline.file} has {there}"
