"""``xentropy parity LOSS``: somebody's loss in the report, and held against another."""

from __future__ import annotations

import math
import pkgutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy

from xentropy.parity import discovery
from xentropy.parity.adapter import ParityAdapter, UnavailableError
from xentropy.parity.cases import Case
from xentropy.parity.families import Family
from xentropy.parity.loss_adapter import LossAdapter
from xentropy.parity.loss_conventions import Conventions
from xentropy.parity.losses.comparison import Comparison
from xentropy.parity.losses.expected import REDUCTIONS
from xentropy.parity.losses.loss import Loss
from xentropy.parity.losses.named import EXACT, OURS, as_subject
from xentropy.parity.losses.result import Agreement, ParityError
from xentropy.parity.losses.smallest import simplest
from xentropy.parity.losses.subject import Subject
from xentropy.parity.losses.tolerance import Tolerance
from xentropy.parity.strategies import TARGETS

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
    """What was asked for on the command line, checked; ``sides`` are the losses that it names.

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

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("--reduction", self.reduction, REDUCTIONS),
            ("--targets", self.conventions.targets, TARGETS),
        ):
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}; it is one of {', '.join(allowed)}")
        first = as_subject(_imported(self.loss, self.arrays, self.targets_first))
        assert first is not None
        other = self.against
        if ":" not in other and other not in (EXACT, OURS, *discovery.registered()):
            known = ", ".join([EXACT, OURS, *discovery.registered()])
            raise ValueError(f"--against is {other!r}; it is one of {known}, or package.module:function")
        second = as_subject(_imported(other, self.against_arrays) if ":" in other else other, first)
        object.__setattr__(self, "sides", [first] if second is None else [first, second])
        # Before the minutes that a report takes.
        example = simplest(next(iter(self.conventions.strategies().values())))
        self._comparison().choose(self.quantities, example)

    def adapters(self) -> dict[str, ParityAdapter]:
        """Of the report: the loss in the place of its framework's own, and the other side where it has one, too."""
        found: dict[str, ParityAdapter] = {}
        for subject, name in zip(self.sides, (self.loss, self.against), strict=False):
            if ":" in name:
                adapter: ParityAdapter = LossAdapter(subject, self.conventions, self.reduction, _source(name))
            else:
                adapter = subject.adapter
            found.setdefault(subject.arrays, adapter)
        return found

    def families(self, families: Sequence[Family], seed: int) -> list[Family]:
        """Those that have cases which the loss is made for."""
        return self.conventions.families(families, seed, None if self.reduction == "none" else MOST_ROWS)

    def hold(self, families: Sequence[Family], seed: int) -> list[Held]:
        """The loss against the other side, on the families' cases and on drawn ones."""
        drawn = self.conventions.strategies()
        groups: dict[str, Sequence[Case | SearchStrategy[Case]]] = {f.name: f.cases(seed) for f in families}
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
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{name!r} is no loss, as in package.module:function: {error}") from error
    finally:
        sys.path.pop(0)
    if isinstance(found, Loss):
        return found
    return Loss(found, arrays, targets_first=targets_first, name=name)


def _source(name: str) -> str:
    module, _, attribute = name.partition(":")
    return f"import {module}\n\nfunction = {module}.{attribute}"
