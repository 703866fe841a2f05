"""In what order the options act, said as identities; the matrix has their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import (
    CLASS_WEIGHTS,
    CLASSES,
    LABELS,
    LOGITS,
    MASK,
    MASKED_LABELS,
    MASKED_SOFT_TARGETS,
    SAMPLE_WEIGHTS,
    SOFT_TARGETS,
    floats,
)
from harness import Subject
from mpmath import mp, mpf

import xentropy

X, Y = floats(LOGITS), np.array(LABELS)
MASKED, SOFT = np.array(MASKED_LABELS), floats(SOFT_TARGETS)
CLOSE = {"rtol": 3e-6, "atol": 1e-9}


def rows(subject: Subject, logits: Any, targets: Any, arrays: Any = (), **options: Any) -> np.ndarray[Any, Any]:
    given = {"logits": logits, "targets": targets, **dict(arrays)}
    return subject.value(xentropy.cross_entropy, given, reduction="none", **options)


def test_softcap_then_temperature(eager: Subject) -> None:
    """Not the other way round: tempered before the cap the result would be another."""
    found = rows(eager, X, Y, softcap=5.0, temperature=0.5)
    capped = (5.0 * np.tanh(X.astype(np.float64) / 5.0) / 0.5).astype(np.float32)
    other = (5.0 * np.tanh(X.astype(np.float64) / 0.5 / 5.0)).astype(np.float32)
    np.testing.assert_allclose(found, rows(eager, capped, Y), rtol=2e-5)
    assert not np.allclose(found, rows(eager, other, Y), rtol=1e-2)


@pytest.mark.parametrize("largest", [20.3, 300.3, 1002.6])
def test_gradient_of_a_saturated_cap(eager: Subject, largest: float) -> None:
    """1 - tanh^2 in all its digits, where the logits are many times the cap."""
    logits, cap = floats([[largest, largest - 1.0, largest - 2.0]]), 30.0
    found = eager.gradient(xentropy.cross_entropy, {"logits": logits, "targets": np.array([0])}, softcap=cap)
    with mp.workdps(60):
        capped = [cap * mp.tanh(mpf(float(x)) / cap) for x in logits[0]]
        others = mp.fsum(mp.exp(x - capped[0]) for x in capped[1:])
        exact = -others / (1 + others) / mp.cosh(mpf(float(logits[0, 0])) / cap) ** 2
        error = abs(mpf(float(found[0, 0])) / exact - 1)
    # Without float64 the exponent, twice the ratio, is rounded.
    bound = 4.0 if eager.harness.wide else 4.0 + 4.0 * largest / cap + 3.0 * cap
    assert error <= bound * 2.0**-23


def test_class_mask_is_minus_infinity(eager: Subject) -> None:
    """An excluded class is one whose logit is -inf, after the softcap and the temperature."""
    excluded = np.where(MASK, X, -np.inf).astype(np.float32)
    masked = rows(eager, X, MASKED, {"class_mask": np.array(MASK)})
    np.testing.assert_array_equal(masked, rows(eager, excluded, MASKED))
    capped = (2.0 * np.tanh(X.astype(np.float64) / 2.0)).astype(np.float32)
    capped = np.where(MASK, capped, -np.inf).astype(np.float32)
    found = rows(eager, X, MASKED, {"class_mask": np.array(MASK)}, softcap=2.0)
    np.testing.assert_allclose(found, rows(eager, capped, MASKED), rtol=1e-5)


def test_class_mask_is_fewer_classes(eager: Subject) -> None:
    """Excluding the last class is leaving it out, under every other option."""
    options = {"label_smoothing": 0.1, "temperature": 2.0, "focal_gamma": 2.0, "z_loss": 0.1}
    arrays = {"class_weight": floats(CLASS_WEIGHTS), "sample_weight": floats(SAMPLE_WEIGHTS)}
    shorter = arrays | {"class_weight": arrays["class_weight"][:3]}
    for targets, fewer in ((MASKED, MASKED), (floats(MASKED_SOFT_TARGETS), floats(MASKED_SOFT_TARGETS)[:, :3])):
        found = rows(eager, X, targets, arrays | {"class_mask": np.array(MASK)}, **options)
        np.testing.assert_allclose(found, rows(eager, X[:, :3], fewer, shorter, **options), **CLOSE)


def test_excluded_class_has_no_gradient(subject: Subject) -> None:
    arrays = {"logits": X, "targets": MASKED, "class_mask": np.array(MASK)}
    gradient = subject.gradient(xentropy.cross_entropy, arrays, label_smoothing=0.2)
    assert not gradient[:, 3].any()
    np.testing.assert_allclose(gradient.sum(axis=-1), 0.0, atol=1e-7)


def test_focal_factor_is_per_class(eager: Subject) -> None:
    """Soft targets are the mixture of the hard ones."""
    hard = [rows(eager, X, np.full(5, j), focal_gamma=2.0) for j in range(CLASSES)]
    np.testing.assert_allclose(rows(eager, X, SOFT, focal_gamma=2.0), np.sum(SOFT.T * hard, axis=0), **CLOSE)


def test_smoothing_is_a_mixture(eager: Subject) -> None:
    """Of the label and all classes alike, each with its own weight."""
    weight = {"class_weight": floats(CLASS_WEIGHTS)}
    all_alike = np.mean([rows(eager, X, np.full(5, j), weight) for j in range(CLASSES)], axis=0)
    found = rows(eager, X, Y, weight, label_smoothing=0.25)
    np.testing.assert_allclose(found, 0.75 * rows(eager, X, Y, weight) + 0.25 * all_alike, **CLOSE)


def test_z_loss_is_added_per_row(eager: Subject) -> None:
    """Times the sample weight only: not the class weight, the target mass or the focal factor."""
    squared = np.log(np.sum(np.exp(X.astype(np.float64)), axis=-1)) ** 2
    sample = floats(SAMPLE_WEIGHTS)
    arrays = {"class_weight": floats(CLASS_WEIGHTS), "sample_weight": sample}
    for targets in (Y, SOFT, 3 * SOFT, np.zeros_like(SOFT)):
        without = rows(eager, X, targets, arrays, focal_gamma=1.0)
        found = rows(eager, X, targets, arrays, focal_gamma=1.0, z_loss=0.25)
        np.testing.assert_allclose(found, without + 0.25 * sample * squared, rtol=1e-6)


def test_binary_smoothing(eager: Subject) -> None:
    """y becomes y (1 - epsilon) + epsilon / 2."""
    y = floats([[0.0, 1.0, 0.25, 0.75]] * 5)
    function = xentropy.binary_cross_entropy
    found = eager.value(function, {"logits": X, "targets": y}, label_smoothing=0.5, reduction="none")
    smoothed = eager.value(function, {"logits": X, "targets": 0.5 * y + floats(0.25)}, reduction="none")
    np.testing.assert_allclose(found, smoothed, rtol=1e-6)


def test_binary_is_softmax_of_two(eager: Subject) -> None:
    """The logit against 0; the weights against class weights."""
    z, y = X.reshape(-1), np.arange(20) % 2
    pairs = np.stack([np.zeros_like(z), z], axis=-1)
    options = {"focal_gamma": 1.5, "label_smoothing": 0.125}
    binary = eager.value(
        xentropy.binary_cross_entropy,
        {"logits": z, "targets": y, "pos_weight": floats(3.0)},
        reduction="none",
        **options,
    )
    found = rows(eager, pairs, y, {"class_weight": floats([1.0, 3.0])}, **options)
    np.testing.assert_allclose(binary, found, **CLOSE)


@pytest.mark.parametrize("function", [xentropy.cross_entropy, xentropy.binary_cross_entropy])
def test_probabilities_are_what_logits_make(eager: Subject, function: Any) -> None:
    """from_logits=False of the probabilities is the loss of the logits."""
    # Mild logits: a probability near 1 has no room for how near.
    logits = floats(0.25) * X
    x = logits.astype(np.float64)
    if function is xentropy.cross_entropy:
        p = np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)
    else:
        p = 1 / (1 + np.exp(-x))
    options = {"label_smoothing": 0.125, "focal_gamma": 2.0, "reduction": "none"}
    given = eager.value(function, {"logits": p.astype(np.float32), "targets": SOFT}, from_logits=False, **options)
    np.testing.assert_allclose(given, eager.value(function, {"logits": logits, "targets": SOFT}, **options), rtol=2e-5)
