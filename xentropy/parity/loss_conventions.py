"""What a loss of somebody's does, and the cases that are about that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from hypothesis.strategies import SearchStrategy

from xentropy.parity.cases import Case
from xentropy.parity.families import Family, Rng
from xentropy.parity.strategies import TARGETS, by_corner, corners_of


@dataclass(frozen=True)
class Conventions:
    """What a loss does, as far as the cases that it is given have to know.

    Attributes:
        targets: ``"indices"``, ``"probabilities"`` or ``"binary"``.
        from_logits, label_smoothing, ignore_index: as the options of ``cross_entropy``.

    Raises:
        ValueError: targets that are none of these; an ignored index of targets that are no indices.
    """

    targets: str = "indices"
    from_logits: bool = True
    label_smoothing: float = 0.0
    ignore_index: int | None = None

    def __post_init__(self) -> None:
        if self.targets not in TARGETS:
            raise ValueError(f"--targets is {self.targets!r}; it is one of {', '.join(TARGETS)}")
        if self.ignore_index is not None and self.targets != "indices":
            raise ValueError(
                f"--ignore-index is {self.ignore_index}, and --targets {self.targets}: only indices have it"
            )

    def fitting(self, case: Case) -> Case | None:
        """The case, with what the loss ignores; None where it is about something that the loss does not do."""
        kind = "binary" if case.binary else "probabilities" if case.soft else "indices"
        options = (case.class_weight, case.sample_weight, case.pos_weight, case.precision)
        same = (case.from_logits, case.label_smoothing) == (self.from_logits, self.label_smoothing)
        plain = type(case) is Case and all(option is None for option in options)
        if kind != self.targets or not same or not plain or case.ignore_index not in (None, self.ignore_index):
            return None
        return replace(case, ignore_index=self.ignore_index)

    def families(self, families: Iterable[Family], seed: int, most_rows: int | None) -> list[Family]:
        """The families with the cases that fit, of at most so many rows; without those that have none."""

        def drawing(family: Family) -> Callable[[Rng], list[Case]]:
            return lambda rng: [
                _cut(case, most_rows) for case in map(self.fitting, family.draw(rng)) if case is not None
            ]

        fitting = (replace(family, draw=drawing(family)) for family in families)
        return [family for family in fitting if family.cases(seed)]

    def strategies(self) -> dict[str, SearchStrategy[Case]]:
        """Cases to be drawn, by corner."""
        options = {name: getattr(self, name) for name in ("from_logits", "label_smoothing", "ignore_index")}
        names = corners_of(self.label_smoothing)
        return dict(zip(names, by_corner(targets=self.targets, corners=names, **options), strict=True))


def _cut(case: Case, most: int | None) -> Case:
    rows = len(case.targets)
    return case if most is None or rows <= most else case.only(np.linspace(0, rows - 1, most).astype(int).tolist())
