"""The report as JSON: the same numbers, case by case."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from xentropy.parity.judge import Worst
from xentropy.parity.matrix import Adapters, CaseResult, Entry, FamilyResult, Miss, Spread

SCHEMA = 1


def make_record(
    results: Sequence[FamilyResult],
    misses: Sequence[Miss],
    adapters: Adapters,
    missing: Sequence[str],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that was measured, as plain JSON values; infinities and NaN are the strings that name them."""
    return {
        "schema": SCHEMA,
        **facts,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "verdict": "fail" if misses else "pass",
        "backends": {name: {"version": a.version, "native": a.native_name} for name, a in adapters.items()},
        "not_installed": list(missing),
        "missed": [asdict(miss) for miss in misses],
        "families": [_family(result) for result in results],
    }


def _family(result: FamilyResult) -> dict[str, Any]:
    return {
        "name": result.family.name,
        "title": result.family.title,
        "seconds": round(result.seconds, 3),
        "cases": [_case(case) for case in result.cases],
    }


def _case(result: CaseResult) -> dict[str, Any]:
    return {
        "name": result.case.name,
        "shape": list(result.case.logits.shape),
        "dtype": result.case.dtype,
        "expected": result.case.expected,
        "ours": {name: _entry(entry) for name, entry in result.ours.items()},
        "native": {name: _entry(entry) for name, entry in result.native.items()},
        "spread": _spread(result.spread),
        "native_spread": _spread(result.native_spread),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    judgement = entry.judgement
    found = {
        "loss": _worst(judgement.loss),
        "gradient_at_label": _worst(judgement.label),
        "gradient_elsewhere": _worst(judgement.elsewhere),
        "gradient_of_products": _worst(judgement.products),
        "array_type": entry.array_type or None,
        "example": entry.example or None,
        "fault": entry.fault or None,
        "skipped": entry.skipped or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _worst(worst: Worst | None) -> dict[str, Any] | None:
    if worst is None:
        return None
    return {key: number(value) for key, value in asdict(worst).items() if key != "nan"}


def _spread(spread: Spread) -> dict[str, Any]:
    return {
        "loss": number(spread.loss),
        "gradient_at_label": number(spread.label),
        "identical": spread.identical,
    }


def number(value: float | None) -> float | str | None:
    """The number, or the string that names an infinity or NaN."""
    return value if value is None or math.isfinite(value) else str(value)
