"""One or two sides held against cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis.strategies import SearchStrategy

from xentropy.parity.cases import Case
from xentropy.parity.losses import failure
from xentropy.parity.losses.compare import Gap, gaps
from xentropy.parity.losses.expected import expected
from xentropy.parity.losses.named import EXACT
from xentropy.parity.losses.reduction import reduced
from xentropy.parity.losses.result import Agreement, ParityError, keep_larger
from xentropy.parity.losses.smallest import smallest_drawn, smallest_given
from xentropy.parity.losses.subject import QUANTITIES, Measured, Subject
from xentropy.parity.losses.tolerance import Tolerance


@dataclass
class Comparison:
    """One or two sides, and all that was seen of them."""

    sides: list[Subject]
    tolerance: Tolerance
    reduction: str
    quantities: tuple[str, ...] = QUANTITIES

    def __post_init__(self) -> None:
        names = [*(side.name for side in self.sides), EXACT]
        self.agreement = Agreement((names[0], names[1]), str(self.tolerance))

    def choose(self, asked: Sequence[str] | None, example: Case) -> None:
        """Settle what is compared: what was asked for, or what both sides can give."""
        unknown = [name for name in asked or () if name not in QUANTITIES]
        if unknown or (asked is not None and not len(asked)):
            raise ValueError(f"quantities is {asked!r}; they are some of {', '.join(QUANTITIES)}")
        self.quantities = tuple(asked or QUANTITIES)
        found = self._measure(example)
        answers = [(side.name, one.found) for side, one in zip(self.sides, found, strict=True) if not one.error]
        missing = {what: who for who, names in answers for what in self.quantities if what not in names}
        if asked is not None and missing:
            what, who = next(iter(missing.items()))
            raise ValueError(f"quantities has {what!r}, and {who} has none: its library has no derivatives")
        self.quantities = tuple(name for name in self.quantities if name not in missing)
        self.agreement.left_out = tuple(missing)

    def hold(self, given: Case | SearchStrategy[Case], examples: int, seed: int) -> None:
        """Run a case, or those of a strategy.

        Raises:
            ParityError: one fails; the error is of the smallest that does.
        """
        __tracebackhide__ = True
        if not isinstance(given, Case):
            failing = smallest_drawn(given, self._fails_and_counts, examples, seed)
        elif self._fails_and_counts(given):
            failing = smallest_given(given, self._fails, self._worst_row(given))
        else:
            return
        if failing is not None:
            raise self._error(failing)

    def _fails_and_counts(self, case: Case) -> bool:
        found = self._gaps(case)
        self.agreement.cases += 1
        keep_larger(self.agreement.worst.setdefault(case.name, {}), found or {})
        return _beyond(found)

    def _fails(self, case: Case) -> bool:
        return _beyond(self._gaps(case))

    def _worst_row(self, case: Case) -> int:
        found = self._gaps(case) or {}
        worst = max(found.values(), key=lambda gap: gap.share, default=None)
        return worst.at[0] if worst is not None and worst.at else 0

    def _gaps(self, case: Case) -> dict[str, Gap] | None:
        """The largest gap of each quantity; None where a side raises."""
        measured = self._measure(case)
        if any(side.error for side in measured):
            return None
        due = expected(case, self.reduction)
        return gaps(case, {name: due[name] for name in self.quantities}, measured, self.tolerance)

    def _measure(self, case: Case) -> list[Measured]:
        return [reduced(side, side.measure(case, self.quantities), case, self.reduction) for side in self.sides]

    def _error(self, case: Case) -> ParityError:
        for side, measured in zip(self.sides, self._measure(case), strict=True):
            if measured.error is not None:
                error = ParityError(failure.raised(measured.error, case, side, self.quantities), case)
                error.__cause__ = measured.error
                return error
        gap = max((self._gaps(case) or {}).values(), key=lambda one: one.share)
        return ParityError(failure.differs(gap, case, self.sides, str(self.tolerance)), case, gap)


def _beyond(found: dict[str, Gap] | None) -> bool:
    return found is None or any(gap.share > 1 for gap in found.values())
