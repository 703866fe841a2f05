"""precision="float64": float32 results that are right to the last bit, and the same bits on every backend."""

from __future__ import annotations

from typing import Any

import numbers_table
import numpy as np
import pytest
from cases import Case
from harness import Subject
from reference import ulp

import xentropy

# A few of each kind: every one of them is compiled anew in every mode.
CASES = (
    Case.INDEX,
    Case.INDEX_OFFSET,
    Case.IGNORED,
    Case.SMOOTHING_WEIGHTED,
    Case.FOCAL_ROOT,
    Case.EVERYTHING,
    Case.SOFT_MASS,
    Case.SOFT_MINUS_INF,
    Case.SOFT_EVERYTHING,
    Case.PROBABILITIES_SOFT,
    Case.BINARY,
    Case.BINARY_EVERYTHING,
)
some_cases = pytest.mark.parametrize("problem", [c.value for c in CASES], ids=[c.id for c in CASES])


def test_float64_arrays_are_off(subject: Subject) -> None:
    """What follows needs no switch: where a library has one for float64 (JAX), it is off."""
    narrow = subject.harness.dtype(subject.harness.asarray(np.zeros(1))) != "float64"
    with subject.harness.float64():
        assert subject.harness.dtype(subject.harness.asarray(np.zeros(1))) == "float64"
    assert narrow == (subject.harness.name == "jax")


@some_cases
def test_within_one_ulp(subject: Subject, problem: Any) -> None:
    static = {name: value for name, value in problem.static.items() if name != "normalizer"}
    rows = subject.value(problem.function, problem.arrays, **static, reduction="none", precision="float64")
    exact = problem.exact
    assert rows.dtype == np.float32
    assert np.where(np.abs(exact.rows.high) < 1e-37, 0.0, exact.rows.ulps(rows, "float32")).max() <= 1.0
    value, (gradient,) = subject.run_gradient(problem.function, problem.arrays, **problem.static, precision="float64")
    assert exact.mean.ulps(subject.harness.to_numpy(value), "float32") <= 1.0
    assert subject.harness.dtype(gradient) == "float32"
    # Terms of both signs cancel in float64 first: 1e-15 of the row's weights is what that may leave.
    errors = exact.gradient.error(subject.harness.to_numpy(gradient)) - 1e-15 * exact.scale
    assert (errors / ulp(exact.gradient.high, "float32")).max() <= 1.0


def test_gradient_where_the_loss_is_zero(subject: Subject) -> None:
    """A loss of 0, or one so small that it counts as 0, is differentiated like any other."""
    certain = {"logits": np.array([[1.0, 0.0]], np.float32), "targets": np.array([0])}
    found = subject.gradient(xentropy.cross_entropy, certain, from_logits=False, precision="float64")
    np.testing.assert_array_equal(found, [[-1.0, 0.0]])


@pytest.mark.parametrize("classes", [2, 10, 1000, 32_000])
def test_rows_within_one_ulp(subject: Subject, classes: int) -> None:
    rows = numbers_table.mixed(classes, "float32")
    found = subject.value(xentropy.cross_entropy, rows.arrays, reduction="none", precision="float64")
    normal = rows.losses.high >= 1e-37
    assert rows.losses.ulps(found, "float32")[normal].max() <= 1.0


@some_cases
def test_same_bits_everywhere(all_subjects: tuple[Subject, ...], problem: Any) -> None:
    static = {name: value for name, value in problem.static.items() if name != "normalizer"}
    found = {}
    for subject in all_subjects:
        if subject.mode == "compile":
            continue
        rows = subject.value(problem.function, problem.arrays, **static, reduction="none", precision="float64")
        value, (gradient,) = subject.run_gradient(
            problem.function, problem.arrays, **problem.static, precision="float64"
        )
        parts = (rows, subject.harness.to_numpy(value), subject.harness.to_numpy(gradient) + np.float32(0.0))
        found[subject.id] = b"".join(np.asarray(part, dtype=np.float32).tobytes() for part in parts)
    assert len(set(found.values())) == 1, {id: np.frombuffer(bits, np.float32) for id, bits in found.items()}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("classes", [10, 1000])
def test_same_bits_of_rows_everywhere(all_subjects: tuple[Subject, ...], classes: int, dtype: str) -> None:
    rows = numbers_table.mixed(classes, "float32")
    logits = np.clip(rows.logits, -60_000.0, 60_000.0).astype(dtype)
    found = {}
    for subject in all_subjects:
        if subject.mode != "compile" and dtype in subject.harness.floats:
            arrays = {"logits": logits, "targets": rows.labels}
            losses = subject.value(xentropy.cross_entropy, arrays, reduction="none", precision="float64")
            gradient = subject.gradient(xentropy.cross_entropy, arrays, reduction="sum", precision="float64")
            assert losses.dtype == np.float32
            assert gradient.dtype == dtype
            found[subject.id] = losses.tobytes() + (gradient + gradient.dtype.type(0.0)).tobytes()
    assert len(set(found.values())) == 1, {id: bits[:40] for id, bits in found.items()}
