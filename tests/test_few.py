"""Few rows: the mean is computed in float64, where that is exact enough; it has to be, up to where it is given up."""

from __future__ import annotations

import numbers_table
import numpy as np
import pytest
from harness import Subject
from mpmath import mp

import xentropy
from xentropy import few
from xentropy_numpy.backend import backend as numpy_backend

# The label ahead of the others by this much: losses from 0.7 to 1e-13.
AHEAD = np.linspace(0.0, 30.0, 61)


def row(classes: int, ahead: float) -> numbers_table.Rows:
    x = np.random.default_rng(classes).normal(size=(1, classes)).astype(np.float32)
    x[0, 1] = x.max() + np.float32(ahead)
    return numbers_table.rows(x, np.array([1]))


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_every_confidence(subject: Subject, classes: int) -> None:
    """The mean of one row, and its gradient, on both sides of the limit."""
    for ahead in AHEAD:
        table = row(classes, ahead)
        value = subject.value(xentropy.cross_entropy, table.arrays)
        gradient = subject.gradient(xentropy.cross_entropy, table.arrays)
        assert table.losses.ulps(value[None], "float32") <= table.relative
        at_label = table.gradients.ulps(gradient, "float32")[0, 1]
        assert at_label <= table.relative


@pytest.mark.parametrize("classes", [2, 10, 1000, few.LIMIT])
def test_exact_enough(classes: int) -> None:
    """Either a hundredth of float32's own error, or None; and None only where rows are confident."""
    for ahead in AHEAD:
        x = row(classes, ahead).logits if classes <= numbers_table.MANY_DIGITS_UP_TO else None
        if x is None:
            x = np.zeros((1, classes), np.float32)
            x[0, 1] = ahead
        with mp.workdps(40):
            terms = [mp.exp(mp.mpf(float(each)) - mp.mpf(float(x[0, 1]))) for each in np.delete(x[0], 1)]
            exact = mp.log1p(mp.fsum(terms))
        found = few.mean(numpy_backend, x, np.array([1]))
        assert (found is None) == (exact <= few.LEAST * classes)
        if found is not None:
            assert abs(found[0] - exact) <= exact * 2.0**-31


def test_the_axis_of_the_rows(subject: Subject) -> None:
    """Two axes of one length: the classes are along the one that is named."""
    x = np.random.default_rng(3).normal(size=(3, 3)).astype(np.float32)
    arrays = {"logits": x, "targets": np.array([2, 0, 0])}
    transposed = {"logits": x.T.copy(), "targets": np.array([2, 0, 0])}
    expected = numbers_table.rows(x, arrays["targets"]).losses.high.mean()
    for found in (
        subject.value(xentropy.cross_entropy, arrays),
        subject.value(xentropy.cross_entropy, arrays, axis=1),
        subject.value(xentropy.cross_entropy, transposed, axis=0),
        subject.value(xentropy.cross_entropy, transposed, axis=-2),
    ):
        np.testing.assert_allclose(found, expected, rtol=5e-7)


def test_a_mean_beyond_float32(subject: Subject) -> None:
    """Infinite, without a warning."""
    arrays = {"logits": np.array([[3.4e38, -3.4e38, 0.0]], np.float32), "targets": np.array([1])}
    assert subject.value(xentropy.cross_entropy, arrays) == np.inf
