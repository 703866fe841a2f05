"""Every case of the table, on every backend, in every mode, against the exact answer and against each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from cases import Case
from harness import Subject
from reference import ulp

# Below this, float32 losses run into subnormal numbers, which compilers may flush to zero.
SMALLEST = 1e-37


@dataclass(frozen=True)
class Found:
    """What one backend in one mode says of one case."""

    rows: np.ndarray[Any, Any]
    mean: np.ndarray[Any, Any]
    gradients: tuple[np.ndarray[Any, Any], ...]


@cache
def evaluate(subject: Subject, case: Case) -> Found:
    problem = case.value
    static = {name: value for name, value in problem.static.items() if name != "normalizer"}
    rows = subject.value(problem.function, problem.arrays, **static, reduction="none")
    wrt = ("logits", "targets") if problem.soft and subject.harness.autodiff else ("logits",)
    mean, gradients = subject.run_gradient(problem.function, problem.arrays, wrt, **problem.static, reduction="mean")
    return Found(rows, subject.harness.to_numpy(mean), tuple(map(subject.harness.to_numpy, gradients)))


def row_bounds(subject: Subject, case: Case) -> np.ndarray[Any, Any]:
    """In ulp: 4, and the rounding of the differences between logits that contribute."""
    return 4.0 + case.value.exact.spans + (0.0 if subject.harness.wide else case.value.narrow_slack)


def assert_within(errors: np.ndarray[Any, Any], bounds: Any, what: str) -> None:
    bounds = np.broadcast_to(bounds, errors.shape)
    wrong = ~(errors <= bounds)
    lines = [f"{what}{list(map(int, i))}: {errors[tuple(i)]:.4g} > {bounds[tuple(i)]:.4g}" for i in np.argwhere(wrong)]
    assert not lines, "\n".join(lines)


def test_rows(subject: Subject, case: Case) -> None:
    exact, found = case.value.exact.rows, evaluate(subject, case).rows
    tiny = np.abs(exact.high) < SMALLEST
    assert_within(np.where(tiny, 0.0, exact.ulps(found, "float32")), row_bounds(subject, case), "row")
    assert np.all(np.abs(found[tiny]) <= SMALLEST)


def test_mean(subject: Subject, case: Case) -> None:
    exact, found = case.value.exact.mean, evaluate(subject, case).mean
    assert found.shape == ()
    assert_within(exact.ulps(found, "float32"), row_bounds(subject, case).max() + 2.0, "mean")


def test_gradient(subject: Subject, case: Case) -> None:
    """At a hard label within the row's relative bound, elsewhere within 4e-7, times the row's weights."""
    answer, found = case.value.exact, evaluate(subject, case).gradients[0]
    relative = row_bounds(subject, case) + 2.0
    relative = relative if case.value.binary else relative[:, None]
    # A gradient that is the product of a tiny loss and a denominator may be subnormal.
    relative = relative * ulp(answer.gradient.high, "float32") + SMALLEST
    assert_within(answer.gradient.error(found), np.where(answer.at_label, relative, 4e-7 * answer.scale), "gradient")


@pytest.mark.soft_gradient
def test_target_gradient(subject: Subject, case: Case) -> None:
    """-log p_j less the mean, over the denominator: to a few ulp of the row's largest entry."""
    exact, found = case.value.exact.target_gradient, evaluate(subject, case).gradients[1]
    bounds = row_bounds(subject, case) + 4.0
    largest = np.max(np.abs(exact.high), axis=-1, keepdims=True)
    assert_within(exact.error(found), (bounds if case.value.binary else bounds[:, None]) * ulp(largest, "float32"), "")


@pytest.mark.soft_gradient
@pytest.mark.parametrize("problem", [Case.SOFT.value, Case.PROBABILITIES_SOFT.value], ids=["logits", "probabilities"])
def test_gradient_of_targets_alone(subject: Subject, problem: Any) -> None:
    """The targets' gradient needs nobody to ask for the logits' as well."""
    found = subject.gradient(problem.function, problem.arrays, "targets", **problem.static)
    expected = problem.exact.target_gradient.high
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=2e-6 * np.abs(expected).max())


def test_backends_agree(case: Case, all_subjects: tuple[Subject, ...]) -> None:
    """The losses of any two backends, in any modes, are at most 4 ulp apart, rounded quotients aside."""
    from conftest import runs

    problem = case.value
    found = np.stack([evaluate(s, case).rows.astype(np.float64) for s in all_subjects if runs(s, case)])
    spread = (found.max(axis=0) - found.min(axis=0)) / ulp(problem.exact.rows.high, "float32")
    tiny = np.abs(problem.exact.rows.high) < SMALLEST
    slack = 0.0 if all(subject.harness.wide for subject in all_subjects) else problem.narrow_slack
    bounds = 4.0 + slack + (2.0 * problem.exact.spans if problem.rounds_logits else 0.0)
    assert_within(np.where(tiny, 0.0, spread), bounds, "spread")
