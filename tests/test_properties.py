"""What holds for every input: hypothesis looks for one where it doesn't.

One shape, because libraries compile for each: what varies is the numbers.
"""

from __future__ import annotations

from typing import Any

import numbers_table
import numpy as np
from harness import Harness, Subject
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import xentropy

ROWS, CLASSES = 3, 5
LIMIT = 60.0

Floats = np.ndarray[Any, np.dtype[np.float32]]
logits = arrays(np.float32, (ROWS, CLASSES), elements=st.floats(-LIMIT, LIMIT, width=32, allow_subnormal=False))
labels = arrays(np.int32, ROWS, elements=st.integers(0, CLASSES - 1))
soft = arrays(np.float32, (ROWS, CLASSES), elements=st.floats(0.0, 2.0, width=32, allow_subnormal=False))
weights = arrays(np.float32, CLASSES, elements=st.floats(0.125, 4.0, width=32))
permutations = st.permutations(range(CLASSES))
# Multiples of 1/8 up to 2048: adding them to multiples of 1/64 below 64 is exact in float32.
shifts = st.integers(-16_384, 16_384).map(lambda n: np.float32(n / 8))
smoothings = st.sampled_from([0.0, 0.1, 1.0])


def rows(backend: Harness, x: Floats, targets: Any, **options: Any) -> Floats:
    return Subject(backend, "eager").value(
        xentropy.cross_entropy, {"logits": x, "targets": targets}, reduction="none", **options
    )


def gradient(backend: Harness, x: Floats, targets: Any, **options: Any) -> Floats:
    return Subject(backend, "eager").gradient(
        xentropy.cross_entropy, {"logits": x, "targets": targets}, reduction="sum", **options
    )


@given(x=logits, y=labels)
def test_within_the_bound(backend: Harness, x: Floats, y: Any) -> None:
    table = numbers_table.rows(x, y)
    normal = table.losses.high >= 1e-37
    assert np.all((table.losses.ulps(rows(backend, x, y), "float32") <= table.relative)[normal])


@given(x=logits, y=labels, shift=shifts)
def test_shift_changes_nothing(backend: Harness, x: Floats, y: Any, shift: np.float32) -> None:
    """Adding one number to the logits of short rows, where that is exact, changes no bit."""
    x = np.round(x * 64) / np.float32(64)
    assume(np.array_equal((x + shift) - shift, x))
    np.testing.assert_array_equal(rows(backend, x + shift, y), rows(backend, x, y))


@given(x=logits, y=labels, order=permutations)
def test_order_of_classes(backend: Harness, x: Floats, y: Any, order: list[int]) -> None:
    """Classes have no order: sums may round otherwise, by no more than their bound."""
    table = numbers_table.rows(x, y)
    moved = rows(backend, x[:, order], np.argsort(order)[y])
    normal = table.losses.high >= 1e-37
    assert np.all((table.losses.ulps(moved, "float32") <= table.relative)[normal])


@given(x=logits, y=labels, order=st.permutations(range(ROWS)), smoothing=smoothings)
def test_order_of_rows(backend: Harness, x: Floats, y: Any, order: list[int], smoothing: float) -> None:
    """Rows know nothing of each other."""
    moved = rows(backend, x[order], y[order], label_smoothing=smoothing)
    np.testing.assert_array_equal(moved, rows(backend, x, y, label_smoothing=smoothing)[order])


@given(x=logits, targets=st.one_of(labels, soft), smoothing=smoothings, gamma=st.sampled_from([0.0, 0.5, 2.0]))
def test_never_negative(backend: Harness, x: Floats, targets: Any, smoothing: float, gamma: float) -> None:
    found = rows(backend, x, targets, label_smoothing=smoothing, focal_gamma=gamma)
    assert np.all(found >= 0.0)
    assert np.isfinite(found).all()


@given(x=logits, targets=st.one_of(labels, soft), smoothing=smoothings)
def test_gradient_sums_to_zero(backend: Harness, x: Floats, targets: Any, smoothing: float) -> None:
    """Shifting a row changes nothing, so its gradient has no component along that."""
    found = gradient(backend, x, targets, label_smoothing=smoothing).astype(np.float64)
    mass = 1.0 if targets.ndim == 1 else 1.0 + targets.sum(axis=-1)
    assert np.all(np.abs(found.sum(axis=-1)) <= 4e-7 * mass)
    assert np.isfinite(found).all()


@given(x=logits, y=labels, weight=weights, smoothing=smoothings)
def test_one_hot_is_index(backend: Harness, x: Floats, y: Any, weight: Floats, smoothing: float) -> None:
    options = {"class_weight": backend.asarray(weight), "label_smoothing": smoothing}
    one_hot = np.eye(CLASSES, dtype=np.float32)[y]
    found, expected = rows(backend, x, one_hot, **options), rows(backend, x, y, **options)
    normal = expected >= 1e-36
    np.testing.assert_array_max_ulp(found[normal], expected[normal], maxulp=6)


@given(x=logits, t=soft, weight=weights, scale=st.sampled_from([0.25, 2.0, 8.0]))
def test_linear_in_targets_and_weights(backend: Harness, x: Floats, t: Any, weight: Floats, scale: float) -> None:
    """Powers of two, so that nothing rounds."""
    once = rows(backend, x, t, class_weight=backend.asarray(weight))
    factor = np.float32(scale)
    np.testing.assert_array_equal(rows(backend, x, factor * t, class_weight=backend.asarray(weight)), factor * once)
    np.testing.assert_array_equal(rows(backend, x, t, class_weight=backend.asarray(factor * weight)), factor * once)


@given(x=logits, targets=st.one_of(labels, soft), smoothing=smoothings)
def test_float64_is_float32_refined(backend: Harness, x: Floats, targets: Any, smoothing: float) -> None:
    """precision="float64" says the same to float32's accuracy."""
    narrow = rows(backend, x, targets, label_smoothing=smoothing)
    wide = rows(backend, x, targets, label_smoothing=smoothing, precision="float64")
    np.testing.assert_allclose(narrow, wide, rtol=130 * 6e-8, atol=1e-36)


@given(z=logits, y=arrays(np.int32, (ROWS, CLASSES), elements=st.integers(0, 1)))
def test_binary_symmetry(backend: Harness, z: Floats, y: Any) -> None:
    """The other label of the negated logit is the same, to the bit, and its gradient the negative."""
    subject, function = Subject(backend, "eager"), xentropy.binary_cross_entropy
    here, mirrored = ({"logits": a, "targets": b} for a, b in ((z, y), (-z, 1 - y)))
    np.testing.assert_array_equal(
        subject.value(function, here, reduction="none"), subject.value(function, mirrored, reduction="none")
    )
    np.testing.assert_array_equal(
        subject.gradient(function, here, reduction="sum"), -subject.gradient(function, mirrored, reduction="sum")
    )
