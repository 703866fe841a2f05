"""The promise: losses within 4 + span ulp of the exact value, gradients alike, whatever the rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numbers_table
import numpy as np
import pytest
from harness import Subject
from mpmath import mp, mpf
from numbers_table import Rows
from reference import Exact, ulp

import xentropy

SMALLEST = {"float32": 1e-37, "float64": 1e-307}
# Softmax and float64 accumulation leave 4e-7 in float32; the same number of its own ulp in float64.
ELSEWHERE = {"float32": 4e-7, "float64": 4e-7 * 2.0**-29}
FLOAT64_CLASSES = tuple(c for c in numbers_table.CLASSES if c <= 1000)


def environment(subject: Subject, dtype: str) -> AbstractContextManager[Any]:
    return subject.harness.float64() if dtype == "float64" else nullcontext()


def check_losses(subject: Subject, rows: Rows, dtype: str) -> None:
    with environment(subject, dtype):
        found = subject.value(xentropy.cross_entropy, rows.arrays, reduction="none")
    assert found.dtype == dtype
    normal = rows.losses.high >= SMALLEST[dtype]
    excess = np.where(normal, rows.losses.ulps(found, dtype) - rows.relative, 0.0)
    assert excess.max() <= 0.0, (excess.argmax(), excess.max(), rows.relative[excess.argmax()])


def check_gradients(subject: Subject, rows: Rows, dtype: str) -> None:
    with environment(subject, dtype):
        found = subject.gradient(xentropy.cross_entropy, rows.arrays, reduction="sum")
    assert found.dtype == dtype
    errors = rows.gradients.error(found)
    at_label = np.arange(found.shape[-1]) == rows.labels[:, None]
    label_errors, exact = errors[at_label], rows.gradients.high[at_label]
    bounds = np.where(np.abs(exact) >= SMALLEST[dtype], rows.relative * ulp(exact, dtype), SMALLEST[dtype])
    assert np.all(label_errors <= bounds), np.max(label_errors / ulp(exact, dtype) - rows.relative)
    assert errors[~at_label].max() <= ELSEWHERE[dtype]


@pytest.mark.parametrize("classes", numbers_table.CLASSES)
def test_float32_losses(subject: Subject, classes: int) -> None:
    check_losses(subject, numbers_table.mixed(classes, "float32"), "float32")


@pytest.mark.parametrize("classes", numbers_table.CLASSES)
def test_float32_gradients(subject: Subject, classes: int) -> None:
    check_gradients(subject, numbers_table.mixed(classes, "float32"), "float32")


@pytest.mark.parametrize("classes", FLOAT64_CLASSES)
def test_float64_losses(subject: Subject, classes: int) -> None:
    check_losses(subject, numbers_table.mixed(classes, "float64"), "float64")


@pytest.mark.parametrize("classes", FLOAT64_CLASSES)
def test_float64_gradients(subject: Subject, classes: int) -> None:
    check_gradients(subject, numbers_table.mixed(classes, "float64"), "float64")


def test_many_rows(subject: Subject) -> None:
    check_losses(subject, numbers_table.many(), "float32")
    check_gradients(subject, numbers_table.many(), "float32")


@pytest.mark.compiled
def test_confident(subject: Subject) -> None:
    """However confident the row, its loss and its gradient keep their relative accuracy."""
    check_losses(subject, numbers_table.confident("float32"), "float32")
    check_gradients(subject, numbers_table.confident("float32"), "float32")


def test_confident_float64(subject: Subject) -> None:
    check_losses(subject, numbers_table.confident("float64"), "float64")
    check_gradients(subject, numbers_table.confident("float64"), "float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wrong(subject: Subject, dtype: str) -> None:
    check_losses(subject, numbers_table.wrong(dtype), dtype)
    check_gradients(subject, numbers_table.wrong(dtype), dtype)


@pytest.mark.compiled
def test_binary_confidence(subject: Subject) -> None:
    check_binary(subject, "float32", 86.0)


def test_binary_confidence_float64(subject: Subject) -> None:
    check_binary(subject, "float64", 700.0)


def check_binary(subject: Subject, dtype: str, most: float) -> None:
    """Nothing is subtracted from a binary logit, so losses and gradients are within 4 ulp, right or wrong."""
    z = np.concatenate([np.linspace(-most, most, 201), [1e-6, -1e-6, 1e-20]]).astype(dtype)[None, :]
    logits, labels = np.concatenate([z, z]), np.array([[0], [1]]) * np.ones(z.shape, dtype=np.int64)
    losses, gradients = exact_binary(logits.tobytes(), logits.shape, dtype)
    arrays = {"logits": logits, "targets": labels}
    with environment(subject, dtype):
        found = subject.value(xentropy.binary_cross_entropy, arrays, reduction="none")
        slopes = subject.gradient(xentropy.binary_cross_entropy, arrays, reduction="sum")
    assert losses.ulps(found, dtype).max() <= 4.0
    assert gradients.ulps(slopes, dtype).max() <= 4.0


@cache
def exact_binary(logits: bytes, shape: tuple[int, int], dtype: str) -> tuple[Exact, Exact]:
    """Losses and gradients of logits (first row label 0, second label 1)."""
    with mp.workdps(400):
        losses, gradients = [], []
        for sign, row in zip((1, -1), np.frombuffer(logits, dtype).reshape(shape), strict=True):
            odds = [mp.exp(sign * mpf(float(z))) for z in row]
            losses.append([mp.log(1 + o) for o in odds])
            gradients.append([sign * o / (1 + o) for o in odds])
        return Exact.of(losses), Exact.of(gradients)


# --- across backends ---------------------------------------------------------------------------------------------


def each(subjects: tuple[Subject, ...], function: Any, arrays: Any, **options: Any) -> Iterator[np.ndarray[Any, Any]]:
    for subject in subjects:
        if subject.mode != "compile":
            yield subject.value(function, arrays, **options)


@pytest.mark.parametrize("classes", numbers_table.CLASSES)
def test_backends_agree(all_subjects: tuple[Subject, ...], classes: int) -> None:
    """Any two backends, in any modes, are at most 4 ulp apart."""
    rows = numbers_table.mixed(classes, "float32")
    found = np.stack(list(each(all_subjects, xentropy.cross_entropy, rows.arrays, reduction="none"))).astype(np.float64)
    normal = rows.losses.high >= SMALLEST["float32"]
    spread = (found.max(axis=0) - found.min(axis=0)) / ulp(rows.losses.high, "float32")
    assert spread[normal].max() <= 4.0, [(s.id, list(f[normal])) for s, f in zip(all_subjects, found, strict=False)]
