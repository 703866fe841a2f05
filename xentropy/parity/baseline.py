"""Numbers of a run in a file, to which later runs are compared: what an upgrade moved is then named.

The file is made for a repository: a few numbers of every case (``xentropy.parity.sample``), each kind of one backend on
a line of its own, in the order in which they are measured, so that the difference of two files reads as a list of what
moved. A float32 number is written with as many digits as tell it from its neighbours; NaN and infinities are strings.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xentropy.parity.cases import Array
from xentropy.parity.matrix import Adapters, CaseResult, FamilyResult
from xentropy.parity.sample import Numbers

KIND, SCHEMA = "xentropy parity baseline", 1
OURS, OWN, EXACT, NOBODY = "ours", "own", "exact", "-"


class BaselineError(Exception):
    """A file cannot be compared to; the message says why."""


class Key(NamedTuple):
    """Whose numbers of what: one line of the file. Exact losses have no backend."""

    family: str
    case: str
    backend: str
    whose: str
    what: str

    def __str__(self) -> str:
        return f"{self.family}/{self.case} {self.backend} {self.whose} {self.what}"

    @classmethod
    def parse(cls, text: str) -> Key:
        """What ``str`` wrote."""
        where, backend, whose, what = text.split(" ")
        family, case = where.split("/")
        return cls(family, case, backend, whose, what)


@dataclass(frozen=True)
class Baseline:
    """What a file says.

    Attributes:
        file: where it was read.
        versions: of xentropy, Python and the frameworks, with the names of their own losses, by name.
        lines: the numbers.
    """

    file: Path
    versions: Mapping[str, str]
    lines: Mapping[Key, Array]

    @property
    def whose(self) -> set[str]:
        """Whose losses it has: ``"ours"``, and ``"own"`` where the frameworks' are in it too."""
        return {key.whose for key in self.lines} - {EXACT}


def current_versions(adapters: Adapters) -> dict[str, str]:
    """The versions of this run, as ``Baseline`` has them."""
    frameworks = {name: adapter.version for name, adapter in adapters.items()}
    own = {f"{name}'s own loss": _own_loss(name, adapter.native_name) for name, adapter in adapters.items()}
    return {"xentropy": version("xentropy-array"), "python": platform.python_version(), **frameworks, **own}


def check_losses(baseline: Baseline, adapters: Adapters) -> None:
    """Refuse a file that was saved of somebody's loss where this run has another, or of another where it has one.

    Raises:
        BaselineError: the names differ, and one is somebody's, as in package.module:function.
    """
    for name, adapter in adapters.items():
        then, now = baseline.versions.get(f"{name}'s own loss"), adapter.native_name or "none"
        if then is None or then == now or then.startswith(f"{now} "):
            continue
        if ":" in then or ":" in now:
            saved = f"the loss {then} in {name}'s place" if ":" in then else f"{name}'s own loss, {then}"
            rule = "give the same LOSS" if ":" in then else "leave LOSS out, or save a baseline of it"
            raise BaselineError(f"{baseline.file} was saved of {saved}, and this run has {now} there: {rule}")


def _own_loss(backend: str, name: str | None) -> str:
    """Its name, with a version where it comes from a distribution of its own."""
    package = (name or "").partition(".")[0]
    if not name or package == backend:
        return name or "none"
    try:
        return f"{name} {version(package)}"
    except PackageNotFoundError:
        return name


def measured(results: Sequence[FamilyResult]) -> dict[Key, Numbers]:
    """Everything that a baseline keeps of a run."""
    return {key: numbers for family in results for case in family.cases for key, numbers in _of_case(family, case)}


def _of_case(family: FamilyResult, result: CaseResult) -> Iterator[tuple[Key, Numbers]]:
    names = family.family.name, result.case.name
    if result.exact is not None:
        yield Key(*names, NOBODY, EXACT, "loss"), result.exact
    for whose, entries in ((OURS, result.ours), (OWN, result.native)):
        for backend, entry in entries.items():
            yield from ((Key(*names, backend, whose, what), numbers) for what, numbers in entry.sample.items())


def save(file: Path, seed: int, versions: Mapping[str, str], numbers: Mapping[Key, Numbers], *, own: bool) -> None:
    """Write a run down, with the frameworks' own losses if ``own``."""
    lines = {key: _written(one) for key, one in numbers.items() if own or key.whose != OWN}
    head = {"kind": KIND, "schema": SCHEMA, "seed": seed, "versions": dict(versions)}
    text = json.dumps(head, indent=1, allow_nan=False).removesuffix("\n}")
    body = ",\n".join(f"  {json.dumps(str(key))}: {json.dumps(line, allow_nan=False)}" for key, line in lines.items())
    file.write_text(f'{text},\n "numbers": {{\n{body}\n }}\n}}\n', encoding="utf-8")


def load(file: Path, seed: int) -> Baseline:
    """Read a file that ``save`` wrote.

    Raises:
        BaselineError: it is something else, or of another seed.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BaselineError(f"{file} is no baseline: {error}") from error
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise BaselineError(f"{file} is no baseline: --save writes one")
    if found.get("schema") != SCHEMA:
        raise BaselineError(f"{file} has schema {found.get('schema')}, and this version reads {SCHEMA}: save a new one")
    if found.get("seed") != seed:
        raise BaselineError(f"{file} was saved with seed {found.get('seed')}, and this is seed {seed}")
    try:
        versions = {str(name): str(one) for name, one in found["versions"].items()}
        lines = {Key.parse(text): _read(values) for text, values in found["numbers"].items()}
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise BaselineError(f"{file} is a damaged baseline: {type(error).__name__}: {error}") from error
    return Baseline(file, versions, lines)


def _written(numbers: Numbers) -> list[float | str]:
    # Python writes the float of a float32's shortest digits with just these digits.
    return [float(str(numbers.kind(one))) if math.isfinite(one) else str(float(one)) for one in numbers.values]


def _read(values: Sequence[float | str]) -> Array:
    return np.asarray([float(value) for value in values])
