"""A loss against another, as the page is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Distance:
    """How far apart two losses are, and how far they may be, both in ulp."""

    apart: float
    allowed: float

    @property
    def met(self) -> bool:
        """Whether it is within what is allowed."""
        return self.apart <= self.allowed


@dataclass(frozen=True)
class HeldRow:
    """A group of cases that went through both losses.

    Attributes:
        name: of the group.
        cases: how many were compared.
        distances: the largest ones, by the names of quantities; what was not compared is left out.
        failure: what is wrong, in as many lines as it takes; empty where nothing is.
        skipped: why no case was compared.
    """

    name: str
    cases: int
    distances: Mapping[str, Distance] = field(default_factory=dict)
    failure: str = ""
    skipped: str = ""

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.failure:
            return "failed"
        return f"left out: {self.skipped}" if self.skipped else "met" if self.cases else "no case"


@dataclass(frozen=True)
class Held:
    """A loss against another.

    Attributes:
        loss: its name.
        against: the name of the other.
        tolerance: in words.
        rows: the groups.
    """

    loss: str
    against: str
    tolerance: str
    rows: Sequence[HeldRow]

    @property
    def title(self) -> str:
        """Who is held against what."""
        return f"{self.loss} against {self.against}"

    def failures(self) -> list[tuple[str, str]]:
        """Title and text of each group that failed; to have compared nothing is a failure as well."""
        if not any(row.cases or row.failure for row in self.rows):
            return [(self.title, "no case was compared")]
        return [(f"{self.title}: {row.name}", row.failure) for row in self.rows if row.failure]
