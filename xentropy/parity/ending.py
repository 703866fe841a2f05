"""What a run of ``xentropy parity`` ends in, for those who read it: the exit status, the page, the JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xentropy.parity import loss_report, page
from xentropy.parity.comparison import Comparison
from xentropy.parity.loss_command import Call, Held
from xentropy.parity.matrix import Miss

# The page is no log: the JSON has every number that moved.
MOST_MOVED = 50


@dataclass(frozen=True)
class Ending:
    """All that may fail a run.

    Attributes:
        misses: the bounds that our losses missed.
        compared: what came of ``--compare``, if that was asked for.
        call, held: LOSS, and what came of it.
    """

    misses: Sequence[Miss]
    compared: Comparison | None = None
    call: Call | None = None
    held: Sequence[Held] | None = None

    @property
    def failed(self) -> bool:
        """Whether a build fails of it."""
        moved = self.compared is not None and self.compared.failed
        apart = self.held is not None and not loss_report.passed(self.held)
        return bool(self.misses or moved or apart)

    def failures(self) -> list[tuple[str, str]]:
        """What the page lists beside missed bounds and LOSS."""
        if self.compared is None or not self.compared.failed:
            return []
        lines = [*self.compared.missing, *map(str, self.compared.moved)]
        more = [f"and {len(lines) - MOST_MOVED} more"] if len(lines) > MOST_MOVED else []
        text = "\n".join([*lines[:MOST_MOVED], *more]) or "not one number was compared"
        return [(f"Numbers that are not those of {self.compared.baseline.file}", text)]

    def table(self) -> page.Held | None:
        """LOSS against the other, as the page has it."""
        if self.call is None or self.held is None:
            return None
        rows = [
            page.HeldRow(
                one.name,
                one.agreement.cases,
                {name: page.Distance(gap.apart, gap.allowed) for name, gap in one.agreement.largest().items()},
                "" if one.error is None else str(one.error),
                one.skipped,
            )
            for one in self.held
        ]
        return page.Held(*loss_report.names(self.call), str(self.call.tolerance), rows)

    def record(self) -> dict[str, Any]:
        """What the JSON says of it."""
        compared = None if self.compared is None else self.compared.record()
        loss = None if self.call is None or self.held is None else loss_report.record(self.call, self.held)
        return {"verdict": "fail" if self.failed else "pass", "baseline": compared, "loss": loss}
