import math
from dataclasses import replace

import numpy as np
import pytest

from xentropy.parity.cases import Array, Case, round_to
from xentropy.parity.families import FAMILIES
from xentropy.parity.judge import Judgement, Worst, judge
from xentropy.parity.matrix import CaseResult, Entry, FamilyResult, Spread
from xentropy.parity.measure import Outcome
from xentropy.parity.reference import Reference, reference
from xentropy.parity.ulp import ulp


def find(family: str, name: str) -> Case:
    return next(one for one in FAMILIES[family].cases(0) if one.name == name)


def rounded(given: Case, exact: Reference) -> tuple[Array, Array]:
    return exact.loss.astype(given.wide_dtype), round_to(exact.gradient, given.dtype)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "many-classes"])
def test_the_exact_value_rounded_once_is_within_every_bound(family: str) -> None:
    for given in FAMILIES[family].cases(0):
        exact = reference(given)
        with np.errstate(under="ignore"):
            verdict = judge(given, exact, Outcome(*rounded(given, exact)))
        for worst in (verdict.loss, verdict.label, verdict.elsewhere):
            assert worst is None or worst.share <= 1, (given.name, worst)


@pytest.mark.parametrize(("family", "name"), [("digits", "index"), ("confident", "right"), ("float64", "right")])
def test_a_loss_beyond_its_bound_is_missed(family: str, name: str) -> None:
    given = find(family, name)
    exact = reference(given)
    loss, gradient = rounded(given, exact)
    off = (4 + exact.span[7] + 1) * ulp(exact.loss, given.wide_dtype)[7]
    loss[7] += off
    worst = judge(given, exact, Outcome(loss, gradient)).loss
    assert worst is not None
    assert worst.share > 1
    assert worst.row == 7


def test_a_confident_loss_of_zero_is_missed() -> None:
    given = find("confident", "right")
    exact = reference(given)
    loss, gradient = rounded(given, exact)
    loss[exact.loss < 1e-8] = 0.0
    gradient[(exact.loss < 1e-8), :] = 0.0
    verdict = judge(given, exact, Outcome(loss, gradient))
    for worst in (verdict.loss, verdict.label):
        assert worst is not None
        assert worst.error > 8e6
        assert worst.computed == 0


def test_a_gradient_is_relative_at_the_label_and_absolute_elsewhere() -> None:
    given = find("digits", "index")
    exact = reference(given)
    loss, gradient = rounded(given, exact)
    label = given.targets[5]
    other = (label + 1) % 10
    gradient[5, other] += np.float32(5e-7)
    verdict = judge(given, exact, Outcome(loss, gradient))
    assert verdict.elsewhere is not None
    assert verdict.elsewhere.share > 1
    assert verdict.elsewhere.row == 5
    assert verdict.label is not None
    assert verdict.label.share <= 1

    loss, gradient = rounded(given, exact)
    gradient[5, label] *= np.float32(1 + 1e-5)
    verdict = judge(given, exact, Outcome(loss, gradient))
    assert verdict.label is not None
    assert verdict.label.share > 1
    assert verdict.label.row == 5


def test_an_ignored_row_has_to_be_exactly_zero() -> None:
    given = find("ignored", "index-100")
    exact = reference(given)
    loss, gradient = rounded(given, exact)
    gradient[3, 2] = 1e-12
    loss[0] = np.nan
    verdict = judge(given, exact, Outcome(loss, gradient))
    assert verdict.elsewhere is not None
    assert verdict.elsewhere.share == math.inf
    assert verdict.elsewhere.row == 3
    assert verdict.loss is not None
    assert verdict.loss.share == math.inf
    assert verdict.loss.nan


def test_infinite_and_missing_losses_have_to_be_hit() -> None:
    given = find("minus-inf", "not-finite")
    exact = reference(given)
    loss, gradient = rounded(given, exact)
    loss[0] = 1.0
    worst = judge(given, exact, Outcome(loss, gradient)).loss
    assert worst is not None
    assert worst.share == math.inf
    assert worst.row == 0


def test_results_too_small_for_some_hardware_may_be_flushed_but_not_be_wrong() -> None:
    logits = np.asarray([[90.0, 0.0]], dtype=np.float32)
    given = Case("tiny", logits, np.zeros(1, dtype=np.int32))
    exact = reference(given)
    assert 0 < exact.loss[0] < 1e-37
    for loss, share in ((0.0, 0.0), (float(exact.loss[0]), 0.0), (1e-36, math.inf)):
        outcome = Outcome(np.asarray([loss], dtype=np.float32), exact.gradient.astype(np.float32))
        worst = judge(given, exact, outcome).loss
        assert worst is not None
        assert worst.share == share


def test_a_half_gradient_may_be_rounded_once_and_not_be_the_neighbour() -> None:
    given = find("float16", "digits")
    exact = reference(given)
    loss, gradient = rounded(given, exact)
    label = given.targets[0]
    gradient[0, label] = np.nextafter(np.float16(gradient[0, label]), np.float16(1.0))
    worst = judge(given, exact, Outcome(loss, gradient)).label
    assert worst is not None
    assert worst.share > 1


def test_precision_is_held_to_one_ulp() -> None:
    given = replace(find("digits", "index"), precision="float64")
    exact = reference(given)
    loss, gradient = rounded(given, exact)
    loss[:] = np.nextafter(np.nextafter(loss, np.float32(9)), np.float32(9))
    worst = judge(given, exact, Outcome(loss, gradient)).loss
    assert worst is not None
    assert worst.bound == 1
    assert worst.share > 1


def misses(spread: Spread, given: Case, entry: Entry) -> list[str]:
    result = CaseResult(given, {"numpy": entry}, {}, spread)
    return [miss.what for miss in FamilyResult(FAMILIES["digits"], [result], 0.0).misses()]


FINE = Entry(Judgement(Worst(1.0, 0.2, 0, 1.0, 1.0, 5.0), None, None))


def test_what_counts_as_missed() -> None:
    given = find("digits", "index")
    precise = replace(given, precision="float64")
    assert misses(Spread(4.0, 4.0, False), given, FINE) == []
    assert misses(Spread(0.0, 0.0, False), precise, FINE) == ["results differ in their bits"]
    assert len(misses(Spread(4.5, 0.0, False), given, FINE)) == 1
    assert len(misses(Spread(0.0, 5.0, False), given, FINE)) == 1
    assert misses(Spread(5.0, 8.0, False), find("float64", "right"), FINE) == []
    assert len(misses(Spread(8.5, 9.0, False), find("float64", "right"), FINE)) == 2
    assert misses(Spread(None, None, True), given, replace(FINE, fault="boom")) == ["boom"]
    example = replace(given, expected="0.2231")
    assert misses(Spread(None, None, True), example, replace(FINE, example="0.2231")) == []
    assert misses(Spread(None, None, True), example, replace(FINE, example="0.2232")) != []
    beyond = Entry(Judgement(Worst(9.0, 1.8, 3, 1.0, 1.1, 5.0), None, None))
    assert misses(Spread(None, None, True), given, beyond) == ["loss, row 3"]
