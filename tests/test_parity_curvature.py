"""The exact curvature against difference quotients of difference quotients, in hundreds of digits."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import reference
from mpmath import mp, mpf

from xentropy.parity import highprec
from xentropy.parity.cases import Array, Case
from xentropy.parity.curvature import curvature, direction

RNG = np.random.default_rng(7)
ROWS, CLASSES = 3, 4
DIGITS = 450
LABELS = np.asarray([2, 0, 3], dtype=np.int32)


def normal(scale: float = 3.0) -> Array:
    return (scale * RNG.standard_normal((ROWS, CLASSES))).astype(np.float32)


def ahead(lead: float) -> Array:
    logits = normal(1.0)
    logits[np.arange(ROWS), LABELS] += np.float32(lead)
    return logits


def holes(logits: Array) -> Array:
    out = logits.copy()
    out[np.arange(ROWS), (LABELS + 1) % CLASSES] = -np.inf
    return out


def dropped_by_nan(logits: Array) -> Array:
    out = logits.copy()
    out[1] = np.nan
    return out


SOFT = RNG.dirichlet(np.full(CLASSES, 0.7), ROWS).astype(np.float32)
SPARSE = np.asarray([[0, 0.5, 0.5, 0], [1, 0, 0, 0], [0.25, 0, 0.25, 0.5]], dtype=np.float32)
PROBABILITIES = RNG.dirichlet(np.full(CLASSES, 0.5), ROWS).astype(np.float32)
CLASS_WEIGHT = np.asarray([0.5, 1.5, 2.0, 0.25], dtype=np.float32)
SAMPLE_WEIGHT = np.asarray([0.5, 0.0, 3.0], dtype=np.float32)
IGNORED = np.asarray([2, -100, 3], dtype=np.int32)
Z, Y = np.asarray([-1.5, 40.0, 80.0, -80.0], dtype=np.float32), np.asarray([1, 0, 1, 1], dtype=np.float32)
P, SHARE = np.asarray([0.3, 1e-6, 0.999, 0.5], np.float32), np.asarray([0.25, 0.0, 1.0, 0.75], dtype=np.float32)
POS_WEIGHT, EACH = np.asarray([3, 0.5, 2, 1], np.float32), np.asarray([1, 0.5, 0, 2], dtype=np.float32)

CASES = {
    case.name: case
    for case in [
        Case("indices", normal(), LABELS),
        Case("confident", ahead(80.0), LABELS),
        Case("wrong", ahead(80.0), (LABELS + 1) % np.int32(CLASSES)),
        Case("offset", normal() + np.float32(1e6), LABELS),
        Case("class-weight", normal(), LABELS, class_weight=CLASS_WEIGHT),
        Case("sample-weight", dropped_by_nan(normal()), LABELS, sample_weight=SAMPLE_WEIGHT),
        Case("ignored", dropped_by_nan(normal()), IGNORED, ignore_index=-100),
        Case("smoothing", normal(), LABELS, label_smoothing=0.1, class_weight=CLASS_WEIGHT),
        Case("minus-inf", holes(normal()), LABELS),
        Case("soft", normal(), SOFT),
        Case("soft-weighted", normal(), SPARSE, class_weight=CLASS_WEIGHT, label_smoothing=0.2),
        Case("soft-sample", normal(), SOFT, sample_weight=SAMPLE_WEIGHT),
        Case("float16", normal(), SOFT).rounded_to("float16"),
        Case("bfloat16", ahead(30.0), LABELS).rounded_to("bfloat16"),
        Case("probabilities", PROBABILITIES, LABELS, from_logits=False),
        Case("probabilities-soft", PROBABILITIES, SPARSE, from_logits=False, class_weight=CLASS_WEIGHT),
        Case("probabilities-ignored", dropped_by_nan(PROBABILITIES), IGNORED, from_logits=False, ignore_index=-100),
        Case("binary", Z, Y, binary=True),
        Case("binary-weighted", Z, SHARE, binary=True, pos_weight=POS_WEIGHT, sample_weight=EACH),
        Case("binary-smoothing", Z, Y, binary=True, label_smoothing=0.2),
        Case("binary-probabilities", P, SHARE, binary=True, from_logits=False, pos_weight=POS_WEIGHT),
    ]
}


def widened(case: Case) -> Case:
    names = ("logits", "class_weight", "sample_weight", "pos_weight", *(["targets"] if case.soft else []))
    arrays = {name: getattr(case, name) for name in names}
    wide = {name: array.astype(np.float64) for name, array in arrays.items() if array is not None}
    return replace(case, dtype="float64", **wide)


def due(case: Case) -> Array:
    """d/dh of the gradient at logits + h * (unit vector of each row's class of the largest target)."""
    with mp.workdps(DIGITS):
        gradients = []
        for sign in (1, -1):
            f, rows, along = loss_of(case)
            moved = [
                [x + sign * reference.STEP * d for x, d in zip(xs, ds, strict=True)]
                for xs, ds in zip(rows, along, strict=True)
            ]
            gradients.append(np.asarray(reference.gradient(f, moved), dtype=object))
        return ((gradients[0] - gradients[1]) / (2 * reference.STEP)).astype(np.float64).reshape(case.logits.shape)


def loss_of(case: Case) -> tuple[Any, Any, Any]:
    weight = np.ones(len(case.targets)) if case.sample_weight is None else case.sample_weight
    weight = np.where(case.dropped, 0.0, weight)
    if case.binary:
        rows, goal = reference.numbers(case.logits[None]), reference.numbers(case.targets[None])
        positive = None if case.pos_weight is None else case.pos_weight[None]
        loss = reference.BinaryLoss(positive, weight[None], case.label_smoothing, from_logits=case.from_logits)
        return lambda at: mp.fsum(loss.rows(at, goal)[0]), rows, [[mpf(1)] * len(rows[0])]
    label = case.targets.argmax(axis=1) if case.soft else case.targets
    one_hot = np.asarray([[float(j == y) for j in range(CLASSES)] for y in label])
    goal = reference.numbers(case.targets if case.soft else one_hot)
    own = reference.SoftmaxLoss(case.class_weight, weight, None, case.label_smoothing, case.from_logits)
    return lambda at: mp.fsum(own.rows(at, goal)), reference.numbers(case.logits), reference.numbers(one_hot)


@pytest.fixture(scope="module", params=CASES.values(), ids=list(CASES))
def pair(request: pytest.FixtureRequest) -> tuple[Case, Array]:
    return request.param, due(request.param)


def test_the_formulas_in_float64(pair: tuple[Case, Array]) -> None:
    case, expected = pair
    found = curvature(case)
    assert found.dtype == np.float64
    assert np.any(expected != 0)
    # Of logits a part of the row's weight, which is 15 at most; of probabilities nothing is a difference.
    np.testing.assert_allclose(found, expected, rtol=1e-14 if not case.from_logits else 0, atol=1e-15 * 15)
    np.testing.assert_array_equal(found[case.dropped], 0.0)


def test_a_confident_row_keeps_its_digits() -> None:
    """Nothing cancels: the entries are exact to a part of themselves, however small."""
    for name in ("confident", "indices", "wrong"):
        np.testing.assert_allclose(curvature(CASES[name]), due(CASES[name]), rtol=1e-12, atol=0)


def test_many_digits_are_rounded_once(pair: tuple[Case, Array]) -> None:
    case, expected = pair
    np.testing.assert_array_equal(highprec.curvature(case), expected)


@pytest.mark.parametrize("name", ["indices", "smoothing", "minus-inf", "ignored", "soft", "probabilities", "binary"])
def test_float64_goes_through_many_digits(name: str) -> None:
    wide = widened(CASES[name])
    scale = 600.0 / 80.0 if name == "binary" else 1.0
    wide = replace(wide, logits=wide.logits * scale)
    np.testing.assert_array_equal(curvature(wide), due(wide))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_of_a_binary_case_may_be_thousands(dtype: str) -> None:
    z, y = np.asarray([1e4, -1e4, 1e4], dtype=dtype), np.asarray([0.0, 1.0, 1.0], dtype=dtype)
    case = Case("far", z, y, dtype=dtype, binary=True)
    np.testing.assert_array_equal(curvature(case), [0.0, 0.0, 0.0])  # exp(-10000)
    (loss, _), (gradient, _) = highprec.exact(case)
    np.testing.assert_array_equal(loss, [1e4, 1e4, 0.0])
    np.testing.assert_array_equal(gradient, [1.0, -1.0, 0.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("row", [[np.nan, 0.0], [np.inf, 0.0], [0.0, np.inf], [-np.inf, -np.inf], [0.0, np.nan]])
def test_rows_without_a_loss_have_no_curvature(dtype: str, row: list[float]) -> None:
    case = Case("broken", np.asarray([row, [0.0, 0.0]], dtype=dtype), np.zeros(2, dtype=np.int32), dtype=dtype)
    found = curvature(case)
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1], [0.25, -0.25])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinite_logits_have_the_curvature_of_the_limit(dtype: str) -> None:
    zero = np.zeros(1, dtype=np.int32)
    lost = Case("lost", np.asarray([[-np.inf, 0.0, 1.0]], dtype=dtype), zero, dtype=dtype)
    np.testing.assert_array_equal(curvature(lost), [[0.0, 0.0, 0.0]])
    z = np.asarray([np.inf, -np.inf, np.nan], dtype=dtype)
    found = curvature(Case("binary", z, np.asarray([1, 0, 1], dtype=dtype), dtype=dtype, binary=True))
    np.testing.assert_array_equal(found, [0.0, 0.0, np.nan])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_probability_of_zero_counts_where_there_is_a_target(dtype: str) -> None:
    p, zero = np.asarray([[0.0, 1.0]], dtype=dtype), np.zeros(1, dtype=np.int32)
    case = Case("p", p, zero, dtype=dtype, from_logits=False)
    np.testing.assert_array_equal(curvature(case), [[math.inf, 0.0]])
    np.testing.assert_array_equal(curvature(replace(case, targets=zero + 1)), [[0.0, 1.0]])
    ends = Case("ends", p[0], np.asarray([0.0, 1.0], dtype=dtype), dtype=dtype, from_logits=False, binary=True)
    np.testing.assert_array_equal(curvature(ends), [1.0, 1.0])


def test_the_direction_is_the_class_of_the_largest_target() -> None:
    np.testing.assert_array_equal(direction(CASES["ignored"]), [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(direction(CASES["soft-weighted"]), [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(direction(CASES["binary-weighted"]), [1, 1, 0, 1])
    assert direction(CASES["float16"]).dtype == np.float32
    assert direction(widened(CASES["soft"])).dtype == np.float64
