"""What a comparison ends in: an agreement, or an error."""

from __future__ import annotations

from dataclasses import dataclass, field

from xentropy.parity.cases import Case
from xentropy.parity.losses.compare import Gap


class ParityError(AssertionError):
    """Two losses differ by more than the tolerance, or one is that far from the exact value.

    Attributes:
        case: the smallest case that fails.
        gap: the number that is furthest apart; None where a loss raised, which is then the ``__cause__``.
    """

    __module__ = "xentropy.parity"

    def __init__(self, message: str, case: Case, gap: Gap | None = None) -> None:
        super().__init__(message)
        self.case = case
        self.gap = gap


@dataclass
class Agreement:
    """What ``assert_parity`` has seen.

    Attributes:
        names: of the two sides; the second may be ``"exact"``.
        tolerance: in words.
        cases: how many went through both.
        worst: the largest gap of each quantity, by the name of the cases (of drawn ones that is the corner).
        left_out: quantities that one of the sides cannot give.
    """

    names: tuple[str, str]
    tolerance: str
    cases: int = 0
    worst: dict[str, dict[str, Gap]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def largest(self) -> dict[str, Gap]:
        """The largest gap of each quantity over all cases."""
        out: dict[str, Gap] = {}
        for found in self.worst.values():
            keep_larger(out, found)
        return out


def keep_larger(out: dict[str, Gap], found: dict[str, Gap]) -> None:
    """Replace the gaps of which a larger one was found."""
    for name, gap in found.items():
        if name not in out or gap.share > out[name].share:
            out[name] = gap
