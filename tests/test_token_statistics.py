"""Log-sum-exp, log-probability, entropy and correctness of every row."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import reference
from cases import LABELS, LOGITS, floats, with_rows
from harness import Subject
from mpmath import mp, mpf
from reference import DIGITS, Exact

import xentropy

X, Y = floats(LOGITS), np.array(LABELS)
FIELDS = ("logsumexp", "log_prob", "entropy")


@cache
def exact(temperature: float) -> dict[str, Exact]:
    """Straight from the definitions."""
    found: dict[str, list[Any]] = {name: [] for name in FIELDS}
    with mp.workdps(DIGITS):
        for row, label in zip(reference.numbers(X), LABELS, strict=True):
            x = [v / mpf(temperature) for v in row]
            total = mp.fsum(mp.exp(v) for v in x)
            p = [mp.exp(v) / total for v in x]
            found["logsumexp"].append(mp.log(total))
            found["log_prob"].append(mp.log(p[label]))
            found["entropy"].append(-mp.fsum(q * mp.log(q) for q in p))
        return {name: Exact.of(values) for name, values in found.items()}


def statistics(subject: Subject, logits: Any, labels: Any, **options: Any) -> dict[str, np.ndarray[Any, Any]]:
    found = subject.run(xentropy.token_statistics, {"logits": logits, "targets": labels}, **options)
    return {name: subject.harness.to_numpy(getattr(found, name)) for name in (*FIELDS, "correct")}


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_numbers(subject: Subject, temperature: float) -> None:
    """The negative log-probability within the loss's bound; entropy and log-sum-exp as close."""
    found = statistics(subject, X, Y, temperature=temperature)
    for name in FIELDS:
        assert (
            exact(temperature)[name].ulps(found[name], "float32").max() <= 4.0 + np.ptp(X / temperature, axis=-1).max()
        )
    np.testing.assert_array_equal(found["correct"], X.argmax(axis=-1) == Y)
    assert found["correct"].dtype == bool


def test_fields(subject: Subject) -> None:
    """A named tuple that unpacks in the documented order."""
    found = subject.run(xentropy.token_statistics, {"logits": X, "targets": Y})
    assert found._fields == (*FIELDS, "correct")
    assert isinstance(found, xentropy.TokenStatistics)
    lse, log_prob, _, _ = found
    assert lse is found.logsumexp
    assert log_prob is found.log_prob


def test_log_prob_is_minus_the_loss(subject: Subject) -> None:
    """Confident rows included."""
    logits = floats([[x, 0.0, 0.0] for x in range(0, 80, 8)])
    labels = np.zeros(len(logits), dtype=np.int64)
    loss = subject.value(xentropy.cross_entropy, {"logits": logits, "targets": labels}, reduction="none")
    found = statistics(subject, logits, labels)
    np.testing.assert_array_max_ulp(-found["log_prob"], loss, maxulp=4)
    assert np.all(found["entropy"] > 0.0)


def test_ties_are_decided_by_the_first(subject: Subject) -> None:
    logits = floats([[1.0, 1.0, 0.0]] * 3)
    np.testing.assert_array_equal(statistics(subject, logits, np.array([0, 1, 2]))["correct"], [True, False, False])


def test_axis(subject: Subject) -> None:
    cube, labels = np.stack([X, 0.5 * X], axis=1), np.stack([Y, Y[::-1]], axis=1)
    expected = statistics(subject, cube, labels)
    found = statistics(subject, np.moveaxis(cube, -1, 1), labels, axis=1)
    for name, values in expected.items():
        assert found[name].shape == labels.shape
        # Not to the bit: TensorFlow compiles what comes for the second time.
        np.testing.assert_allclose(found[name], values, rtol=2.0**-22)


def test_minus_infinity(subject: Subject) -> None:
    """An impossible class adds nothing to the entropy; as the label its log-probability is -inf."""
    logits = floats([[0.0, 0.0, -np.inf], [0.0, 0.0, -np.inf]])
    found = statistics(subject, logits, np.array([0, 2]))
    np.testing.assert_allclose(found["entropy"], np.log(2.0), rtol=1e-6)
    np.testing.assert_allclose(found["logsumexp"], np.log(2.0), rtol=1e-6)
    np.testing.assert_allclose(found["log_prob"], [-np.log(2.0), -np.inf], rtol=1e-6)


def test_nan_row(subject: Subject) -> None:
    found, clean = statistics(subject, with_rows(X, {1: np.nan}), Y), statistics(subject, X, Y)
    for name in FIELDS:
        np.testing.assert_array_equal(np.isnan(found[name]), np.arange(5) == 1)
        np.testing.assert_array_equal(found[name][[0, 2, 3, 4]], clean[name][[0, 2, 3, 4]])
    for label in range(4):
        assert not statistics(subject, with_rows(X, {1: np.nan}), np.full(5, label))["correct"][1]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.soft_gradient
def test_gradient(subject: Subject, name: str) -> None:
    """All but correctness are differentiable in the logits, where the library differentiates."""

    def total(logits: Any, targets: Any) -> Any:
        return getattr(xentropy.token_statistics(logits, targets, temperature=2.0), name).sum()

    def tensorflow_total(logits: Any, targets: Any) -> Any:
        import tensorflow as tf

        return tf.reduce_sum(getattr(xentropy.token_statistics(logits, targets, temperature=2.0), name))

    function = tensorflow_total if subject.harness.name == "tensorflow" else total
    found = subject.gradient(function, {"logits": X, "targets": Y})
    with mp.workdps(DIGITS):
        expected = reference.gradient(lambda rows: exact_total(rows, name), reference.numbers(X))
    np.testing.assert_allclose(found, np.array(expected, dtype=np.float64), rtol=1e-5, atol=4e-7)


def exact_total(rows: Any, name: str) -> Any:
    result = mpf(0)
    for row, label in zip(rows, LABELS, strict=True):
        x = [v / 2 for v in row]
        total = mp.fsum(mp.exp(v) for v in x)
        p = [mp.exp(v) / total for v in x]
        result += {
            "logsumexp": mp.log(total),
            "log_prob": x[label] - mp.log(total),
            "entropy": -mp.fsum(q * mp.log(q) for q in p),
        }[name]
    return result
