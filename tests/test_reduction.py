"""none, sum, mean, and what the mean is divided by."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cases import (
    BINARY_LABELS,
    BINARY_LOGITS,
    BINARY_WEIGHTS,
    CLASS_WEIGHTS,
    LABELS,
    LOGITS,
    SAMPLE_WEIGHTS,
    SOFT_TARGETS,
    floats,
)
from harness import Subject

import xentropy

X, Y = floats(LOGITS), np.array(LABELS)
ARRAYS = {"logits": X, "targets": Y}
BINARY = {"logits": floats(BINARY_LOGITS), "targets": np.array(BINARY_LABELS)}


def loss(subject: Subject, arrays: dict[str, Any], **options: Any) -> np.ndarray[Any, Any]:
    return subject.value(xentropy.cross_entropy, arrays, **options)


@pytest.mark.parametrize(
    ("function", "arrays"), [(xentropy.cross_entropy, ARRAYS), (xentropy.binary_cross_entropy, BINARY)]
)
def test_reductions_agree(subject: Subject, function: Any, arrays: dict[str, Any]) -> None:
    rows = subject.value(function, arrays, reduction="none")
    assert rows.shape == arrays["targets"].shape
    total, mean = (subject.value(function, arrays, reduction=r) for r in ("sum", "mean"))
    assert total.shape == mean.shape == ()
    assert mean == subject.value(function, arrays)
    exact = math.fsum(rows.astype(np.float64).ravel())
    assert abs(total - exact) <= np.spacing(np.float32(exact))
    assert abs(mean - exact / rows.size) <= np.spacing(np.float32(exact / rows.size))


def test_weights_of_one_change_nothing(eager: Subject) -> None:
    for targets in (Y, floats(SOFT_TARGETS)):
        arrays = {"logits": X, "targets": targets}
        weighted = arrays | {"class_weight": np.ones(4, np.float32), "sample_weight": np.ones(5, np.float32)}
        for reduction in ("none", "sum", "mean"):
            assert np.array_equal(loss(eager, arrays, reduction=reduction), loss(eager, weighted, reduction=reduction))


def test_class_weights_are_in_the_denominator(eager: Subject) -> None:
    """For class indices the label's weight, as PyTorch divides."""
    weight = floats(CLASS_WEIGHTS)
    total = loss(eager, ARRAYS | {"class_weight": weight}, reduction="sum")
    mean = loss(eager, ARRAYS | {"class_weight": weight})
    np.testing.assert_allclose(mean, total / weight[Y].sum(), rtol=2e-7)


def test_smoothing_does_not_change_the_denominator(eager: Subject) -> None:
    weight = floats(CLASS_WEIGHTS)
    total, mean = (
        loss(eager, ARRAYS | {"class_weight": weight}, label_smoothing=0.5, reduction=r) for r in ("sum", "mean")
    )
    np.testing.assert_allclose(mean, total / weight[Y].sum(), rtol=2e-7)


def test_weighted_targets_are_in_the_denominator(eager: Subject) -> None:
    """For probabilities the sum of class weight times target, times the sample weight."""
    weight, sample, soft = floats(CLASS_WEIGHTS), floats(SAMPLE_WEIGHTS), floats(SOFT_TARGETS)
    arrays = {"logits": X, "targets": soft, "class_weight": weight, "sample_weight": sample}
    total, mean = (loss(eager, arrays, reduction=r) for r in ("sum", "mean"))
    np.testing.assert_allclose(mean, total / np.sum(sample[:, None] * soft * weight), rtol=3e-7)


def test_row_of_zero_targets_counts_for_nothing(eager: Subject) -> None:
    soft = floats(SOFT_TARGETS)
    soft[2] = 0.0
    arrays = {"logits": X, "targets": soft}
    assert loss(eager, arrays, reduction="none")[2] == 0.0
    others = [0, 1, 3, 4]
    assert loss(eager, arrays) == loss(eager, {"logits": X[others], "targets": soft[others]})
    assert not eager.gradient(xentropy.cross_entropy, arrays)[2].any()


def test_ignored_rows_are_not_in_the_denominator(eager: Subject) -> None:
    kept = loss(eager, {"logits": X[1:], "targets": Y[1:]})
    assert loss(eager, {"logits": X, "targets": np.append(-1, Y[1:])}, ignore_index=-1) == kept


@pytest.mark.parametrize("kind", ["number", "numpy scalar", "numpy", "own"])
def test_normalizer(subject: Subject, kind: str) -> None:
    total = loss(subject, ARRAYS, reduction="sum")
    if kind == "own":
        found = loss(subject, ARRAYS | {"normalizer": np.array(8.0, dtype=np.float32)})
    else:
        given = {"number": 8, "numpy scalar": np.float64(8.0), "numpy": np.array(8.0)}[kind]
        found = loss(subject, ARRAYS, normalizer=given)
    np.testing.assert_array_max_ulp(found, total / np.float32(8.0), maxulp=1)
    binary = subject.value(xentropy.binary_cross_entropy, BINARY, normalizer=8)
    total = subject.value(xentropy.binary_cross_entropy, BINARY, reduction="sum")
    np.testing.assert_array_max_ulp(binary, total / np.float32(8.0), maxulp=1)


ZERO = np.zeros(5, np.float32)
NOTHING = {
    "all ignored": (ARRAYS, {"ignore_index": 9, "targets": np.full(5, 9)}),
    "no sample weight": (ARRAYS, {"sample_weight": ZERO}),
    "no class weight": (ARRAYS, {"class_weight": ZERO[:4]}),
    "no targets": (ARRAYS, {"targets": np.zeros((5, 4), np.float32)}),
    "no rows": (ARRAYS, {"logits": X[:0], "targets": Y[:0]}),
    "no soft rows": (ARRAYS, {"logits": X[:0], "targets": X[:0]}),
    "normalizer 0": (ARRAYS, {"normalizer": np.array(0.0, np.float32)}),
    "binary, no sample weight": (BINARY, {"sample_weight": np.zeros((5, 3), np.float32)}),
    "binary, no elements": (BINARY, {"logits": X[:0], "targets": X[:0]}),
    "binary, normalizer 0": (BINARY, {"normalizer": np.array(0.0, np.float32)}),
}


@pytest.mark.parametrize("name", NOTHING)
def test_denominator_of_zero(subject: Subject, name: str) -> None:
    """Gives 0, with gradient 0."""
    base, changed = NOTHING[name]
    function = xentropy.binary_cross_entropy if base is BINARY else xentropy.cross_entropy
    arrays = base | {k: v for k, v in changed.items() if isinstance(v, np.ndarray)}
    static = {k: v for k, v in changed.items() if k not in arrays}
    assert subject.value(function, arrays, **static) == 0.0
    gradient = subject.gradient(function, arrays, **static)
    assert gradient.shape == arrays["logits"].shape
    assert not gradient.any()


def test_no_rows(subject: Subject) -> None:
    for shape, axis in (((0, 4), -1), ((2, 0, 4), -1), ((4, 0), 0)):
        logits = np.zeros(shape, np.float32)
        labels = np.zeros(tuple(np.delete(shape, axis)), np.int32)
        arrays = {"logits": logits, "targets": labels}
        assert loss(subject, arrays, axis=axis, reduction="none").shape == labels.shape
        assert loss(subject, arrays, axis=axis, reduction="sum") == 0.0


def test_sample_weight_broadcasts_to_the_rows(eager: Subject) -> None:
    logits, labels = np.stack([X, 2 * X, X - 1]), np.stack([Y, Y, Y])
    rows = loss(eager, {"logits": logits, "targets": labels}, reduction="none")
    for weight in (floats(SAMPLE_WEIGHTS), floats([[1.0], [2.0], [0.5]]), floats(3.0), floats([[2.0]])):
        arrays = {"logits": logits, "targets": labels, "sample_weight": weight}
        full = np.broadcast_to(weight, labels.shape)
        np.testing.assert_array_max_ulp(loss(eager, arrays, reduction="none"), rows * full, maxulp=2)
        np.testing.assert_allclose(loss(eager, arrays), np.sum(rows * full) / full.sum(), rtol=5e-7)


def test_binary_mean_is_over_elements(eager: Subject) -> None:
    """Weighted by the sample weight; pos_weight and focal_alpha are not in the denominator."""
    function = xentropy.binary_cross_entropy
    options = {"focal_alpha": 0.25}
    arrays = BINARY | {"pos_weight": floats([3.0, 0.5, 2.0])}
    total, mean = (eager.value(function, arrays, **options, reduction=r) for r in ("sum", "mean"))
    np.testing.assert_allclose(mean, total / 15, rtol=2e-7)
    for weight in (floats(BINARY_WEIGHTS), floats([[1.0], [2.0], [0.0], [0.5], [3.0]]), floats([0.5, 1.0, 2.0])):
        weighted = arrays | {"sample_weight": weight}
        total, mean = (eager.value(function, weighted, **options, reduction=r) for r in ("sum", "mean"))
        np.testing.assert_allclose(mean, total / np.broadcast_to(weight, (5, 3)).sum(), rtol=3e-7)


def test_sample_weights_scale_the_gradient(eager: Subject) -> None:
    weighted = eager.gradient(
        xentropy.cross_entropy, ARRAYS | {"sample_weight": floats(SAMPLE_WEIGHTS)}, reduction="sum"
    )
    plain = eager.gradient(xentropy.cross_entropy, ARRAYS, reduction="sum")
    np.testing.assert_allclose(weighted, plain * floats(SAMPLE_WEIGHTS)[:, None], rtol=5e-7)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_long_mean(subject: Subject, dtype: str) -> None:
    """A mean of 200,000 losses neither overflows in half precision nor drifts in float32."""
    if dtype not in subject.harness.floats:
        dtype = "float32"
    logits = np.tile(np.array([[0.0, 4.0], [1.0, 0.5]], dtype), (100_000, 1))
    labels = np.tile(np.array([0, 0]), 100_000)
    exact = (math.log1p(math.exp(4.0)) + math.log1p(math.exp(-0.5))) / 2
    mean = loss(subject, {"logits": logits, "targets": labels})
    assert abs(mean - exact) <= 6 * np.spacing(np.float32(exact))
    total = loss(subject, {"logits": logits, "targets": labels}, reduction="sum")
    assert abs(total - 200_000 * exact) <= 6 * np.spacing(np.float32(200_000 * exact))


def test_a_normalizer_of_zero_is_zero_in_every_form() -> None:
    """NumPy's float64 is a Python float, too."""
    for zero in (0.0, np.float64(0.0), np.array(0.0), np.float32(0.0)):
        assert xentropy.cross_entropy(X.astype(np.float64), Y, normalizer=zero) == 0.0
        assert xentropy.cross_entropy(X, Y, normalizer=zero) == 0.0
