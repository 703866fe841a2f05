"""``xentropy parity LOSS``: somebody's loss in the report, and held against another."""

from __future__ import annotations

import math
import pkgutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy

from xentropy.parity.adapter import ParityAdapter, UnavailableError
from xentropy.parity.cases import Case
from xentropy.parity.families import Family
from xentropy.parity.loss_adapter import LossAdapter
from xentropy.parity.loss_conventions import Conventions
from xentropy.parity.losses.comparison import Comparison
from xentropy.parity.losses.expected import REDUCTIONS
from xentropy.parity.losses.given import simplest
from xentropy.parity.losses.loss import Loss
from xentropy.parity.losses.named import EXACT, as_subject
from xentropy.parity.losses.result import Agreement, ParityError
from xentropy.parity.losses.subject import Subject
from xentropy.parity.losses.tolerance import Tolerance
from xentropy.parity.matrix import FamilyResult

# Where a loss gives one number for all rows, the report asks it for each row.
MOST_ROWS = 24


@dataclass(frozen=True)
class Held:
    """A family, or the drawn cases of a corner, held against the other side."""

    name: str
    agreement: Agreement
    error: ParityError | None = None
    skipped: str = ""


@dataclass(frozen=True)
class Call:
    """What was asked for on the command line, checked.

    Attributes:
        sides: the losses that it names.
        sources: of those of them that were imported, by what name, and how it is called.

    Raises:
        ValueError: an argument is outside its domain, or nothing has the name.
        TypeError: it cannot be told whose arrays a loss takes.
    """

    loss: str
    against: str = EXACT
    arrays: str | None = None
    against_arrays: str | None = None
    targets_first: bool = False
    reduction: str = "none"
    quantities: Sequence[str] | None = None
    tolerance: Tolerance = field(default_factory=Tolerance)
    examples: int = 70
    conventions: Conventions = field(default_factory=Conventions)
    sides: Sequence[Subject] = field(init=False)
    sources: Sequence[tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        if self.reduction not in REDUCTIONS:
            raise ValueError(f"--reduction is {self.reduction!r}; it is one of {', '.join(REDUCTIONS)}")
        if ":" not in self.loss:
            raise ValueError(f"{self.loss!r} is no loss, as in package.module:function: it has no colon")
        loss = _imported(self.loss, self.arrays, self.targets_first)
        first = as_subject(loss)
        assert first is not None
        sides, sources = [first], [(self.loss, _source(self.loss, loss))]
        if ":" in self.against:
            other = _imported(self.against, self.against_arrays)
            second = as_subject(other, first)
            sources.append((self.against, _source(self.against, other)))
        else:
            second = as_subject(self.against, first, argument="--against")
        sides += [] if second is None else [second]
        object.__setattr__(self, "sides", sides)
        object.__setattr__(self, "sources", sources)
        # Before the minutes that a report takes.
        example = simplest(next(iter(self.conventions.strategies().values())))
        try:
            self._comparison().choose(self.quantities, example)
        except UnavailableError as error:
            raise ValueError(str(error)) from error

    def adapters(self) -> dict[str, ParityAdapter]:
        """Of the report: the loss in the place of its framework's own, and the other side where it has one, too."""
        found: dict[str, ParityAdapter] = {}
        for subject, source in zip_longest(self.sides, self.sources):
            adapter = subject.adapter
            if source is not None:
                adapter = LossAdapter(subject, self.conventions, self.reduction, *source)
            found.setdefault(subject.arrays, adapter)
        return found

    @property
    def imported(self) -> set[str]:
        """The names of the adapters whose own loss is one that was imported."""
        return {subject.arrays for subject, _ in zip(self.sides, self.sources, strict=False)}

    def families(self, families: Sequence[Family], seed: int) -> list[Family]:
        """Those that have cases which the loss is made for."""
        return self.conventions.families(families, seed, None if self.reduction == "none" else MOST_ROWS)

    def hold(self, results: Sequence[FamilyResult], seed: int) -> list[Held]:
        """The loss against the other side, on the cases that the report has and on drawn ones."""
        drawn = self.conventions.strategies()
        groups: dict[str, Sequence[Case | SearchStrategy[Case]]] = {
            result.family.name: [one.case for one in result.cases] for result in results
        }
        groups |= {f"drawn: {corner}": [strategy] for corner, strategy in drawn.items()}
        each = math.ceil(self.examples / len(drawn))
        return [self._hold(name, given, each, seed + at) for at, (name, given) in enumerate(groups.items())]

    def _comparison(self) -> Comparison:
        return Comparison(list(self.sides), self.tolerance, self.reduction)

    def _hold(self, name: str, given: Sequence[Case | SearchStrategy[Case]], examples: int, seed: int) -> Held:
        comparison = self._comparison()
        try:
            comparison.choose(self.quantities, simplest(given[0]))
            for one in given:
                comparison.hold(one, examples, seed)
        except ParityError as error:
            return Held(name, comparison.agreement, error)
        except UnavailableError as missing:
            return Held(name, comparison.agreement, skipped=str(missing))
        return Held(name, comparison.agreement)


def _imported(name: str, arrays: str | None, targets_first: bool = False) -> Loss:
    """``package.module:attribute``, from the directory that the command runs in as well."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = pkgutil.resolve_name(name)
    except Exception as error:  # what somebody's module raises, too
        where = f"{name!r} is no loss, as in package.module:function, looked for in {Path.cwd()} as well"
        raise ValueError(f"{where}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if isinstance(found, Loss):
        return found
    return Loss(found, arrays, targets_first=targets_first, name=name)


def _source(name: str, loss: Loss) -> str:
    module, _, attribute = name.partition(":")
    inner = "" if loss.name == name else ".function"
    arguments = "targets, logits" if loss.targets_first else "logits, targets"
    return f"import {module}\n\nloss = {module}.{attribute}{inner}({arguments})"
