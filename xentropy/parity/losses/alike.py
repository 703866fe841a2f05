"""Whether a smaller case fails in the way that the first one did, so that what is shown is what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xentropy.parity.cases import Case
from xentropy.parity.losses.compare import Gap

Found = dict[str, Gap] | Exception

# A sum in the place of a mean shrinks to one row, where it is none, if any failure will do.
SMALLER = 0.1


def largest(found: dict[str, Gap]) -> Gap | None:
    """The gap that is the largest part of its bound."""
    return max(found.values(), key=lambda gap: gap.share, default=None)


@dataclass
class Alike:
    """A condition on cases: true of the first that fails, and then of those that fail as it did.

    That is by an exception of the same type; or in the same quantity, by a tenth at least of what the first one was
    beyond its bound.

    Attributes:
        look: the gaps of a case, or what a side raised.
        row: where the first failure was.
    """

    look: Callable[[Case], Found]
    row: int = 0
    first: Found | None = None

    def __call__(self, case: Case) -> bool:
        """Whether the case fails so."""
        found = self.look(case)
        if self.first is None:
            if not _fails(found):
                return False
            self.first = found
            worst = None if isinstance(found, Exception) else largest(found)
            self.row = worst.at[0] if worst is not None and worst.at else 0
            return True
        if isinstance(found, Exception) or isinstance(self.first, Exception):
            return type(found) is type(self.first)
        worst = largest(self.first)
        assert worst is not None
        gap = found.get(worst.quantity)
        return gap is not None and gap.share > 1 and gap.share >= SMALLER * worst.share


def _fails(found: Found) -> bool:
    return isinstance(found, Exception) or any(gap.share > 1 for gap in found.values())
