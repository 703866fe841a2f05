"""float32 losses of half-precision logits, gradients in the logits' own dtype, rounded once."""

from __future__ import annotations

from functools import cache
from typing import Any

import numbers_table
import numpy as np
import pytest
from cases import LABELS, LOGITS, SAMPLE_WEIGHTS, SOFT_TARGETS, floats
from harness import Harness, Subject
from numbers_table import Rows

import xentropy

X, Y, SOFT = floats(LOGITS), np.array(LABELS), floats(SOFT_TARGETS)
RESULT = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
FUNCTIONS = [(xentropy.cross_entropy, Y), (xentropy.cross_entropy, SOFT), (xentropy.binary_cross_entropy, SOFT)]


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_result(subject: Subject, width: str, reduction: str) -> None:
    with subject.harness.float64():
        logits = subject.harness.asarray(X, width)
        assert subject.harness.dtype(logits) == width
        for function, targets in FUNCTIONS:
            result = subject.run(function, {"logits": logits, "targets": targets}, reduction=reduction)
            assert subject.harness.dtype(result) == RESULT[width]
            wide = subject.run(
                function, {"logits": logits, "targets": targets}, reduction=reduction, precision="float64"
            )
            assert subject.harness.dtype(wide) == RESULT[width]


def test_gradient(subject: Subject, width: str) -> None:
    with subject.harness.float64():
        logits = subject.harness.asarray(X, width)
        for function, targets in FUNCTIONS:
            for options in ({}, {"precision": "float64"}):
                value, (gradient,) = subject.run_gradient(function, {"logits": logits, "targets": targets}, **options)
                assert subject.harness.dtype(value) == RESULT[width]
                assert subject.harness.dtype(gradient) == width


def test_statistics(subject: Subject, width: str) -> None:
    with subject.harness.float64():
        logits = subject.harness.asarray(X, width)
        found = subject.run(xentropy.token_statistics, {"logits": logits, "targets": Y})
        for number in (found.logsumexp, found.log_prob, found.entropy):
            assert subject.harness.dtype(number) == RESULT[width]
        assert subject.harness.dtype(found.correct) == "bool"


def test_logits_decide(subject: Subject, width: str) -> None:
    """Targets and weights of other widths are converted."""
    with subject.harness.float64():
        logits = subject.harness.asarray(X, width)
        for other in subject.harness.floats:
            soft, weight = subject.harness.asarray(SOFT, other), subject.harness.asarray(floats(SAMPLE_WEIGHTS), other)
            result = subject.run(
                xentropy.cross_entropy, {"logits": logits, "targets": soft, "sample_weight": weight}, reduction="none"
            )
            assert subject.harness.dtype(result) == RESULT[width]
            result = subject.run(xentropy.binary_cross_entropy, {"logits": logits, "targets": soft})
            assert subject.harness.dtype(result) == RESULT[width]


@pytest.mark.soft_gradient
def test_gradient_of_targets_is_theirs(subject: Subject, width: str) -> None:
    """The gradient with respect to soft targets has the targets' dtype."""
    with subject.harness.float64():
        arrays = {"logits": subject.harness.asarray(X), "targets": subject.harness.asarray(SOFT, width)}
        _, gradients = subject.run_gradient(xentropy.cross_entropy, arrays, ("logits", "targets"))
        assert [subject.harness.dtype(g) for g in gradients] == ["float32", width]


# --- numbers of half-precision logits ----------------------------------------------------------------------------


def rounded(backend: Harness, values: np.ndarray[Any, Any], width: str) -> np.ndarray[Any, Any]:
    """The values that ``width`` has nearest to these, as float32."""
    return backend.to_numpy(backend.asarray(values.astype(np.float32), width)).astype(np.float32)


@cache
def half_rows(classes: int, width: str, table: bytes) -> Rows:
    logits = np.frombuffer(table, np.float32).reshape(-1, classes)
    return numbers_table.rows(logits, np.argmax(logits, axis=-1))


@pytest.mark.parametrize("classes", [10, 1000])
def test_half_losses(subject: Subject, half: str, classes: int) -> None:
    """Computed in float32: within 4 + span of its ulp, however confident."""
    values = np.random.default_rng(5).normal(size=(6, classes)) * np.array([1, 1, 4, 4, 12, 12])[:, None]
    logits = rounded(subject.harness, values, half)
    rows = half_rows(classes, half, logits.tobytes())
    arrays = {"logits": subject.harness.asarray(logits, half), "targets": rows.labels}
    found = subject.value(xentropy.cross_entropy, arrays, reduction="none")
    assert np.all(rows.losses.ulps(found, "float32") <= rows.relative)
    gradient = subject.gradient(xentropy.cross_entropy, arrays, reduction="sum").astype(np.float64)
    # One rounding to the logits' dtype: half an ulp of it, besides float32's own error.
    bits = {"float16": 11, "bfloat16": 8}[half]
    smallest = {"float16": 2.0**-24, "bfloat16": 1e-37}[half]
    allowed = np.maximum(np.abs(rows.gradients.high) * 2.0**-bits, smallest / 2) * (1 + 1e-3)
    at_label = np.arange(classes) == rows.labels[:, None]
    allowed = allowed + np.where(at_label, rows.relative[:, None] * 2.0**-23 * np.abs(rows.gradients.high), 4e-7)
    assert np.all(rows.gradients.error(gradient) <= allowed)


def test_half_confidence(subject: Subject, half: str) -> None:
    """A loss of 2e-9 of half-precision logits is 2e-9, not 0."""
    logits = subject.harness.asarray(floats([[20.0, 0.0]]), half)
    found = subject.value(xentropy.cross_entropy, {"logits": logits, "targets": np.array([0])})
    np.testing.assert_allclose(found, np.log1p(np.exp(-20.0)), rtol=1e-6)
