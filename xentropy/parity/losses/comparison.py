"""One or two sides held against cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis.strategies import SearchStrategy

from xentropy.parity.cases import Case
from xentropy.parity.losses import failure
from xentropy.parity.losses.alike import Alike, Found, largest
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
        if len({side.name for side in self.sides}) < len(self.sides):
            self.sides = [
                replace(side, name=f"{side.name} ({which})")
                for side, which in zip(self.sides, ("loss_a", "loss_b"), strict=True)
            ]
        names = [*(side.name for side in self.sides), EXACT]
        self.agreement = Agreement((names[0], names[1]), str(self.tolerance))

    def choose(self, asked: Sequence[str] | None, example: Case) -> None:
        """Settle what is compared: what was asked for, or what both sides can give."""
        if asked is not None:
            wanted = (asked,) if isinstance(asked, str) else tuple(asked)
            if not wanted or not set(wanted) <= set(QUANTITIES):
                raise ValueError(f"quantities is {asked!r}; they are some of {', '.join(QUANTITIES)}")
            asked = wanted
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
        alike = Alike(self._counted)
        if not isinstance(given, Case):
            failing = smallest_drawn(given, alike, examples, seed)
        else:
            failing = self._part_of(given, alike) if alike(given) else None
        if failing is not None:
            raise self._error(failing)

    def _counted(self, case: Case) -> Found:
        found = self._gaps(case)
        self.agreement.cases += 1
        if not isinstance(found, Exception):
            keep_larger(self.agreement.worst.setdefault(case.name, {}), found)
        return found

    def _part_of(self, given: Case, alike: Alike) -> Case:
        """The smallest part of a failing case that fails in the same way; parts are not counted."""
        alike.look = self._gaps

        def fails(part: Case) -> bool:
            try:
                return alike(part)
            except ValueError:  # of a part a loss may return another shape
                return False

        return smallest_given(given, fails, alike.row)

    def _gaps(self, case: Case) -> Found:
        """The largest gap of each quantity; what a side raises in their place."""
        measured = self._measure(case)
        raised = [side.error for side in measured if side.error is not None]
        return raised[0] if raised else self._compare(case, measured)

    def _compare(self, case: Case, measured: Sequence[Measured]) -> dict[str, Gap]:
        return gaps(case, expected(case, self.reduction, self.quantities), measured, self.tolerance)

    def _measure(self, case: Case) -> list[Measured]:
        return [reduced(side, side.measure(case, self.quantities), case, self.reduction) for side in self.sides]

    def _error(self, case: Case) -> ParityError:
        measured = self._measure(case)
        for side, one in zip(self.sides, measured, strict=True):
            if one.error is not None:
                error = ParityError(failure.raised(one.error, case, side, self.quantities), case)
                error.__cause__ = one.error
                return error
        found = self._compare(case, measured)
        gap = largest(found)
        assert gap is not None
        return ParityError(failure.differs(gap, case, self.sides, str(self.tolerance)), case, gap)
