"""What a loss of somebody's does, and the cases that are about that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from hypothesis.strategies import SearchStrategy

from xentropy.parity.cases import Case
from xentropy.parity.families import Family
from xentropy.parity.strategies import by_corner, corners_of


@dataclass(frozen=True)
class Conventions:
    """What a loss does, as far as the cases that it is given have to know.

    Attributes:
        targets: ``"indices"``, ``"probabilities"`` or ``"binary"``.
        from_logits, label_smoothing, ignore_index: as the options of ``cross_entropy``.
    """

    targets: str = "indices"
    from_logits: bool = True
    label_smoothing: float = 0.0
    ignore_index: int | None = None

    def fits(self, case: Case) -> bool:
        """Whether the loss computes what a case is about."""
        kind = "binary" if case.binary else "probabilities" if case.soft else "indices"
        options = (case.class_weight, case.sample_weight, case.pos_weight, case.precision)
        same = (case.from_logits, case.label_smoothing) == (self.from_logits, self.label_smoothing)
        plain = type(case) is Case and all(option is None for option in options)
        return kind == self.targets and same and plain and case.ignore_index in (None, self.ignore_index)

    def families(self, families: Iterable[Family], seed: int, most_rows: int | None) -> list[Family]:
        """The families with the cases that fit, of at most so many rows; without those that have none."""

        def fitting(family: Family) -> Family:
            return replace(family, draw=lambda rng: [_cut(c, most_rows) for c in family.draw(rng) if self.fits(c)])

        return [family for family in map(fitting, families) if family.cases(seed)]

    def strategies(self) -> dict[str, SearchStrategy[Case]]:
        """Cases to be drawn, by corner."""
        options = {name: getattr(self, name) for name in ("from_logits", "label_smoothing", "ignore_index")}
        names = corners_of(self.label_smoothing)
        return dict(zip(names, by_corner(targets=self.targets, corners=names, **options), strict=True))


def _cut(case: Case, most: int | None) -> Case:
    rows = len(case.targets)
    return case if most is None or rows <= most else case.only(np.linspace(0, rows - 1, most).astype(int).tolist())
