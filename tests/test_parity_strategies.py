"""The corners reach what they promise, in every dtype and with every kind of targets."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import reference
from hypothesis import Phase, find, given, settings
from mpmath import mp

from xentropy.parity.cases import Case
from xentropy.parity.strategies import CORNERS, TARGETS, by_corner, cases

DTYPES = ("float16", "bfloat16", "float32", "float64")
SMALLEST_NORMAL = {"float32": 2.0**-126, "float64": 2.0**-1022}
MANY = settings(max_examples=400, database=None, phases=[Phase.generate])
SHRUNK = settings(MANY, phases=[Phase.generate, Phase.shrink])


def first(wanted: Any, how: settings = MANY, **options: Any) -> Case:
    return find(cases(**{"classes": (2, 3), **options}), wanted, settings=how)


def losses(case: Case) -> list[Any]:
    """Of each row by the definition, in many digits."""
    with mp.workdps(500):
        if case.binary:
            loss = reference.BinaryLoss()
            return loss.rows(reference.numbers(case.logits[None]), reference.numbers(case.targets[None]))[0]
        one_hot = np.eye(case.logits.shape[1])[case.targets] if not case.soft else case.targets
        return reference.SoftmaxLoss().rows(reference.numbers(case.logits), reference.numbers(one_hot))


def finite(case: Case) -> bool:
    return bool(np.isfinite(case.logits).all())


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("dtype", DTYPES)
class TestEveryKind:
    def test_subnormal_losses_exist(self, dtype: str, targets: str) -> None:
        def one_hot(case: Case) -> bool:
            return not case.soft or bool(np.isin(case.targets, (0, 1)).all())

        def tiny(case: Case) -> bool:
            return one_hot(case) and any(0 < loss < SMALLEST_NORMAL[case.wide_dtype] for loss in losses(case))

        found = first(tiny, corners=["subnormal"], dtypes=[dtype], targets=targets)
        assert found.name == "subnormal"
        assert found.dtype == dtype

    def test_confident_rows_lose_less_than_float32_sees(self, dtype: str, targets: str) -> None:
        # Of spread targets the loss is never small: there it is the lead that counts.
        def sure(case: Case) -> bool:
            far = case.binary or float(np.ptp(case.logits, axis=1).max()) > 17
            return far and (targets == "probabilities" or any(0 < loss < 1e-7 for loss in losses(case)))

        first(sure, corners=["confident"], dtypes=[dtype], targets=targets)

    def test_wrong_rows_lose_much(self, dtype: str, targets: str) -> None:
        first(lambda case: max(losses(case)) > 20, corners=["wrong"], dtypes=[dtype], targets=targets)

    def test_offsets_are_large(self, dtype: str, targets: str) -> None:
        least = 900.0 if dtype in ("float16", "bfloat16") else 9e5
        for sign in (1, -1):
            wanted = {"corners": ["offset"], "dtypes": [dtype], "targets": targets}
            first(lambda case, sign=sign: bool((sign * case.logits > least).all()), **wanted)

    def test_infinities_exist_and_are_never_at_a_target(self, dtype: str, targets: str) -> None:
        options = {"corners": ["minus-inf"], "dtypes": [dtype], "targets": targets}
        first(lambda case: not finite(case), **options)

        @given(cases(classes=(2, 3, 10), **options))
        def check(case: Case) -> None:
            if case.binary:
                np.testing.assert_array_equal(case.logits, np.where(case.targets > 0, np.inf, -np.inf))
                return
            assert not np.isnan(case.logits).any()
            assert not np.isposinf(case.logits).any()
            mass = case.targets if case.soft else np.eye(case.logits.shape[1])[case.targets]
            assert not np.any(np.isneginf(case.logits) & (mass != 0))

        check()

    @pytest.mark.parametrize("from_logits", [True, False])
    def test_numbers_are_exact_in_their_dtype(self, dtype: str, targets: str, from_logits: bool) -> None:
        own = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)

        @given(cases(dtypes=[dtype], targets=targets, classes=(2, 10), from_logits=from_logits))
        def check(case: Case) -> None:
            for array in (case.logits, *([case.targets] if case.soft else [])):
                assert array.dtype == case.wide_dtype
                np.testing.assert_array_equal(array.astype(own).astype(array.dtype), array)
            if not from_logits:
                assert np.all((case.logits >= 0) & (case.logits <= 1))

        check()

    def test_the_simplest_case_is_small(self, dtype: str, targets: str) -> None:
        found = first(lambda _: True, SHRUNK, dtypes=[dtype], targets=targets)
        assert found.logits.shape == ((1,) if targets == "binary" else (1, 2))
        assert found.name == CORNERS[0]
        np.testing.assert_array_equal(found.logits, np.zeros_like(found.logits))


@pytest.mark.parametrize("targets", ["indices", "probabilities"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_ties_are_at_the_top(dtype: str, targets: str) -> None:
    def tied(case: Case) -> bool:
        top = case.logits.max(axis=1, keepdims=True)
        return bool(((case.logits == top).sum(axis=1) == 2).any())

    first(tied, corners=["ties"], dtypes=[dtype], targets=targets, classes=(3,))


@given(cases(targets="probabilities", classes=(2, 3, 10, 1000)))
def test_soft_targets_are_probabilities(case: Case) -> None:
    assert np.all(case.targets >= 0)
    np.testing.assert_allclose(case.targets.sum(axis=1, dtype=np.float64), 1.0, rtol=1e-4 if is_wide(case) else 1e-6)


def is_wide(case: Case) -> bool:
    return case.logits.shape[1] > 10  # as many roundings to float32


@pytest.mark.parametrize("dtype", DTYPES)
def test_soft_targets_beside_infinities_sum_to_one(dtype: str) -> None:
    roundings = 10 * {"float16": 2.0**-12, "bfloat16": 2.0**-9}.get(dtype, 2.0**-24)

    @given(cases(targets="probabilities", classes=(2, 3, 10), corners=["minus-inf"], dtypes=[dtype]))
    def check(case: Case) -> None:
        assert np.abs(case.targets.sum(axis=1, dtype=np.float64) - 1).max() <= roundings

    check()


def test_soft_targets_have_zeros_and_are_spread() -> None:
    first(lambda case: bool((case.targets == 0).any()), targets="probabilities")
    first(lambda case: bool((case.targets > 0).all()), targets="probabilities", classes=(3,))


def test_a_label_is_the_largest_target() -> None:
    @given(cases(targets="probabilities", corners=["confident"], classes=(3,)))
    def check(case: Case) -> None:
        gap = np.sort(case.logits, axis=1)
        sure = gap[:, -1] - gap[:, -2] > 3  # more than the logits are apart without the lead
        rows = np.flatnonzero(sure)
        largest = case.targets[rows].max(axis=1)
        np.testing.assert_array_equal(case.targets[rows, case.logits[rows].argmax(axis=1)], largest)

    check()


def test_classes_go_up_to_a_thousand() -> None:
    found = first(lambda case: case.logits.shape[1] >= 1000, classes=(2, 1000))
    assert found.logits.shape[1] == 1000


def test_some_rows_are_ignored() -> None:
    found = first(lambda case: bool((case.targets == -100).any()), ignore_index=-100)
    assert found.ignore_index == -100
    assert found.dropped.tolist() == (found.targets == -100).tolist()
    first(lambda case: len(set((case.targets == -100).tolist())) == 2, ignore_index=-100)
    inside = first(lambda case: bool((case.targets == 1).any()), ignore_index=1)
    assert inside.dropped.any()


def test_options_are_arrays_of_the_shape_and_dtype_that_the_losses_want() -> None:
    found = first(lambda case: True, class_weight=[1.0, 2.0, 0.5], dtypes=["float64"])
    assert found.logits.shape[1] == 3
    assert found.class_weight is not None
    assert found.class_weight.dtype == np.float64
    binary = first(lambda case: len(case.logits) == 2, targets="binary", pos_weight=3.0)
    assert binary.pos_weight is not None
    np.testing.assert_array_equal(binary.pos_weight, np.full(2, 3.0, dtype=np.float32))
    assert binary.pos_weight.dtype == np.float32
    assert first(lambda case: True, label_smoothing=0.1).label_smoothing == 0.1


def test_probabilities_are_those_of_the_corner() -> None:
    def nearly_certain(case: Case) -> bool:
        return bool(0 < case.logits[0, case.targets[0]] < 1e-20)

    first(nearly_certain, from_logits=False, corners=["wrong"])
    ruled_out = first(lambda case: bool((case.logits == 0).any()), from_logits=False, corners=["minus-inf"])
    assert ruled_out.logits[0, ruled_out.targets[0]] > 0
    p = first(lambda case: bool(case.logits.max() > 0.9999), from_logits=False, targets="binary", corners=["confident"])
    assert p.logits.max() < 1


@pytest.mark.parametrize("targets", TARGETS)
def test_a_strategy_for_each_corner(targets: str) -> None:
    found = [find(one, lambda _: True, settings=MANY).name for one in by_corner(targets=targets, classes=(2,))]
    assert found == list(CORNERS)
    chosen = by_corner(targets=targets, corners=["ties", "wrong"])
    assert [find(one, lambda _: True, settings=MANY).name for one in chosen] == ["ties", "wrong"]


def test_smoothing_leaves_out_the_corner_whose_losses_are_infinite() -> None:
    found = [find(one, lambda _: True, settings=MANY).name for one in by_corner(label_smoothing=0.1, classes=(2,))]
    assert found == [corner for corner in CORNERS if corner != "minus-inf"]
    asked = by_corner(label_smoothing=0.1, corners=["minus-inf"])
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": "labels"}, r"targets is 'labels'; it is one of indices, probabilities, binary"),
        ({"corners": ["plain", "corner"]}, r"corner is 'corner'; it is one of plain, confident, wrong, ties, offset"),
        ({"dtypes": ["float32", "float8"]}, r"dtype is 'float8'; it is one of float16, bfloat16, float32, float64"),
        (
            {"targets": "probabilities", "ignore_index": -100},
            r"ignore_index is -100; it is an option of targets that are indices",
        ),
        ({"targets": "binary", "ignore_index": 0}, r"ignore_index is 0; it is an option of targets that are indices"),
        ({"targets": "binary", "class_weight": [1.0]}, r"class_weight is \[1.0\]; .* indices or probabilities"),
        ({"pos_weight": 2.0}, r"pos_weight is 2.0; it is an option of targets that are binary"),
    ],
)
def test_wrong_names_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find(cases(**options), lambda _: True, settings=settings(max_examples=1, database=None))


def test_shrinking_leaves_what_matters() -> None:
    def loses(case: Case) -> bool:
        return max(losses(case)) > 5

    found = first(loses, SHRUNK, corners=["plain", "wrong"])
    assert found.logits.shape == (1, 2)
    # Whole numbers, no further apart than needed: log(1 + e^5) is 5.0067.
    assert np.ptp(found.logits) in (5.0, 6.0)
    assert 0 in found.logits
