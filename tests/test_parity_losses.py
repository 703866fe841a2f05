"""``assert_parity`` with NumPy alone: what passes, what fails, and what is said of it."""

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from mpmath import mp, mpf

from xentropy.parity import Agreement, Case, Loss, ParityError, UnavailableError, assert_parity
from xentropy.parity.cases import Array
from xentropy.parity.strategies import CORNERS, by_corner, cases

RNG = np.random.default_rng(11)
MANY_ROWS = (RNG.standard_normal((40, 12)).astype(np.float32), RNG.integers(0, 12, 40))
SOFT = RNG.dirichlet(np.ones(12), 40).astype(np.float32)
FLAT = Case("flat", np.zeros((1, 2), dtype=np.float32), np.zeros(1, dtype=np.int32))
LN2 = float(mp.log(2))
ULP = 2.0**-24  # of float32 between 1/2 and 1


def odds(logits: Array, targets: Array) -> Array:
    """exp(z_j - z_label) of the other classes, in float64."""
    wide = logits.astype(np.float64)
    rows = np.arange(len(targets))
    out = np.exp(wide - wide[rows, targets][:, None])
    out[rows, targets] = 0.0
    return out


def careful(logits: np.ndarray, targets: np.ndarray) -> Any:
    return np.log1p(odds(logits, targets).sum(axis=1)).astype(np.result_type(logits, np.float32))


def slope(logits: Array, targets: Array) -> Any:
    found = odds(logits, targets)
    others = found.sum(axis=1)
    found[np.arange(len(targets)), targets] = -others
    return (found / (1 + others)[:, None]).astype(logits.dtype)


def soft(logits: Array, targets: Array) -> Any:
    """-sum t log p, in which log p comes from differences with the largest logit."""
    wide = logits.astype(np.float64)
    below = wide.max(axis=1, keepdims=True) - wide
    share = targets.astype(np.float64)
    others = np.exp(-below)
    others[np.arange(len(wide)), wide.argmax(axis=1)] = 0.0
    with np.errstate(invalid="ignore"):
        part = np.where(share == 0, 0.0, share * below)
    return (part.sum(axis=1) + share.sum(axis=1) * np.log1p(others.sum(axis=1))).astype(np.float32)


def naive(logits: np.ndarray, targets: np.ndarray) -> Any:
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(targets)), targets])


def right(**options: Any) -> Loss:
    return Loss(careful, "numpy", **options)


def loss(function: Callable[..., Any], name: str = "theirs", **options: Any) -> Loss:
    return Loss(function, "numpy", name=name, **options)


def scaled(factor: float) -> Callable[[Array, Array], Any]:
    return lambda logits, targets: careful(logits, targets) * np.float32(factor)


def constant(value: float) -> Loss:
    """A loss of ln 2 and so much more, whatever it is called with."""
    return loss(lambda logits, targets: np.full(len(logits), value))


def printed(error: ParityError) -> Case:
    """The case that is in the message, made again."""
    lines = [line.strip() for line in str(error).splitlines()]
    names: dict[str, Any] = {}
    exec("\n".join(lines[lines.index("import numpy as np") :]), names)
    found: Case = names["case"]
    return found


def failure(*losses: Any, **options: Any) -> ParityError:
    with pytest.raises(ParityError) as caught:
        assert_parity(*losses, **options)
    return caught.value


# --- what passes --------------------------------------------------------------------------------------------------


def test_a_right_loss_passes_every_corner() -> None:
    found = assert_parity(right(gradient=slope))
    assert isinstance(found, Agreement)
    assert found.names == ("careful", "exact")
    assert found.tolerance == "4 ulp + span"
    assert found.cases >= 70
    assert set(found.worst) == set(CORNERS)
    assert found.left_out == ("curvature",)
    assert set(found.largest()) == {"loss", "gradient"}
    for worst in found.worst.values():
        for name, gap in worst.items():
            assert 0 <= gap.share <= 1
            assert gap.share <= found.largest()[name].share


def test_the_numbers_of_an_agreement_are_those_of_the_worst_entry() -> None:
    with mp.workdps(40):
        exact = mp.log(1 + mp.exp(-3))
        given = float(exact) + 2.0**-28 * 3  # three ulp of float32 between 1/32 and 1/16
    case = Case("one", np.asarray([[3.0, 0.0]], dtype=np.float32), np.zeros(1, dtype=np.int32))
    found = assert_parity(constant(given), cases=case)
    gap = found.worst["one"]["loss"]
    assert (gap.quantity, gap.at, gap.numbers) == ("loss", (0,), (given,))
    assert gap.exact == pytest.approx(float(exact), rel=1e-15)
    assert gap.apart == pytest.approx(3, rel=1e-6)
    assert gap.allowed == 7
    assert gap.share == pytest.approx(3 / 7, rel=1e-6)
    assert gap.wrong == (False,)
    assert found.cases == 1


@pytest.mark.parametrize("dtypes", [["float32"], ["float64"], ["float16", "bfloat16"]])
@pytest.mark.parametrize("targets", ["indices", "probabilities", "binary"])
def test_ours_passes(targets: str, dtypes: list[str]) -> None:
    drawn = by_corner(targets=targets, dtypes=dtypes, classes=[2, 10])

    def theirs(logits: Array, goal: Array) -> Any:
        import xentropy

        call = xentropy.binary_cross_entropy if logits.ndim == 1 else xentropy.cross_entropy
        return call(logits, goal, reduction="none")

    found = assert_parity(loss(theirs), "xentropy", cases=drawn, examples=21)
    assert found.names == ("theirs", "xentropy on numpy")
    assert found.cases >= 21


@pytest.mark.parametrize(
    "options",
    [
        {"label_smoothing": 0.1},
        {"class_weight": [0.5, 1.0, 2.0]},
        {"ignore_index": -100},
        {"from_logits": False},
        {"from_logits": False, "targets": "binary"},
        {"targets": "binary", "pos_weight": 3.0},
        {"targets": "binary", "label_smoothing": 0.2},
        {"targets": "probabilities", "class_weight": [0.5, 1.0, 2.0], "label_smoothing": 0.1},
    ],
)
def test_ours_passes_with_options(options: dict[str, Any]) -> None:
    """As the second of two: the first returns the exact numbers."""
    import xentropy

    call = xentropy.binary_cross_entropy if options.get("targets") == "binary" else xentropy.cross_entropy
    names = ("label_smoothing", "class_weight", "ignore_index", "from_logits", "pos_weight")
    given = {name: options[name] for name in names if name in options}

    def theirs(logits: Array, targets: Array) -> Any:
        weights = {k: np.asarray(v, dtype=np.float32) for k, v in given.items() if k.endswith("weight")}
        return call(logits, targets, reduction="none", **{**given, **weights})

    drawn = by_corner(classes=[2, 3], **options)
    for reduction in ("none", "sum", "mean"):
        assert_parity(loss(theirs), cases=drawn, examples=14) if reduction == "none" else None
        own = loss(lambda z, t: theirs(z, t).sum()) if reduction == "sum" else loss(theirs)
        if reduction != "mean":
            assert_parity(own, "xentropy", cases=drawn, examples=14, reduction=reduction)


def test_a_lower_precision_is_held_to_its_own_ulp() -> None:
    def half(logits: Array, targets: Array) -> Any:
        return careful(logits, targets).astype(np.float16)

    corners = ["plain", "ties", "offset"]
    assert_parity(loss(half), cases=by_corner(corners=corners), examples=12)
    error = failure(loss(lambda z, t: half(z, t) * np.float16(1.01)), cases=by_corner(corners=corners))
    assert error.gap is not None
    assert error.gap.apart < 100, "in ulp of float16"


# --- what fails ---------------------------------------------------------------------------------------------------

WRONG: dict[str, Callable[[Array, Array], Any]] = {
    "naive": naive,
    "factor": scaled(1.0001),
    "zeros": lambda logits, targets: np.zeros(len(logits), dtype=np.float32),
    "label": lambda logits, targets: careful(logits, np.zeros_like(targets)),
    "float32": lambda z, t: np.log(np.exp(z - z.max(1, keepdims=True)).sum(1)) + z.max(1) - z[np.arange(len(t)), t],
    "nan-at-inf": lambda z, t: np.where(np.isinf(z).any(axis=1), np.float32(np.nan), careful(z, t)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_loss_is_found_and_its_case_is_minimal(name: str) -> None:
    error = failure(loss(WRONG[name], name))
    assert error.case.logits.shape == (1, 2)
    assert error.gap is not None
    assert error.gap.quantity == "loss"
    assert error.gap.wrong == (True,)
    assert str(error).startswith(f"{name} is off in the loss at [0]: ")


@pytest.mark.parametrize("name", WRONG)
def test_the_printed_case_fails_again_with_the_same_numbers(name: str) -> None:
    error = failure(loss(WRONG[name], name))
    again = failure(loss(WRONG[name], name), cases=[printed(error)])
    assert repr(again.gap) == repr(error.gap)
    assert str(again).partition("case = ")[2] == str(error).partition("case = ")[2]


def test_a_loss_that_is_wrong_in_the_gradient_only() -> None:
    doubled = right(gradient=lambda logits, targets: 2 * slope(logits, targets))
    error = failure(doubled)
    assert error.gap is not None
    assert error.gap.quantity == "gradient"
    assert error.case.logits.shape == (1, 2)
    assert assert_parity(doubled, quantities=["loss"]).left_out == ()


def test_the_message_has_case_numbers_and_who_is_wrong() -> None:
    case = Case("two", np.asarray([[0.5, 0.25]], dtype=np.float32), np.ones(1, dtype=np.int32))
    error = failure(right(), loss(scaled(2), "double"), cases=case)
    with mp.workdps(30):
        exact = float(mp.log(1 + mp.exp(mpf("0.25"))))
    lines = str(error).splitlines()
    assert lines[0].startswith("careful and double differ in the loss at [0]: ")
    assert lines[0].endswith(" ulp, 4.25 allowed (4 ulp + span)")
    mine, double, truth = lines[1:4]
    assert float(mine.split()[1]) == pytest.approx(exact, rel=1e-7)
    assert float(double.split()[1]) == pytest.approx(2 * exact, rel=1e-7)
    assert truth.split() == ["exact", f"{exact:.9g}"]
    assert double.endswith("<- wrong")
    assert "wrong" not in mine
    assert "(two, 1 x 2, float32)" in lines[4]
    assert lines[-1].strip() == (
        "case = Case('two', np.asarray([[0.5, 0.25]], dtype=np.float32), np.asarray([1], dtype=np.int32), "
        "dtype='float32')"
    )


def test_two_losses_of_one_name_are_told_apart() -> None:
    error = failure(right(), loss(scaled(2), "careful"), cases=FLAT)
    assert "careful (loss_a) and careful (loss_b) differ" in str(error)


@pytest.mark.parametrize(
    "given",
    [
        Case("weights", np.zeros((1, 2)), np.zeros(1, np.int32), sample_weight=np.asarray([3.0]), dtype="float64"),
        Case("options", np.asarray([[np.nan, -np.inf]], np.float32), np.asarray([-1], np.int32), ignore_index=-1),
        Case("soft", np.asarray([[0.1, 7.038531e-26]], np.float32), np.asarray([[0.3, 0.7]], np.float32)),
        Case("smooth", np.zeros((1, 2), np.float32), np.zeros(1, np.int32), label_smoothing=0.1, precision="float64"),
        Case("binary", np.asarray([-0.0]), np.ones(1), "float64", binary=True, pos_weight=np.asarray([1 / 3])),
        Case("p", np.full((1, 2), 0.5, np.float32), np.ones(1, np.int32), from_logits=False, class_weight=np.ones(2)),
    ],
    ids=lambda given: given.name,
)
def test_the_printed_case_has_every_option_to_the_last_bit(given: Case) -> None:
    found = printed(failure(loss(lambda z, t, sample_weight=None: np.full(len(z), 1e9)), cases=given))
    for name in Case.__dataclass_fields__:
        due, one = getattr(given, name), getattr(found, name)
        if isinstance(due, np.ndarray):
            assert (one.dtype, one.tobytes()) == (due.dtype, due.tobytes()), name
        else:
            assert one == due, name


def test_a_case_too_long_to_read_is_an_attribute() -> None:
    long = Case("long", np.zeros((1, 100), dtype=np.float32), np.zeros(1, dtype=np.int32))

    def only_many(logits: Array, targets: Array) -> Any:
        return careful(logits, targets) * np.float32(2 if logits.shape[1] == 100 else 1)

    error = failure(loss(only_many), cases=long)
    assert "the attribute `case` of this exception" in str(error)
    assert error.case.logits.shape == (1, 100)


# --- the smallest part of a given case ----------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [MANY_ROWS[1], SOFT], ids=["indices", "soft"])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_a_given_case_loses_rows_and_classes(targets: Array, reduction: str) -> None:
    each = soft if targets.ndim > 1 else careful
    reduce = {"none": lambda x: x, "sum": lambda x: x.sum(dtype=np.float64), "mean": lambda x: x.mean()}[reduction]

    def third(logits: Array, goal: Array) -> Any:
        return reduce(each(logits, goal) * np.float32(1.25))

    error = failure(loss(third), cases=(MANY_ROWS[0], targets), reduction=reduction)
    assert error.case.logits.shape == (1, 2)
    assert error.case.targets.shape == ((1, 2) if targets.ndim > 1 else (1,))
    again = failure(loss(third), cases=[printed(error)], reduction=reduction)
    assert repr(again.gap) == repr(error.gap)


def test_soft_targets_of_a_part_still_sum_to_one() -> None:
    """Else a loss that relies on it would be blamed for something else."""

    def relies(logits: Array, targets: Array) -> Any:
        wide = logits.astype(np.float64)
        return 1.25 * (np.log(np.exp(wide).sum(axis=1)) - (targets * wide).sum(axis=1))

    error = failure(loss(relies), cases=(MANY_ROWS[0], SOFT))
    assert error.case.logits.shape == (1, 2)
    assert error.case.targets.sum() == pytest.approx(1, abs=1e-6)
    assert error.gap is not None
    assert error.gap.numbers[0] == pytest.approx(1.25 * error.gap.exact, rel=1e-5)


def test_the_row_that_is_wrong_is_the_one_that_is_left() -> None:
    def wrong_in_one(logits: Array, targets: Array) -> Any:
        return careful(logits, targets) * np.where(logits[:, 0] == MANY_ROWS[0][17, 0], 2, 1)

    error = failure(loss(wrong_in_one), cases=MANY_ROWS)
    assert error.case.logits[0, 0] == MANY_ROWS[0][17, 0]
    assert error.case.logits.shape[0] == 1


def test_rows_that_fail_only_together_stay_together() -> None:
    def wrong_for_two(logits: Array, targets: Array) -> Any:
        return careful(logits, targets) * np.float32(2 if len(logits) > 1 else 1)

    assert failure(loss(wrong_for_two), cases=MANY_ROWS).case.logits.shape == (2, 2)


def refuses_nothing(logits: Array, targets: Array) -> Any:
    if 0 in logits.shape:
        raise RuntimeError("no rows")
    return scaled(2)(logits, targets)


def refuses_one_class(logits: Array, targets: Array) -> Any:
    if logits.shape[1] < 2:
        raise RuntimeError("one class")
    return scaled(2)(logits, targets)


def squeezes(logits: Array, targets: Array) -> Any:
    return scaled(2)(logits, targets).squeeze()


@pytest.mark.parametrize("function", [refuses_nothing, refuses_one_class, squeezes])
def test_a_part_fails_in_the_same_way_as_the_whole(function: Any) -> None:
    error = failure(loss(function), cases=MANY_ROWS)
    assert error.gap is not None
    assert 0 < error.case.logits.shape[0] <= 2
    assert error.case.logits.shape[1] == 2


@pytest.mark.parametrize("inside", [False, True])
def test_ignored_rows_of_a_part_stay_ignored(inside: bool) -> None:
    index = 4 if inside else -100
    labels = np.where(MANY_ROWS[1] == 4, 5, MANY_ROWS[1]).astype(np.int32)
    labels[::3] = index
    given = Case("ignored", MANY_ROWS[0], labels, ignore_index=index)

    def counts_them(logits: Array, targets: Array) -> Any:
        kept = targets != index
        return np.where(kept, careful(logits, np.where(kept, targets, 0)), 1.0)

    error = failure(loss(counts_them), cases=given)
    assert error.case.dropped.all()
    assert error.gap is not None
    assert error.gap.exact == 0
    # Where a class has the number of ignored rows, another class would get it.
    assert error.case.logits.shape == ((1, 12) if inside else (1, 2))


def test_a_binary_case_loses_rows() -> None:
    z = np.linspace(-3, 3, 20).astype(np.float32)
    error = failure(loss(lambda z, y: np.zeros_like(z)), cases=(z, (z > 0).astype(np.int64)))
    assert error.case.binary
    assert error.case.logits.shape == (1,)


# --- two losses ---------------------------------------------------------------------------------------------------


def test_losses_that_are_wrong_in_the_same_way_agree_and_are_not_exact() -> None:
    twice = loss(scaled(2), "a"), loss(scaled(2), "b")
    assert assert_parity(*twice).largest()["loss"].apart == 0
    failure(twice[0])
    failure(twice[1], "exact")


def test_both_are_wrong_where_both_are() -> None:
    error = failure(loss(scaled(2), "a"), loss(scaled(3), "b"), cases=MANY_ROWS)
    assert error.gap is not None
    assert error.gap.wrong == (True, True)


def test_losses_within_the_bound_on_either_side_of_the_exact_value() -> None:
    low, high = constant(LN2 - 3 * ULP), constant(LN2 + 3 * ULP)
    for one in (low, high):
        assert_parity(one, cases=FLAT)
    error = failure(low, high, cases=FLAT)
    assert error.gap is not None
    assert error.gap.apart == pytest.approx(6, rel=1e-6)
    assert error.gap.wrong == (False, False)
    assert "Each of them is within the bound of the exact number, on either side of it." in str(error)
    assert_parity(low, high, cases=FLAT, ulp=6.001)


def test_a_loss_that_reuses_its_memory_is_compared_by_its_numbers() -> None:
    memory = np.zeros(1, dtype=np.float32)

    def write(factor: float) -> Callable[[Array, Array], Any]:
        return lambda logits, targets: np.copyto(memory, scaled(factor)(logits, targets)) or memory

    failure(loss(write(1)), loss(write(2)), cases=FLAT)


def test_what_a_loss_does_to_its_inputs_is_its_own() -> None:
    def tramples(logits: Array, targets: Array) -> Any:
        out = careful(logits, targets)
        logits[:], targets[:] = 7, 0
        return out

    def slope_tramples(logits: Array, targets: Array) -> Any:
        out = slope(logits, targets)
        logits[:] = 3
        return out

    given = MANY_ROWS[0].copy(), MANY_ROWS[1].copy()
    assert_parity(loss(tramples, gradient=slope_tramples), right(gradient=slope), cases=[given, *by_corner()])
    for found, before in zip(given, MANY_ROWS, strict=True):
        np.testing.assert_array_equal(found, before)


# --- tolerance ----------------------------------------------------------------------------------------------------

EDGES = [
    # (keywords, bound)
    ({}, 4 * ULP),
    ({"ulp": 3}, 3 * ULP),
    ({"ulp": np.float32(0.5)}, 0.5 * ULP),
    ({"rtol": 1e-3}, 1e-3 * LN2),
    ({"rtol": 0, "atol": 1e-2}, 1e-2),
    ({"rtol": 1e-3, "atol": 1e-2}, 1e-3 * LN2 + 1e-2),
    ({"ulp": 2, "atol": 1e-6}, 2 * ULP + 1e-6),
    ({"atol": 1e-6}, 4 * ULP + 1e-6),
]


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("options", "bound"), EDGES)
def test_a_bound_holds_to_its_edge(options: dict[str, Any], bound: float, sign: int) -> None:
    assert_parity(constant(LN2 + sign * bound * (1 - 1e-6)), cases=FLAT, **options)
    error = failure(constant(LN2 + sign * bound * (1 + 1e-6)), cases=FLAT, **options)
    assert error.gap is not None
    assert error.gap.allowed == pytest.approx(bound / ULP)


def test_the_gradient_is_relative_at_the_label_and_of_the_row_elsewhere() -> None:
    """At logits (10, 0): elsewhere the gradient is 4.5e-5, and the bound 14 ulp of 1."""
    case = Case("sure", np.asarray([[10.0, 0.0]], dtype=np.float32), np.zeros(1, dtype=np.int32))

    def off(at: int, by: float) -> Loss:
        def gradient(logits: Array, targets: Array) -> Any:
            out = slope(logits.astype(np.float64), targets)
            out[0, at] += by
            return out

        return right(gradient=gradient)

    elsewhere, label = 14 * 2.0**-23, 14 * 2.0**-38
    assert_parity(off(1, 0.99 * elsewhere), cases=case)
    assert_parity(off(0, 0.99 * label), cases=case)
    for at, bound in ((1, elsewhere), (0, label)):
        error = failure(off(at, 1.01 * bound), cases=case)
        assert error.gap is not None
        assert (error.gap.quantity, error.gap.at) == ("gradient", (0, at))


def test_the_gradient_of_a_binary_probability_is_a_difference() -> None:
    """At p close to the target it is (p - y) / (p (1 - p)), and its two terms are 1 each."""
    p, y = np.asarray([0.3], dtype=np.float32), np.asarray([0.30000004], dtype=np.float32)
    case = Case("close", p, y, binary=True, from_logits=False)

    def own(p: Array, y: Array) -> Any:
        return -y * np.log(p) - (1 - y) * np.log1p(-p)

    def difference(off: float) -> Loss:
        def gradient(p: Array, y: Array) -> Any:
            wide = p.astype(np.float64)
            return (1 - y) / (1 - wide) - y / wide + off

        return loss(own, gradient=gradient)

    assert_parity(difference(3e-7), cases=case)
    failure(difference(3e-6), cases=case)


def test_what_overflows_is_infinite() -> None:
    # 3e38 - -3e38 is no float32.
    case = Case("far", np.asarray([[-3e38, 3e38]], dtype=np.float32), np.zeros(1, dtype=np.int32))
    assert_parity(loss(lambda z, t: np.full(1, np.inf, dtype=np.float32)), cases=case)
    assert_parity(loss(lambda z, t: np.full(1, 6e38)), cases=case)
    failure(loss(lambda z, t: np.full(1, 3e38, dtype=np.float32)), cases=case)


def test_sums_of_what_hardware_flushes_to_zero_may_be_zero() -> None:
    logits = np.zeros((1, 1000), dtype=np.float32)
    logits[0, 0] = 88.0  # 999 e^-88 is 6e-36, and e^-88 subnormal
    case = Case("subnormal", logits, np.zeros(1, dtype=np.int32))
    assert_parity(loss(lambda z, t: np.zeros(1, dtype=np.float32)), cases=case)
    failure(loss(lambda z, t: np.full(1, 1e-33, dtype=np.float32)), cases=case)
    few = Case("few", logits[:, :2] - np.float32([[8, 0]]), np.zeros(1, dtype=np.int32))
    failure(loss(lambda z, t: np.zeros(1, dtype=np.float32)), cases=few)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinite_and_missing_losses_have_to_be_hit(dtype: str) -> None:
    logits = np.asarray([[-np.inf, 0.0], [np.nan, 0.0]], dtype=dtype)
    case = Case("broken", logits, np.zeros(2, dtype=np.int32), dtype=dtype)
    for row, value in ((0, math.inf), (1, math.nan)):
        one = case.only([row])
        assert_parity(constant(value), cases=one)
        for other in (1e30, -math.inf, math.nan if row == 0 else math.inf):
            error = failure(constant(other), cases=one, ulp=1e9, atol=1e30)
            assert error.gap is not None
            assert error.gap.apart == math.inf
        one_sum = loss(lambda z, t, value=value: float(value))
        assert_parity(one_sum, cases=one, reduction="sum")


# --- reductions ---------------------------------------------------------------------------------------------------

WEIGHTS = np.asarray([0.5, 0.0, 3.0, 1.0], dtype=np.float32)
WEIGHED = Case(
    "weighed",
    np.asarray([[1, 2, 0], [0, np.nan, 1], [3, 0, 1], [0, 0, 0.5]], dtype=np.float32),
    np.asarray([0, 1, 2, 1], dtype=np.int32),
    sample_weight=WEIGHTS,
)
IGNORED = Case("ignored", WEIGHED.logits, np.asarray([0, -100, 2, 1], dtype=np.int32), ignore_index=-100)


def each_row(logits: Array, targets: Array, sample_weight: Array | None = None) -> Array:
    weight = np.where(targets == -100, 0, 1.0 if sample_weight is None else sample_weight)
    rows = careful(logits, np.where(targets == -100, 0, targets)).astype(np.float64)
    return np.where(weight == 0, 0.0, weight * rows)


def total(logits: Array, targets: Array, **more: Array) -> Any:
    return each_row(logits, targets, **more).sum()


def by_weight(logits: Array, targets: Array, sample_weight: Array | None = None) -> Any:
    weight = (targets != -100) * (1.0 if sample_weight is None else sample_weight.astype(np.float64))
    found = total(logits, targets) if sample_weight is None else total(logits, targets, sample_weight=sample_weight)
    return found / weight.sum() if weight.sum() else 0.0


def by_rows(logits: Array, targets: Array, **more: Array) -> Any:
    return each_row(logits, targets, **more).mean()


@pytest.mark.parametrize("given", [WEIGHED, IGNORED], ids=["weights", "ignored"])
def test_reductions_weigh_and_leave_out(given: Case) -> None:
    assert_parity(loss(each_row), "xentropy", cases=given)
    assert_parity(loss(total), "xentropy", cases=given, reduction="sum")
    assert_parity(loss(by_weight), "xentropy", cases=given, reduction="mean")
    assert_parity(loss(by_weight), cases=given, reduction="mean")
    error = failure(loss(by_rows), cases=given, reduction="mean")
    assert error.gap is not None
    assert error.gap.at == ()
    assert "in the loss: " in str(error)
    failure(loss(lambda z, t, sample_weight=None: each_row(z, t)), cases=WEIGHED)


def test_the_gradient_is_that_of_the_reduction() -> None:
    plain = WEIGHED.only([0, 2, 3])
    case = Case("plain", plain.logits, plain.targets)
    reduced = {"none": careful, "sum": total, "mean": by_rows}
    parts = {"none": 1, "sum": 1, "mean": 3}
    for reduction, function in reduced.items():
        for name, divisor in parts.items():
            given = loss(function, gradient=lambda z, t, by=divisor: slope(z.astype(np.float64), t) / by)
            if parts[reduction] == divisor:
                assert_parity(given, "xentropy", cases=case, reduction=reduction, quantities=["gradient"])
            else:
                error = failure(given, cases=case, reduction=reduction)
                assert error.gap is not None, name
                assert error.gap.quantity == "gradient"


def test_a_class_weight_counts_in_the_mean() -> None:
    weight = np.asarray([0.5, 1.0, 2.0], dtype=np.float32)
    plain = WEIGHED.only([0, 2, 3])
    case = Case("weighed", plain.logits, plain.targets, class_weight=weight)

    def rows(z: Array, t: Array) -> Array:
        return careful(z, t).astype(np.float64) * weight[t]

    def mean(z: Array, t: Array) -> Any:
        return rows(z, t).sum() / weight[t].sum(dtype=np.float64)

    assert_parity(loss(mean), "xentropy", cases=case, reduction="mean")
    failure(loss(lambda z, t: rows(z, t).mean()), cases=case, reduction="mean")


def test_a_mean_of_nothing_is_zero() -> None:
    nothing = Case("none", np.full((2, 3), np.nan, np.float32), np.full(2, -100, np.int32), ignore_index=-100)
    zeros = loss(lambda z, t: 0.0, gradient=lambda z, t: np.zeros_like(z))
    for other in ("exact", "xentropy"):
        found = assert_parity(zeros, other, cases=nothing, reduction="mean").largest()
        assert {name: gap.exact for name, gap in found.items()} == {"loss": 0.0, "gradient": 0.0}
    failure(loss(lambda z, t: math.nan), cases=nothing, reduction="mean")
    failure(loss(lambda z, t: np.full(2, 1e-30, np.float32)), cases=nothing)


@pytest.mark.parametrize(
    ("function", "reduction", "shapes"),
    [
        (careful, "mean", (r"\(3,\)", r"\(\)")),
        (by_rows, "none", (r"\(\)", r"\(3,\)")),
        (lambda z, t: careful(z, t)[:, None], "none", (r"\(3, 1\)", r"\(3,\)")),
        (lambda z, t: careful(z, t)[:1], "sum", (r"\(1,\)", r"\(\)")),
    ],
)
def test_another_shape_than_the_reduction_has_is_told(function: Any, reduction: str, shapes: tuple[str, str]) -> None:
    plain = WEIGHED.only([0, 2, 3])
    case = Case("plain", plain.logits, plain.targets)
    message = rf"theirs returned shape {shapes[0]} for logits of shape \(3, 3\), where reduction='{reduction}' means "
    with pytest.raises(ValueError, match=message + shapes[1]):
        assert_parity(loss(function), cases=case, reduction=reduction)


def test_a_gradient_has_the_shape_of_the_logits() -> None:
    with pytest.raises(ValueError, match=r"the gradient of careful has shape \(1, 12\); that of its logits is \(40, "):
        assert_parity(right(gradient=lambda z, t: slope(z, t)[:1]), cases=MANY_ROWS)


# --- losses that raise, and quantities ----------------------------------------------------------------------------


def test_a_loss_that_raises_fails_with_its_case_and_its_error() -> None:
    def picky(logits: Array, targets: Array) -> Any:
        if np.isinf(logits).any():
            raise FloatingPointError("infinite logits")
        return careful(logits, targets)

    error = failure(loss(picky, "picky"))
    assert str(error).startswith("picky raised FloatingPointError: infinite logits")
    assert isinstance(error.__cause__, FloatingPointError)
    assert error.gap is None
    assert error.case.logits.shape == (1, 2)
    assert np.isinf(printed(error).logits).any()
    assert str(failure(loss(picky, "picky"), cases=[printed(error)])).startswith("picky raised")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z, t: None, "returned a builtins.NoneType, no array of numpy"),
        (lambda z, t: careful(z, t).tolist(), "returned a builtins.list, no array of numpy"),
        (lambda z, t: np.zeros(len(z), dtype=np.int64), "returned int64, and a loss is one of float16"),
    ],
)
def test_what_is_no_loss_is_told(function: Any, message: str) -> None:
    assert message in str(failure(loss(function), cases=FLAT))


def test_a_gradient_that_returns_nothing_is_told() -> None:
    assert "gradient returned None" in str(failure(right(gradient=lambda z, t: None), cases=FLAT))


def test_what_a_loss_warns_of_is_in_its_numbers() -> None:
    def warns(logits: Array, targets: Array) -> Any:
        warnings.warn("slow", UserWarning, stacklevel=2)
        return careful(logits, targets)

    assert_parity(loss(warns), cases=FLAT)


def test_quantities_are_those_that_are_asked_for() -> None:
    wrong = right(gradient=lambda z, t: 2 * slope(z, t))
    assert set(assert_parity(wrong, quantities="loss", cases=FLAT).largest()) == {"loss"}
    assert set(assert_parity(right(gradient=slope), quantities=["gradient"], cases=FLAT).largest()) == {"gradient"}
    with pytest.raises(ValueError, match="quantities has 'gradient', and careful has none: its library has no deriv"):
        assert_parity(right(), quantities=["loss", "gradient"], cases=FLAT)
    with pytest.raises(ValueError, match="quantities has 'curvature', and careful has none"):
        assert_parity(right(gradient=slope), quantities=["curvature"], cases=FLAT)
    assert assert_parity(right(), right(gradient=slope), cases=FLAT).left_out == ("gradient", "curvature")


# --- whose arrays -------------------------------------------------------------------------------------------------


class Calls:
    def __call__(self, logits: np.ndarray, targets: np.ndarray) -> Any:
        return careful(logits, targets)

    def method(self, logits: np.ndarray, targets: np.ndarray) -> Any:
        return careful(logits, targets)


class OfNumPy(np.vectorize):
    def __init__(self) -> None:
        super().__init__(lambda x: x)

    def __call__(self, *args: Any, **_: Any) -> Any:
        return careful(*args)


@functools.wraps(careful)
def wrapped(*args: Any) -> Any:
    return careful(*args)


def configured(power: int, logits: np.ndarray, targets: np.ndarray) -> Any:
    return careful(logits, targets) ** power


def reversed_(targets: Any, logits: np.ndarray) -> Any:
    return careful(logits, targets)


def keyword(logits: "np.ndarray", targets: Any, power: int = 2) -> Any:
    return careful(logits, targets) ** power


@pytest.mark.parametrize(
    "given",
    [
        careful,
        wrapped,
        functools.partial(keyword, power=1),
        functools.partial(configured, 1),
        functools.partial(functools.partial(keyword), power=1),
        Calls(),
        Calls().method,
        OfNumPy(),
        Loss(reversed_, targets_first=True),
    ],
    ids=lambda given: getattr(given, "__name__", type(given).__name__),
)
def test_whose_arrays_a_loss_takes_is_read_off_it(given: Any) -> None:
    assert assert_parity(given, "xentropy", cases=MANY_ROWS).names[1] == "xentropy on numpy"


def unknown(logits: Any, targets: Any) -> Any:
    return careful(logits, targets)


def forward(logits: "Nowhere", targets: Any) -> Any:  # noqa: F821
    return careful(logits, targets)


class Mocked:
    """Has every attribute, as a mock has."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Mocked()

    def __call__(self, logits: Any, targets: Any) -> Any:
        return careful(logits, targets)


@pytest.mark.parametrize("function", [unknown, forward, lambda z, t: z, Mocked(), reversed_, print])
def test_where_nothing_tells_it_has_to_be_said(function: Any) -> None:
    with pytest.raises(TypeError, match=r"whose arrays does \S+ take\? .* Loss\(\S+, NAME\), .* NAME being one of "):
        assert_parity(function, cases=FLAT)
    if function is not print:
        assert Loss(function, "numpy").arrays == "numpy"


def test_names_of_losses() -> None:
    assert Loss(careful, "numpy").name == "careful"
    assert Loss(functools.partial(keyword, power=1), "numpy").name == "keyword"
    assert Loss(Calls(), "numpy").name == "Calls"
    assert Loss(careful, "numpy", name="mine").name == "mine"


def test_targets_may_come_first() -> None:
    given = Loss(reversed_, "numpy", lambda targets, logits: slope(logits, targets), targets_first=True)
    assert_parity(given, cases=MANY_ROWS)


# --- cases --------------------------------------------------------------------------------------------------------


def test_cases_of_every_kind_together() -> None:
    def both(logits: Array, targets: Array) -> Any:
        return careful(logits, targets) if targets.dtype.kind in "iu" else soft(logits, targets)

    strategy = cases(corners=["plain"], classes=[3])
    found = assert_parity(loss(both), cases=[FLAT, MANY_ROWS, (MANY_ROWS[0], SOFT), strategy], examples=10)
    assert set(found.worst) == {"flat", "given", "plain"}
    assert found.cases >= 13, "the examples are those of the strategy"
    assert assert_parity(right(), cases=(FLAT, FLAT)).cases == 2
    assert assert_parity(right(), cases=(MANY_ROWS, MANY_ROWS)).cases == 2
    assert assert_parity(right(), cases=iter([FLAT, MANY_ROWS])).cases == 2


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_pairs_of_arrays_have_their_own_dtype(dtype: str) -> None:
    seen = []

    def looks(logits: Array, targets: Array) -> Any:
        seen.append((logits.dtype.name, targets.dtype.kind))
        return careful(logits, targets)

    assert_parity(loss(looks), cases=(MANY_ROWS[0].astype(dtype), MANY_ROWS[1].astype(np.uint8)))
    assert set(seen) == {(dtype, "i")}


def drawn_with(seed: int) -> list[bytes]:
    seen: list[bytes] = []

    def looks(logits: Array, targets: Array) -> Any:
        seen.append(logits.tobytes() + targets.tobytes())
        return careful(logits, targets)

    assert_parity(loss(looks), examples=14, seed=seed)
    return seen


def test_a_seed_draws_the_same_cases_every_time() -> None:
    assert drawn_with(3) == drawn_with(3)
    assert drawn_with(3) != drawn_with(4)


def test_more_examples_are_more_cases() -> None:
    assert assert_parity(right(), examples=140).cases >= 140
    assert 7 <= assert_parity(right(), examples=1).cases < 70


# --- wrong arguments ----------------------------------------------------------------------------------------------

PAIR = (np.zeros((2, 3), dtype=np.float32), np.zeros(2, dtype=np.int64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "avg"}, "reduction is 'avg'; it is one of none, sum, mean"),
        ({"examples": 0}, "examples is 0; it is a positive integer"),
        ({"examples": 1.5}, "examples is 1.5; it is a positive integer"),
        ({"examples": "3"}, "examples is '3'; it is a positive integer"),
        ({"seed": "a"}, "seed is 'a'; it is an integer"),
        ({"ulp": -1}, "ulp is -1; a tolerance is a number, 0 or larger"),
        ({"rtol": math.nan}, "rtol is nan; a tolerance is a number, 0 or larger"),
        ({"atol": math.inf}, "atol is inf; a tolerance is a number, 0 or larger"),
        ({"atol": None}, "atol is None; a tolerance is a number, 0 or larger"),
        ({"ulp": "4"}, "ulp is '4'; a tolerance is a number, 0 or larger"),
        ({"ulp": 1, "rtol": 1e-3}, "ulp is 1 and rtol is 0.001; give one of them"),
        ({"quantities": ["hessian"]}, r"quantities is \['hessian'\]; they are some of loss, gradient, curvature"),
        ({"quantities": []}, r"quantities is \[\]; they are some of"),
        ({"cases": []}, "cases is empty; nothing would be compared"),
        ({"cases": (PAIR[0], np.asarray([0, 3]))}, "targets has 3; a label is from 0 to 2"),
        ({"cases": (PAIR[0], np.asarray([-1, 0]))}, "targets has -1; a label is from 0 to 2"),
        ({"cases": (PAIR[0], np.asarray([0, 2**32]))}, "targets has .*; a label is from 0 to 2"),
        ({"cases": (PAIR[0], PAIR[1][:1])}, r"targets of shape \(1,\); beside logits of shape \(2, 3\) it is \(2,\)"),
        ({"cases": (PAIR[0][:0], PAIR[1][:0])}, r"logits of shape \(0, 3\); it is \(rows, classes\), none of them 0"),
        ({"cases": (PAIR[0][None], PAIR[1])}, r"logits of shape \(1, 2, 3\); it is \(rows, classes\)"),
        ({"cases": (PAIR[0].astype(int), PAIR[1])}, "logits of dtype int64; of NumPy's they are float16, float32 or"),
        ({"cases": (PAIR[0], PAIR[1] == 0)}, "targets of dtype bool; they are integers, or floats"),
        ({"cases": Case("a", np.full((1, 2), 0.1), np.zeros(1, np.int32))}, "'a': logits are not exact in float32"),
        ({"cases": Case("a", *PAIR, dtype="float8")}, "'a': dtype is 'float8'; it is one of float16"),
        ({"cases": Case("a", *PAIR, class_weight=np.ones(2))}, r"class_weight of shape \(2,\); .* it is \(3,\)"),
        ({"cases": Case("a", *PAIR, sample_weight=np.ones(3))}, r"sample_weight of shape \(3,\); .* it is \(2,\)"),
        ({"cases": st.nothing()}, "cases has .*, which draws nothing"),
        ({"cases": [FLAT, cases().filter(lambda case: False)]}, "cases has .*, which draws nothing"),
    ],
)
def test_arguments_outside_their_domain(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assert_parity(right(), **options)


@pytest.mark.parametrize("given", [5, "plain", [1], list(PAIR), PAIR[0], st.integers(), (1, 2, 3)])
def test_what_is_no_case(given: Any) -> None:
    with pytest.raises(TypeError, match=r"each is a Case, a pair .* of NumPy arrays, or a strategy that draws cases"):
        assert_parity(right(), cases=given)


@pytest.mark.parametrize(
    ("losses", "error", "message"),
    [
        (("exact",), ValueError, "loss_a is 'exact'; that is what a loss is held against: give it as loss_b"),
        (("xentropy",), ValueError, "loss_a is 'xentropy'; that is what a loss is held against: give it as loss_b"),
        (("nothing",), ValueError, "loss_a is 'nothing': no backend is called 'nothing'; there are .*numpy"),
        ((right(), "nothing"), ValueError, "loss_b is 'nothing': no backend is called 'nothing'; there are .*numpy"),
        ((Loss(careful, "nope"),), ValueError, "arrays of careful is 'nope': no backend is called 'nope'"),
        ((5,), TypeError, "function is 5; a loss is called with logits and targets"),
    ],
)
def test_losses_that_are_none(losses: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        assert_parity(*losses)


def test_a_gradient_is_called() -> None:
    with pytest.raises(TypeError, match="gradient is 5; it is called with what the loss is called with"):
        Loss(careful, "numpy", gradient=5)  # type: ignore[arg-type]


def test_a_library_without_such_a_loss_says_so() -> None:
    with pytest.raises(UnavailableError, match="numpy has no loss of its own for the case 'plain' and its options"):
        assert_parity("numpy", cases=cases(corners=["plain"], label_smoothing=0.1))
