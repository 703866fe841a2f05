"""The loss of log-probabilities that are already there, against its definition in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import CLASS_WEIGHTS, LABELS, LOGITS, SAMPLE_WEIGHTS, SOFT_TARGETS, floats
from harness import Harness, Subject

import xentropy

LOG_PROBS = floats(LOGITS) - 12.5
CASES: dict[str, dict[str, Any]] = {
    "index": {"targets": np.array(LABELS)},
    "smoothed": {"targets": np.array(LABELS), "label_smoothing": 0.25, "class_weight": floats(CLASS_WEIGHTS)},
    "weighted": {
        "targets": np.array(LABELS),
        "class_weight": floats(CLASS_WEIGHTS),
        "sample_weight": floats(SAMPLE_WEIGHTS),
    },
    "ignored": {"targets": np.array([2, -1, 1, -1, 3]), "ignore_index": -1},
    "soft": {"targets": floats(SOFT_TARGETS), "class_weight": floats(CLASS_WEIGHTS)},
    "normalizer": {"targets": floats(SOFT_TARGETS), "label_smoothing": 0.25, "normalizer": 7.0},
}


def definition(case: dict[str, Any]) -> tuple[np.ndarray[Any, Any], float, np.ndarray[Any, Any]]:
    """Rows, mean and the mean's gradient, in float64."""
    targets, epsilon = case["targets"], case.get("label_smoothing", 0.0)
    valid = np.ones(5) if targets.ndim == 2 else targets != case.get("ignore_index")
    given = targets.astype(np.float64) if targets.ndim == 2 else np.eye(4)[np.where(valid, targets, 0)]
    weight = case.get("class_weight", np.ones(4)).astype(np.float64)
    each = case.get("sample_weight", np.ones(5)).astype(np.float64) * valid
    q = ((1.0 - epsilon) * given + epsilon / 4) * weight
    rows = -(q * LOG_PROBS.astype(np.float64)).sum(axis=1) * each
    divisor = case.get("normalizer") or (each * (given * weight).sum(axis=1)).sum()
    return rows, rows.sum() / divisor, -q * each[:, None] / divisor


def split(case: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays = {"log_probs": LOG_PROBS} | {k: v for k, v in case.items() if isinstance(v, np.ndarray)}
    return arrays, {k: v for k, v in case.items() if not isinstance(v, np.ndarray)}


@pytest.mark.compiled
@pytest.mark.parametrize("problem", CASES.values(), ids=CASES.keys())
def test_value_and_gradient(subject: Subject, problem: dict[str, Any]) -> None:
    arrays, static = split(problem)
    rows, mean, gradient = definition(problem)
    value, (found,) = subject.run_gradient(xentropy.nll_loss, arrays, ("log_probs",), **static)
    np.testing.assert_allclose(subject.harness.to_numpy(value), mean, rtol=4e-7)
    np.testing.assert_allclose(subject.harness.to_numpy(found), gradient, rtol=4e-7)
    static.pop("normalizer", None)
    found = subject.value(xentropy.nll_loss, arrays, **static, reduction="none")
    np.testing.assert_allclose(found, rows, rtol=4e-7)


@pytest.mark.soft_gradient
def test_gradient_of_the_targets(subject: Subject) -> None:
    arrays, static = split(CASES["normalizer"])
    found = subject.gradient(xentropy.nll_loss, arrays, "targets", **static)
    np.testing.assert_allclose(found, -0.75 * LOG_PROBS / 7.0, rtol=4e-7)


def test_the_log_softmax_of_logits_has_their_cross_entropy(subject: Subject) -> None:
    x = floats(LOGITS).astype(np.float64)
    log_probs = (x - np.log(np.exp(x).sum(axis=1, keepdims=True))).astype(np.float32)
    found = subject.value(xentropy.nll_loss, {"log_probs": log_probs, "targets": np.array(LABELS)}, reduction="none")
    np.testing.assert_allclose(found, -log_probs[np.arange(5), LABELS], rtol=2e-7)


def test_an_impossible_class_counts_for_nothing_where_its_target_is_0(subject: Subject) -> None:
    log_probs, soft = floats([[-np.inf, -1.0], [-np.inf, -1.0]]), floats([[0.0, 1.0], [0.5, 0.5]])
    found = subject.value(xentropy.nll_loss, {"log_probs": log_probs, "targets": soft}, reduction="none")
    np.testing.assert_array_equal(found, [1.0, np.inf])


def test_a_removed_row_may_hold_anything(subject: Subject) -> None:
    log_probs = floats([[np.nan, -1.0], [-2.0, -1.0]])
    arrays = {"log_probs": log_probs, "targets": np.array([-100, 0])}
    value, (gradient,) = subject.run_gradient(xentropy.nll_loss, arrays, ("log_probs",), ignore_index=-100)
    assert float(subject.harness.to_numpy(value)) == 2.0
    np.testing.assert_array_equal(subject.harness.to_numpy(gradient), [[0.0, 0.0], [-1.0, 0.0]])


def test_a_label_out_of_range(subject: Subject) -> None:
    arrays = {"log_probs": LOG_PROBS, "targets": np.array([2, 0, 1, 2, 4])}
    if subject.knows_values:
        with pytest.raises(IndexError, match=r"targets\[4\] is 4"):
            subject.run(xentropy.nll_loss, arrays)
    else:
        found = subject.value(xentropy.nll_loss, arrays, reduction="none")
        np.testing.assert_array_equal(np.isnan(found), [False, False, False, False, True])


def test_the_axis_of_the_classes(backend: Harness) -> None:
    x = np.linspace(-5.0, -1.0, 24, dtype=np.float32).reshape(2, 3, 4)
    labels = np.array([[0, 1, 2, 0], [2, 2, 1, 0]])
    arrays = {"log_probs": x, "targets": labels}
    found = Subject(backend, "eager").value(xentropy.nll_loss, arrays, axis=1, reduction="none")
    np.testing.assert_array_equal(found, -np.take_along_axis(x, labels[:, None], axis=1)[:, 0])


def test_integer_log_probabilities_are_refused() -> None:
    with pytest.raises(TypeError, match=r"log_probs.*int64"):
        xentropy.nll_loss(np.zeros((2, 3), dtype=np.int64), np.array([0, 1]))
