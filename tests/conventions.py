"""The README's tables of the frameworks' conventions and of where ours differs: every cell a check that runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

README = Path(__file__).parents[1] / "README.md"
CONVENTIONS = "| convention |"
DIFFERENCES = "| losses of |"

Check = Callable[[Any], None]

# Two rows of three classes, their labels and weights: small enough to be computed by hand.
LOGITS = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], dtype=np.float32)
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
LABELS = np.array([0, 2])
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
CLASS_WEIGHTS = np.array([1.0, 2.0, 3.0], dtype=np.float32)
SAMPLE_WEIGHTS = np.array([1.0, 3.0], dtype=np.float32)
# log(1 + e + e^2) less the distance of the label from the smallest logit.
FIRST, SECOND = np.log1p(np.e + np.e**2), np.log1p(np.e + np.e**2) - 2.0
ROWS = np.array([FIRST, SECOND])
SMOOTHED = 0.9 * ROWS + 0.1 * (FIRST - 1.0)


def readme_table(start: str) -> list[list[str]]:
    """The cells of the README's table whose first line starts so, its head first."""
    lines = README.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(start))
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
    head, _, *rest = rows
    return [head, *rest]


def readme_column(name: str) -> dict[str, str]:
    """What the README's table says of one framework, by convention."""
    head, *rows = readme_table(CONVENTIONS)
    column = head.index(name)
    return {row[0]: row[column] for row in rows}


@dataclass(frozen=True)
class Column:
    """One framework's column.

    Attributes:
        name: its head in the README.
        cells: the text of each cell and the check that it is true.
    """

    name: str
    cells: dict[str, tuple[str, Check]] = field(default_factory=dict)

    def cell(self, convention: str, text: str) -> Callable[[Check], Check]:
        """Decorate the check of one cell."""

        def keep(check: Check) -> Check:
            assert convention not in self.cells
            self.cells[convention] = (text, check)
            return check

        return keep

    def assert_told(self) -> None:
        """The README has these cells, and no others."""
        told = readme_column(self.name)
        checked = {convention: text for convention, (text, _) in self.cells.items()}
        assert told == checked

    def check(self, convention: str, losses: Any) -> None:
        """Run one cell's check."""
        self.cells[convention][1](losses)


@dataclass(frozen=True)
class Differences:
    """Where ours differs from one framework's own.

    Attributes:
        name: the framework, as the README's table has it.
        rows: the input, what its own losses say, what ours say; and the check of both.
    """

    name: str
    rows: list[tuple[tuple[str, str, str], Callable[[], None]]] = field(default_factory=list)

    def row(self, given: str, theirs: str, ours: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
        """Decorate the check of one row."""

        def keep(check: Callable[[], None]) -> Callable[[], None]:
            self.rows.append(((given, theirs, ours), check))
            return check

        return keep

    @property
    def parameters(self) -> list[Any]:
        """The checks, as parameters of a test."""
        return [pytest.param(check, id=cells[0]) for cells, check in self.rows]

    def assert_told(self) -> None:
        """The README has these rows, and no others."""
        told = [tuple(row[1:]) for row in readme_table(DIFFERENCES)[1:] if row[0] == self.name]
        assert told == [cells for cells, _ in self.rows]


def has_parameter(function: Callable[..., Any], *names: str) -> bool:
    """Whether a function takes an argument of any of these names."""
    return any(name in inspect.signature(function).parameters for name in names)


def first_parameters(function: Callable[..., Any], count: int = 2) -> str:
    """The names of a function's first arguments, as the table writes them."""
    return ", ".join(list(inspect.signature(function).parameters)[:count])
