"""A case as a program that somebody can run: its arrays, the call, the numbers that come back."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from xentropy.parity import discovery
from xentropy.parity.adapter import ParityAdapter
from xentropy.parity.cases import Array, Case
from xentropy.parity.linear import LinearCase
from xentropy.parity.literals import written

# A row of 64 classes with its soft targets and weights: what is longer is no example any more.
MOST_NUMBERS = 256
WIDTH = 100

Arrays = dict[str, tuple[Array, str]]


@dataclass(frozen=True)
class Origin:
    """Where a case was drawn, for those that are too long to be written out.

    Attributes:
        family: the name of the family.
        seed: what its cases were drawn with.
        row: the row that the case was cut down to by ``Case.only``; None of a whole case.
    """

    family: str
    seed: int
    row: int | None = None


def arrays(case: Case, adapter: ParityAdapter, origin: Origin | None = None, *, own: bool = False) -> str:
    """Source of the imports and of an assignment for each array of the case, exact to the last bit.

    Args:
        case: what the program is to have.
        adapter: of the framework whose arrays they are.
        origin: where the case comes from: with it, a case of more than ``MOST_NUMBERS`` numbers is drawn there again.
        own: the arrays that the framework's own loss takes: the logits of a linear loss in place of its factors.
    """
    return _assembled(_head(case, adapter, origin, own))


def call(case: Case) -> str:
    """Our call with the case's options: the loss of each row."""
    return f'{_function(case)}({_arguments(case)}, reduction="none")'


def reproduce(
    case: Case, adapter: ParityAdapter, origin: Origin | None = None, *, own: bool, row: str = "", entry: str = ""
) -> str | None:
    """A whole program that prints the case's losses and the gradient of their sum.

    Args:
        case: the case, or some rows of it.
        adapter: of the framework.
        origin: see ``arrays``.
        own: the framework's own loss in place of ours.
        row: which losses it prints, as an index: ``"[3]"``; all of them if left out.
        entry: which part of the gradient, likewise; of a linear loss, the first index is that of the factor.

    Returns:
        The source; None where the framework has no loss of its own for this case, or its adapter no source of it.
    """
    if own:
        body = adapter.native_source(case)
        if body is None:
            return None
    else:
        derivative = f'xentropy.value_and_grad({_function(case)})({_arguments(case)}, reduction="sum")'
        body = f"import xentropy\n\nloss = {call(case)}\n_, gradient = {derivative}"
    results = [f"loss{row}"]
    if _assigns(body, "gradient"):
        results += [f"gradient{each}" for each in ([entry] if entry else _gradients(case, own))]
    return _assembled([*_head(case, adapter, origin, own), body, *_printing(adapter, results)]) + "\n"


def _head(case: Case, adapter: ParityAdapter, origin: Origin | None, own: bool) -> list[str]:
    """The parts of what ``arrays`` gives."""
    found = _arrays(case, own)
    if origin is not None and sum(array.size for array, _ in found.values()) > MOST_NUMBERS:
        return [adapter.imports(case.dtype), _loading(adapter), _drawn(case, origin), _from_case(found)]
    literals = {name: adapter.literal(array, dtype) for name, (array, dtype) in found.items()}
    if None in literals.values():
        return [adapter.imports(case.dtype), _loading(adapter), _through_numpy(found)]
    lines = [_wrapped(f"{name} = {source}") for name, source in literals.items()]
    return [adapter.imports(case.dtype), *_special_numbers(lines), "\n".join(lines)]


def _arrays(case: Case, own: bool) -> Arrays:
    """By the names that the call has for them: values and dtype."""
    if isinstance(case, LinearCase) and not own:
        names = ("hidden", "weight", "bias")
        found = {name: (factor, case.dtype) for name, factor in zip(names, case.factors, strict=False)}
    else:
        found = {"logits": (case.logits, case.dtype)}
    found["targets"] = (case.targets, case.dtype if case.soft else "int32")
    for name in ("class_weight", "sample_weight", "pos_weight"):
        weight = getattr(case, name)
        if weight is not None:
            found[name] = (weight, case.wide_dtype)
    return found


def _gradients(case: Case, own: bool) -> list[str]:
    return [f"[{i}]" for i in range(len(case.factors))] if isinstance(case, LinearCase) and not own else [""]


def _function(case: Case) -> str:
    kind = "linear_" if isinstance(case, LinearCase) else "binary_" if case.binary else ""
    return f"xentropy.{kind}cross_entropy"


def _arguments(case: Case) -> str:
    given = list(_arrays(case, own=False))
    positional = [name for name in given if name in ("hidden", "weight", "logits", "targets")]
    named = [f"{name}={name}" for name in given if name not in positional]
    if isinstance(case, LinearCase):
        named.append(f"chunk_rows={case.chunk_rows}")
    if not case.from_logits:
        named.append("from_logits=False")
    if case.ignore_index is not None:
        named.append(f"ignore_index={case.ignore_index}")
    if case.label_smoothing:
        named.append(f"label_smoothing={case.label_smoothing!r}")
    if case.precision is not None:
        named.append(f'precision="{case.precision}"')
    return ", ".join([*positional, *named])


def _assigns(source: str, name: str) -> bool:
    names = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name))
    return any(node.id == name and isinstance(node.ctx, ast.Store) for node in names)


def _loading(adapter: ParityAdapter) -> str:
    return f'from xentropy.parity import discovery\n\nadapter = discovery.load("{discovery.name_of(adapter)}")'


def _drawn(case: Case, origin: Origin) -> str:
    cut = "" if origin.row is None else f".only([{origin.row}])"
    return "\n".join(
        [
            "from xentropy.parity.families import FAMILIES",
            "",
            f'cases = {{case.name: case for case in FAMILIES["{origin.family}"].cases(seed={origin.seed})}}',
            f'case = cases["{case.name}"]{cut}',
        ]
    )


def _from_case(found: Arrays) -> str:
    return "\n".join(f'{name} = adapter.asarray(case.{name}, "{dtype}")' for name, (_, dtype) in found.items())


def _through_numpy(found: Arrays) -> str:
    lines = [
        f'{name} = adapter.asarray(np.asarray({written(array)}, dtype=np.{array.dtype}), "{dtype}")'
        for name, (array, dtype) in found.items()
    ]
    return "\n".join(["import numpy as np", *_special_numbers(lines), *(_wrapped(line) for line in lines)])


def _special_numbers(lines: Iterable[str]) -> list[str]:
    found = sorted({name for line in lines for name in re.findall(r"\b(?:inf|nan)\b", line)})
    return [f"from math import {', '.join(found)}"] if found else []


def _printing(adapter: ParityAdapter, results: list[str]) -> list[str]:
    listed = [adapter.listed(result) for result in results]
    loading = [_loading(adapter)] if None in listed else []
    through = [source or f"adapter.to_numpy({result}).tolist()" for source, result in zip(listed, results, strict=True)]
    return [*loading, "\n".join(f"print({source})" for source in through)]


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _assembled(parts: Iterable[str]) -> str:
    """The parts one after the other, each once, with all their imports, once each, at the top."""
    imports: dict[str, None] = {}
    bodies: dict[str, None] = {}
    for part in parts:
        lines = part.splitlines()
        imports.update(dict.fromkeys(line for line in lines if line.startswith(("import ", "from "))))
        body = "\n".join(line for line in lines if not line.startswith(("import ", "from "))).strip("\n")
        bodies.update({body: None} if body else {})
    return "\n\n".join(["\n".join(sorted(imports, key=lambda line: (line.split()[0] == "from", line))), *bodies])
