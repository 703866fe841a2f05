"""Classes in several parts: the same cases and bounds as in the matrix, and the same numbers however many parts."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from cases import Case
from engines import Whole, engine
from harness import Harness
from reference import ulp
from test_matrix import SMALLEST, assert_within

import xentropy

CASES = [case for case in Case if not case.value.binary and case.value.options.get("from_logits", True)]


@cache
def evaluate(name: str, case: Case, parts: int, reduction: str) -> Whole:
    problem = case.value
    static = {key: value for key, value in problem.static.items() if key != "normalizer" or reduction == "mean"}
    wrt = ("logits", "targets") if problem.soft and name != "numpy" else ("logits",)
    return engine(name).evaluate(problem.arrays, {**static, "reduction": reduction}, parts, wrt)


def bounds(name: str, case: Case) -> np.ndarray[Any, Any]:
    """Those of the matrix; in ulp."""
    return 4.0 + case.value.exact.spans + (case.value.narrow_slack if name == "jax" else 0.0)


@pytest.fixture(params=CASES, ids=lambda case: case.id)
def spread_case(request: pytest.FixtureRequest) -> Case:
    """A case whose classes can be in parts."""
    case: Case = request.param
    return case


def test_parts_rows(spreading: Harness, spread_case: Case, parts: int) -> None:
    exact = spread_case.value.exact.rows
    found = evaluate(spreading.name, spread_case, parts, "none").value
    tiny = np.abs(exact.high) < SMALLEST
    assert_within(np.where(tiny, 0.0, exact.ulps(found, "float32")), bounds(spreading.name, spread_case), "row")
    assert np.all(np.abs(found[tiny]) <= SMALLEST)


def test_parts_mean_and_gradients(spreading: Harness, spread_case: Case, parts: int) -> None:
    answer, whole = spread_case.value.exact, evaluate(spreading.name, spread_case, parts, "mean")
    limits = bounds(spreading.name, spread_case)
    assert_within(answer.mean.ulps(whole.value, "float32"), limits.max() + 2.0, "mean")
    relative = (limits + 2.0)[:, None] * ulp(answer.gradient.high, "float32") + SMALLEST
    bound = np.where(answer.at_label, relative, 4e-7 * answer.scale)
    assert_within(answer.gradient.error(whole.gradients[0]), bound, "gradient")
    for found in whole.gradients[1:]:
        largest = np.max(np.abs(answer.target_gradient.high), axis=-1, keepdims=True)
        assert_within(answer.target_gradient.error(found), (limits + 4.0)[:, None] * ulp(largest, "float32"), "target")


def random_rows(classes: int, scale: float, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    logits = (scale * rng.normal(size=(24, classes))).astype(np.float32)
    return {"logits": logits, "targets": rng.integers(0, classes, 24)}


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "smoothing_z": {"label_smoothing": 0.1, "z_loss": 0.01},
    "softcap": {"softcap": 10.0, "temperature": 1.5},
    "focal": {"focal_gamma": 2.0},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("classes", [12, 1000])
def test_parts_agree_with_the_whole(spreading: Harness, parts: int, classes: int, options: dict[str, Any]) -> None:
    """Within 2 ulp of the loss that is not in parts, and 4e-7 of its gradient.

    Where no float64 is at hand, capped logits are rounded as distances from another largest one: 3 ulp were met.
    """
    arrays = random_rows(classes, 3.0)
    run = engine(spreading.name).evaluate
    rows = run(arrays, {**options, "reduction": "none"}, parts, ())
    whole = xentropy.cross_entropy(**arrays, **options, reduction="none")
    bound = 4.0 if spreading.name == "jax" and "softcap" in options else 2.0
    assert_within(np.abs(rows.value.astype(np.float64) - whole) / ulp(whole, "float32"), bound, "row")
    summed = run(arrays, {**options, "reduction": "sum"}, parts, ("logits",))
    _, gradient = xentropy.value_and_grad(xentropy.cross_entropy)(**arrays, **options, reduction="sum")
    assert_within(np.abs(summed.gradients[0] - gradient), 4e-7, "gradient")


@pytest.mark.parametrize("base", [-54.0, -30.0, 40.0, 1e4])
@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_parts_of_rows_far_from_0(spreading: Harness, parts: int, base: float, scale: float) -> None:
    """More classes than make a short row; the exponentials that are held for the gradient are those of the loss."""
    arrays = random_rows(1200, scale)
    arrays["logits"] += np.float32(base)
    summed = engine(spreading.name).evaluate(arrays, {"reduction": "sum"}, parts, ("logits",))
    value, gradient = xentropy.value_and_grad(xentropy.cross_entropy)(**arrays, reduction="sum")
    np.testing.assert_array_almost_equal_nulp(summed.value, value, 2)
    assert_within(np.abs(summed.gradients[0] - gradient), 4e-7, "gradient")


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_float64_is_the_same_in_any_number_of_parts(spreading: Harness, parts: int, options: dict[str, Any]) -> None:
    arrays = random_rows(60, 8.0, seed=parts)
    run, exactly = engine(spreading.name).evaluate, {**options, "precision": "float64"}
    rows = run(arrays, {**exactly, "reduction": "none"}, parts, ())
    np.testing.assert_array_equal(rows.value, xentropy.cross_entropy(**arrays, **exactly, reduction="none"))
    summed = run(arrays, {**exactly, "reduction": "sum"}, parts, ("logits",))
    value, gradient = xentropy.value_and_grad(xentropy.cross_entropy)(**arrays, **exactly, reduction="sum")
    np.testing.assert_array_equal(summed.value, value)
    np.testing.assert_array_equal(summed.gradients[0], gradient)
