"""All that the template is filled with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xentropy.parity.adapter import ParityAdapter
from xentropy.parity.confidence import Curve
from xentropy.parity.matrix import Adapters, FamilyResult, Miss
from xentropy.parity.page.cells import Cell, make_cell
from xentropy.parity.page.reproduction import Reproduction, reproduce

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """Two columns of the matrix: a framework with our loss, and with its own."""

    name: str
    version: str
    native_name: str | None


@dataclass(frozen=True)
class Opened:
    """A cell, and what it opens with."""

    cell: Cell
    column: Column
    reproduction: Reproduction | None

    @property
    def loss_name(self) -> str:
        """Whose loss it is."""
        return (self.column.native_name or "its own loss") if self.cell.own else "xentropy"


@dataclass(frozen=True)
class Row:
    """A family's cells, in the order of the columns."""

    result: FamilyResult
    cells: tuple[Opened, ...]


@dataclass(frozen=True)
class Note:
    """A line at the top: something that is not as it should be, with the cell that tells more."""

    anchor: str
    where: str
    what: str
    numbers: str = ""


def columns(adapters: Adapters) -> list[Column]:
    """Of every framework that ran."""
    return [Column(name, adapter.version, adapter.native_name) for name, adapter in adapters.items()]


def rows(results: Sequence[FamilyResult], adapters: Adapters, seed: int) -> list[Row]:
    """The matrix."""
    return [Row(result, tuple(_cells(result, adapters, seed))) for result in results]


def _cells(result: FamilyResult, adapters: Adapters, seed: int) -> list[Opened]:
    return [
        _opened(make_cell(result, column.name, own=own), column, adapters[column.name], seed)
        for column in columns(adapters)
        for own in (False, True)
    ]


def _opened(cell: Cell, column: Column, adapter: ParityAdapter, seed: int) -> Opened:
    return Opened(cell, column, reproduce(cell, adapter, seed))


def verdict(misses: int, failures: int) -> tuple[str, str]:
    """PASS or FAIL, and why, in words."""
    bounds = f"bounds missed: {misses}" if misses else "every bound met"
    if failures:
        bounds = f"other failures: {failures}; {bounds}"
    return "FAIL" if misses or failures else "PASS", bounds


def missed(misses: Sequence[Miss], adapters: Adapters) -> list[Note]:
    """Every missed bound; one that is missed between frameworks belongs to the family."""
    return [
        Note(
            f"{miss.backend}-ours-{miss.family}" if miss.backend in adapters else miss.family,
            f"{miss.family}/{miss.case}, {miss.backend}",
            miss.what,
            miss.numbers,
        )
        for miss in misses
    ]


def failed(matrix: Sequence[Row]) -> list[Note]:
    """Every call of a framework's own loss that failed: no miss of ours, and nothing to keep quiet about."""
    return [
        Note(opened.cell.id, f"{row.result.family.name}/{case.case.name}, {opened.cell.backend}", f"own loss: {fault}")
        for row in matrix
        for opened in row.cells
        if opened.cell.own
        for case, fault in opened.cell.faults
    ]


def curve_names(curves: Sequence[Curve], adapters: Adapters) -> list[str]:
    """What the figure calls them."""
    return [
        f"{curve.backend}: {adapters[curve.backend].native_name}" if curve.own else f"{curve.backend}: xentropy"
        for curve in curves
    ]
