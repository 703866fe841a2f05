"""The linear cases of the parity report: exact logits, exact gradients, bounds that a careless product misses."""

import math
from dataclasses import replace

import numpy as np
import pytest
from mpmath import mp, mpf

from xentropy.parity.cases import Array, round_to
from xentropy.parity.families import FAMILIES
from xentropy.parity.judge import Judgement, Worst, judge
from xentropy.parity.linear import LinearCase, products
from xentropy.parity.matrix import CaseResult, Entry, FamilyResult
from xentropy.parity.measure import Outcome
from xentropy.parity.reference import reference

CASES: dict[str, LinearCase] = {given.name: given for given in FAMILIES["linear"].cases(0)}
WHICH = ("hidden", "weight", "bias")


def losses(given: LinearCase, factors: list[list[list[mpf]]], rows: list[int]) -> mpf:
    """The sum of the losses of these rows as the docstring of the loss defines them, in 60 digits."""
    hidden, weight, bias = factors
    classes, total = range(len(weight)), mpf(0)
    for i in rows:
        x = [mp.fdot(hidden[i], weight[j]) + bias[0][j] for j in classes]
        normalizer = mp.log(mp.fsum(mp.exp(one) for one in x))
        for j in classes:
            target = float(given.targets[i, j]) if given.soft else float(given.targets[i] == j)
            share = (1 - mpf(given.label_smoothing)) * target + mpf(given.label_smoothing) / len(weight)
            by_class = 1.0 if given.class_weight is None else float(given.class_weight[j])
            by_row = 1.0 if given.sample_weight is None else float(given.sample_weight[i])
            total += by_row * by_class * share * (normalizer - x[j]) if share else mpf(0)
    return total


def derivative(given: LinearCase, which: int, row: int, column: int) -> mpf:
    """By central differences of 1e-20, whose error is 1e-40, over the rows that depend on the entry."""
    bias = np.zeros(len(given.weight)) if given.bias is None else given.bias
    kept = [int(i) for i in np.flatnonzero(~given.dropped)]
    with mp.workdps(60):
        arrays = (np.nan_to_num(given.hidden), given.weight, bias[None, :])
        factors = [[[mpf(float(x)) for x in one] for one in array] for array in arrays]
        rows, found, step = ([row] if which == 0 else kept), [], mpf(10) ** -20
        for moved in (step, -step):
            factors[which][row][column] += moved
            found.append(losses(given, factors, rows))
            factors[which][row][column] -= moved
        return (found[0] - found[1]) / (2 * step)


@pytest.mark.parametrize("name", CASES)
def test_the_gradients_are_the_derivatives_of_the_definition(name: str) -> None:
    given = CASES[name]
    # The sum over all rows takes mpmath seconds; some of them tell as much.
    few = {key: getattr(given, key)[:32] for key in ("logits", "targets", "hidden")}
    weight = given.sample_weight
    given = replace(given, **few, sample_weight=weight if weight is None else weight[:32])
    due = products(given, reference(given))
    for which, (gradient, bound) in enumerate(zip(*due, strict=True)):
        for row, column in ((4, 3), (8, 0)) if which < 2 else ((0, 5),):
            at = (row, column) if which < 2 else (column,)
            expected = derivative(given, which, row, column)
            # The reference is float64: it must be a million times better than what it judges.
            assert abs(gradient[at] - float(expected)) <= 1e-6 * bound[at], (WHICH[which], at)


@pytest.mark.parametrize("name", CASES)
def test_logits_are_exact_in_any_order_of_the_products(name: str) -> None:
    given = CASES[name]
    for factor in given.factors:
        assert factor.dtype == np.float32
        np.testing.assert_array_equal(round_to(factor, given.dtype), factor)
    # Whole numbers of eighths, and sums of their sizes below 2^24: no partial sum is rounded, whatever comes first.
    eighths = [8 * np.abs(np.nan_to_num(factor)) for factor in given.factors]
    assert all(np.array_equal(array, np.round(array)) for array in eighths)
    sizes = eighths[0] @ eighths[1].T + (8 * eighths[2] if given.bias is not None else 0.0)
    assert sizes.max() < 2.0**24
    wide = given.hidden.astype(np.float64) @ given.weight.astype(np.float64).T
    np.testing.assert_array_equal(given.logits, wide + (0.0 if given.bias is None else given.bias))


def test_there_are_several_blocks_and_a_rest() -> None:
    for given in CASES.values():
        assert given.chunk_rows < given.logits.shape[0]
        assert given.logits.shape[0] % given.chunk_rows


def rounded(given: LinearCase) -> list[Array]:
    return [round_to(gradient, given.dtype) for gradient in products(given, reference(given)).gradients]


def judged(given: LinearCase, gradients: list[Array]) -> Worst:
    exact = reference(given)
    verdict = judge(given, exact, Outcome(exact.loss.astype(np.float32), products=tuple(gradients)))
    assert verdict.loss is not None
    assert verdict.loss.share <= 1
    assert (verdict.label, verdict.elsewhere) == (None, None)
    assert verdict.products is not None
    return verdict.products


@pytest.mark.parametrize("name", CASES)
def test_exact_gradients_rounded_once_are_within_every_bound(name: str) -> None:
    assert judged(CASES[name], rounded(CASES[name])).share <= 1


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("which", [0, 1])
def test_an_entry_beyond_its_bound_is_missed(name: str, which: int) -> None:
    given = CASES[name]
    gradients, due = rounded(given), products(given, reference(given))
    gradients[which][7, 2] += 1.01 * due.bounds[which][7, 2] + np.spacing(np.abs(gradients[which][7, 2])) * 2.0**17
    worst = judged(given, gradients)
    assert worst.share > 1
    assert worst.row == 7


@pytest.mark.parametrize("value", [1e-30, np.nan])
def test_the_gradient_of_an_ignored_row_has_to_be_exactly_zero(value: float) -> None:
    gradients = rounded(CASES["ignored"])
    gradients[0][3, 5] = value
    worst = judged(CASES["ignored"], gradients)
    assert (worst.share, worst.row) == (math.inf, 3)


def test_a_probability_less_one_is_missed_where_it_is_rounded() -> None:
    given = CASES["confident"]
    powers = np.exp(given.logits - given.logits.max(axis=1, keepdims=True))
    g = powers / powers.sum(axis=1, keepdims=True)
    g[np.arange(len(g)), given.targets] -= np.float32(1)
    worst = judged(given, [g @ given.weight, g.T @ given.hidden, g.sum(axis=0)])
    assert worst.share > 100


def test_a_product_in_half_precision_is_missed() -> None:
    given = CASES["index"]
    g = round_to(reference(given).gradient.astype(np.float32), "bfloat16")
    assert judged(given, [g @ given.weight, g.T @ given.hidden]).share > 10


def test_a_missed_product_is_said_in_words() -> None:
    beyond = Entry(Judgement(None, None, None, Worst(9e-6, 1.8, 3, 1.0, 1.1, 5e-6)))
    result = CaseResult(CASES["index"], {"numpy": beyond})
    (miss,) = FamilyResult(FAMILIES["linear"], [result], 0.0).misses()
    assert miss.what == "gradient of hidden, weight or bias, row 3"
    assert miss.numbers == "1 in place of 1.1: 9e-06 off, 5e-06 allowed"
