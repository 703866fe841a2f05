"""The findings as JSON: every call, number and version."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from xentropy.conventions.measure import Finding, Trial
from xentropy.conventions.outcome import Outcome
from xentropy.conventions.probe import QUESTIONS, Framework
from xentropy.parity.record import number

SCHEMA = 1


def make_record(
    name: str, framework: Framework, versions: Mapping[str, str], findings: Sequence[Finding]
) -> dict[str, Any]:
    """Everything that was measured, as plain JSON values; infinities and NaN are the strings that name them."""
    return {
        "schema": SCHEMA,
        "xentropy": version("xentropy-array"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "framework": name,
        "losses": framework.losses,
        "versions": dict(versions),
        "note": framework.note,
        "code": {"own": framework.own, "drop_in": framework.drop_in, "arrays": framework.arrays},
        "findings": [_finding(finding) for finding in findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    probe, right = finding.probe, finding.right
    return {
        "convention": probe.convention,
        "question": QUESTIONS[probe.convention],
        "case": probe.case,
        "given": probe.given,
        "call": probe.call,
        "theirs": _outcome(finding.theirs),
        "answer": finding.answer or None,
        "ours": (right.ours or None) if right else None,
        "ulp": right.ulp if right else None,
        "tried": [_trial(trial) for trial in finding.trials],
        "drop_in": _outcome(finding.drop_in),
        "drop_in_ulp": finding.drop_in_ulp,
        "fault": finding.fault or None,
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {"answer": trial.answer, "ours": trial.ours or None, "found": _outcome(trial.outcome), "ulp": trial.ulp}


def _outcome(outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    if outcome.values is None:
        return {"error": outcome.error or None, "words": outcome.words or None, "warned": list(outcome.warned)}
    values = _named(outcome.values.tolist())
    shape = list(outcome.values.shape)
    return {"values": values, "shape": shape, "dtype": outcome.dtype, "warned": list(outcome.warned)}


def _named(value: Any) -> Any:
    if isinstance(value, list):
        return [_named(one) for one in value]
    return number(value)
