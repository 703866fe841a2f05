import math
from dataclasses import replace

import numpy as np
import pytest

from xentropy.parity import highprec
from xentropy.parity.cases import Array, Case
from xentropy.parity.families import FAMILIES
from xentropy.parity.reference import reference

ROWS = 24
MOST_CLASSES = 1000


def some_rows(given: Case) -> Case | None:
    """A few of the rows that mpmath can do: those with finite numbers, and with losses where p is given."""
    exact = reference(given)
    finite = np.isfinite(given.logits) if given.binary else np.isfinite(given.logits).all(axis=1)
    rows = np.flatnonzero((finite | given.dropped) & np.isfinite(exact.loss))
    if not rows.size or given.logits.size // given.logits.shape[0] > MOST_CLASSES:
        return None
    rows = rows[:: max(1, rows.size // ROWS)]
    per_row = {"logits": given.logits[rows], "targets": given.targets[rows]}
    for name in ("sample_weight", "pos_weight"):
        weight = getattr(given, name)
        per_row[name] = weight if weight is None else weight[rows]
    return replace(given, **per_row)


SMALL = {
    f"{family.name}-{given.name}": small
    for family in FAMILIES.values()
    if family.name != "float64"
    for given in family.cases(1)
    if (small := some_rows(given)) is not None
}


@pytest.mark.parametrize("name", SMALL)
def test_float64_formulas_agree_with_mpmath(name: str) -> None:
    given = SMALL[name]
    found = reference(given)
    (loss, _), (gradient, _) = highprec.exact(given)
    np.testing.assert_allclose(found.loss, loss, rtol=1e-13, atol=0)
    scale = np.broadcast_to(np.maximum(found.scale, 1.0), gradient.shape)
    tolerance = 1e-13 * np.where(found.at_label, np.abs(gradient), scale)
    assert np.all(np.abs(found.gradient - gradient) <= tolerance)


def test_the_comparison_covers_every_family_of_finite_numbers() -> None:
    covered = {name.rpartition("-")[0] for name in SMALL} | {name.partition("-")[0] for name in SMALL}
    assert {"digits", "confident", "offset", "soft", "weighted", "ignored", "smoothing", "binary"} <= covered
    assert {"probabilities", "float16", "bfloat16", "precision", "minus"} <= covered


def test_a_million_classes_against_a_correctly_rounded_sum() -> None:
    (given,) = (one for one in FAMILIES["many-classes"].cases(0) if one.name == "million")
    row, label = given.logits[0].astype(np.float64), int(given.targets[0])
    expected = math.log(math.fsum(np.exp(row))) - row[label]
    assert reference(given).loss[0] == pytest.approx(expected, rel=1e-13)


def case_of(logits: list[float], targets: Array, **options: object) -> Case:
    return Case("given", np.asarray([logits], dtype=np.float32), targets, **options)


FIRST = np.zeros(1, dtype=np.int32)


def test_closed_forms() -> None:
    found = reference(case_of([0.0, 0.0], FIRST))
    assert found.loss[0] == pytest.approx(math.log(2), rel=1e-15)
    np.testing.assert_allclose(found.gradient, [[-0.5, 0.5]])
    np.testing.assert_array_equal(found.at_label, [[True, False]])

    smoothed = reference(case_of([0.0, 0.0], FIRST, label_smoothing=0.5, class_weight=np.asarray([1.0, 3.0])))
    assert smoothed.loss[0] == pytest.approx((0.75 + 3 * 0.25) * math.log(2), rel=1e-15)
    assert not smoothed.at_label.any()

    positive = Case("given", np.zeros(1), np.ones(1), binary=True, pos_weight=np.asarray([3.0]))
    assert reference(positive).loss[0] == pytest.approx(3 * math.log(2), rel=1e-15)
    assert reference(positive).gradient[0] == -1.5


def test_span_counts_the_logits_that_matter() -> None:
    # exp(-60) is lost beside exp(-10); as the label it is the loss.
    np.testing.assert_allclose(reference(case_of([10.0, 0.0, -50.0], FIRST)).span, [10.0])
    np.testing.assert_allclose(reference(case_of([10.0, 0.0, -50.0], FIRST + np.int32(2))).span, [60.0])
    np.testing.assert_allclose(reference(case_of([10.0, 0.0, -np.inf], FIRST)).span, [10.0])


@pytest.mark.parametrize("row", [[np.nan, 0.0], [np.inf, 0.0], [0.0, np.inf], [-np.inf, -np.inf]])
def test_rows_without_a_loss_are_nan(row: list[float]) -> None:
    found = reference(case_of(row, FIRST))
    assert np.isnan(found.loss).all()
    assert np.isnan(found.gradient).all()


def test_label_at_minus_infinity_has_an_infinite_loss_and_a_gradient() -> None:
    found = reference(case_of([-np.inf, 0.0], FIRST))
    assert found.loss[0] == np.inf
    np.testing.assert_array_equal(found.gradient, [[-1.0, 1.0]])


def test_ignored_rows_are_exactly_zero() -> None:
    found = reference(case_of([np.nan, np.nan], FIRST - np.int32(1), ignore_index=-1))
    np.testing.assert_array_equal(found.loss, [0.0])
    np.testing.assert_array_equal(found.gradient, [[0.0, 0.0]])
    np.testing.assert_array_equal(found.scale, [[0.0]])


def test_float64_cases_come_with_a_tail() -> None:
    given = FAMILIES["float64"].cases(0)[0]
    found = reference(given)
    assert np.any(found.loss_tail != 0)
    assert np.all(np.abs(found.loss_tail) <= np.spacing(found.loss) / 2)
