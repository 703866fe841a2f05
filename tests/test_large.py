"""Logits of many blocks, where rows and classes are cut and merged again, against NumPy's own float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import Subject

import xentropy

INF = np.inf
# More than one block of rows everywhere; classes that cut into blocks, one block, and none (30,011 is prime).
SHAPES = [(70, 30_000), (70, 30_011), (3000, 1003), (40_000, 7)]
Numbers = np.ndarray[Any, Any]


def drawn(rows: int, classes: int, scale: float) -> tuple[Numbers, Numbers]:
    """Logits, a quarter of them confident and a quarter very much so, and labels."""
    random = np.random.default_rng(rows)
    x = (scale * random.standard_normal((rows, classes))).astype(np.float32)
    y = random.integers(0, classes, rows)
    x[np.arange(0, rows, 4), y[::4]] += 20.0
    x[np.arange(1, rows, 4), y[1::4]] += 60.0
    return x, y


def exact(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """Loss and gradient of every row, the label left out of the sum that it is compared with."""
    wide, rows = x.astype(np.float64), np.arange(len(y))
    others = wide.copy()
    others[rows, y] = -INF
    largest = others.max(-1)
    # At most e^100 here, and float64 goes to e^709.
    parts = np.exp(others - largest[:, None])
    total, ahead = parts.sum(-1), wide[rows, y] - largest
    gradient = parts / (total + np.exp(ahead))[:, None]
    gradient[rows, y] = -total / (total + np.exp(ahead))
    return np.logaddexp(0.0, np.log(total) - ahead), gradient


def assert_near(found: Any, x: Numbers, y: Numbers, losses: Numbers, gradient: Numbers) -> None:
    """Within 4 + span units, rows by their own span; other classes' gradients by that of their logit."""
    span = (x.max(-1) - x.min(-1)).astype(np.float64)
    bound = (4.0 + span) * 2.0**-23
    rows = np.arange(len(y))
    assert (np.abs(found[0] - losses) <= bound * losses).all()
    assert (np.abs(found[1][rows, y] - gradient[rows, y]) <= bound * -gradient[rows, y]).all()
    assert (np.abs(found[1] - gradient) <= bound[:, None] * np.abs(gradient) + 2.0**-126).all()


def computed(subject: Subject, arrays: dict[str, Any], **options: Any) -> tuple[Numbers, Numbers]:
    rows = subject.value(xentropy.cross_entropy, arrays, **options, reduction="none")
    return rows, subject.gradient(xentropy.cross_entropy, arrays, **options, reduction="sum")


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_many_blocks(subject: Subject, shape: tuple[int, int]) -> None:
    x, y = drawn(*shape, scale=3.0)
    assert_near(computed(subject, {"logits": x, "targets": y}), x, y, *exact(x, y))


@pytest.mark.parametrize("classes", [64, 96, 256, 512])
def test_few_blocks_of_classes(subject: Subject, classes: int) -> None:
    """Multiples of a half, whose differences nobody rounds: no row errs by its span."""
    random = np.random.default_rng(classes)
    x, y = random.integers(-16, 17, (200, classes)) / 2.0, random.integers(0, classes, 200)
    x[np.arange(200), y] += 12.0 + random.integers(0, 24, 200)
    losses, _ = exact(x.astype(np.float32), y)
    found = subject.value(xentropy.cross_entropy, {"logits": x.astype(np.float32), "targets": y}, reduction="none")
    assert (np.abs(found - losses) <= 5.0 * np.spacing(losses.astype(np.float32))).all()


def test_blocks_of_classes_that_are_all_excluded(subject: Subject) -> None:
    """A padded vocabulary: -inf from some class on, so that whole blocks have no logit."""
    x, y = drawn(70, 30_000, scale=3.0)
    kept = x[:, :1000].copy()
    labels = y % 1000
    kept[0, :] = -INF
    kept[0, labels[0]] = 1.0
    x = np.full_like(x, -INF)
    x[:, :1000] = kept
    found = computed(subject, {"logits": x, "targets": labels})
    assert found[0][0] == 0.0
    assert (found[1][0] == 0.0).all()
    assert (found[1][:, 1000:] == 0.0).all()
    losses, gradient = exact(kept[1:], labels[1:])
    assert_near((found[0][1:], found[1][1:, :1000]), kept[1:], labels[1:], losses, gradient)


@pytest.mark.parametrize("weighted", [False, True], ids=["ignored", "weighted"])
def test_removed_rows_among_blocks(subject: Subject, weighted: bool) -> None:
    """Rows of NaN, removed, leave every other as it is."""
    x, y = drawn(70, 30_000, scale=3.0)
    losses, gradient = exact(x, y)
    removed = np.arange(70) % 3 == 0
    x[removed] = np.nan
    arrays = {"logits": x, "targets": np.where(removed, -100, y)}
    if weighted:
        arrays["sample_weight"] = np.where(removed, 0.0, 1.0).astype(np.float32)
    found = computed(subject, arrays, ignore_index=-100)
    assert (found[0][removed] == 0.0).all()
    assert (found[1][removed] == 0.0).all()
    left = ~removed
    assert_near((found[0][left], found[1][left]), x[left], y[left], losses[left], gradient[left])


@pytest.mark.parametrize("poison", [np.nan, INF])
def test_poisoned_rows_among_blocks(subject: Subject, poison: float) -> None:
    """NaN or +inf, at the label or not, make their own row NaN and no other."""
    x, y = drawn(70, 30_000, scale=3.0)
    losses, gradient = exact(x, y)
    x[3, y[3]] = poison
    x[5, (y[5] + 1) % 30_000] = poison
    found = computed(subject, {"logits": x, "targets": y})
    assert np.isnan(found[0][[3, 5]]).all()
    assert np.isnan(found[1][[3, 5]]).all()
    left = np.delete(np.arange(70), [3, 5])
    assert_near((found[0][left], found[1][left]), x[left], y[left], losses[left], gradient[left])


def test_a_row_is_its_own_whatever_is_nan_beside_it(subject: Subject) -> None:
    """NaN in one row, and blocks of nothing but -inf in another of the same block."""
    x, y = drawn(70, 30_000, scale=3.0)
    x[1, 5] = np.nan
    x[2, 1024:] = -INF
    labels = y % 1024
    found = computed(subject, {"logits": x, "targets": labels})
    assert np.isnan(found[0][1])
    losses, gradient = exact(x[2:3, :1024], labels[2:3])
    assert_near((found[0][2:3], found[1][2:3, :1024]), x[2:3, :1024], labels[2:3], losses, gradient)
    assert (found[1][2, 1024:] == 0.0).all()


def test_elements_in_many_blocks(subject: Subject) -> None:
    """Binary losses and their gradients, summed and one by one; infinite logits that count, and that don't."""
    random = np.random.default_rng(0)
    z = (4.0 * random.standard_normal((3000, 1003))).astype(np.float32)
    y = random.integers(0, 2, z.shape).astype(np.float32)
    y[::3] = random.random((1000, 1003), dtype=np.float32)
    z[1, 5], y[1, 5] = INF, 1.0
    z[2000, 7], y[2000, 7] = -INF, 0.0
    wide, target = z.astype(np.float64), y.astype(np.float64)
    above, small = (wide > 0.0) - target, np.exp(-np.abs(wide))
    losses = np.log1p(small) + np.where(above == 0.0, 0.0, np.nan_to_num(wide) * above)
    # What p - y is the difference of, where it is small.
    parts = np.abs(above) + small / (1.0 + small)
    gradient = above - np.where(wide > 0.0, 1.0, -1.0) * small / (1.0 + small)
    arrays = {"logits": z, "targets": y}
    found = subject.value(xentropy.binary_cross_entropy, arrays, reduction="none")
    assert (np.abs(found - losses) <= 4.0 * 2.0**-23 * losses).all()
    for reduction, count in (("sum", 1), ("mean", z.size)):
        value = subject.value(xentropy.binary_cross_entropy, arrays, reduction=reduction)
        np.testing.assert_allclose(value, losses.sum() / count, rtol=2.0**-22)
        found = subject.gradient(xentropy.binary_cross_entropy, arrays, reduction=reduction)
        assert (np.abs(found - gradient / count) <= 4.0 * 2.0**-23 * parts / count).all()
    # One that counts: a sum of infinity, and nothing else in its gradient.
    y[2, 3], z[2, 3] = 0.0, INF
    assert subject.value(xentropy.binary_cross_entropy, arrays, reduction="mean") == INF
    found = subject.gradient(xentropy.binary_cross_entropy, arrays, reduction="sum")
    gradient[2, 3], parts[2, 3] = 1.0, 1.0
    assert (np.abs(found - gradient) <= 4.0 * 2.0**-23 * parts).all()
