"""NaN and infinities: what they mean where they count, and nothing where they don't."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import LABELS, LOGITS, SOFT_TARGETS, Case, floats, with_rows
from harness import Subject

import xentropy

INF, NAN = np.inf, np.nan
X, Y, SOFT = floats(LOGITS), np.array(LABELS), floats(SOFT_TARGETS)

POISON = {
    "nan": [NAN, 1.0, 2.0, 3.0],
    "all_nan": [NAN] * 4,
    "inf_at_label": [INF, 1.0, 2.0, 3.0],
    "inf_elsewhere": [1.0, 0.0, INF, 3.0],
    "two_inf": [INF, INF, 0.0, 0.0],
    "all_minus_inf": [-INF] * 4,
    "nan_and_minus_inf": [NAN, -INF, -INF, 0.0],
}


def losses_and_gradient(subject: Subject, function: Any, arrays: Any, **options: Any) -> tuple[Any, Any]:
    rows = subject.value(function, arrays, **options, reduction="none")
    return rows, subject.gradient(function, arrays, **options, reduction="sum")


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("soft", [False, True], ids=["index", "soft"])
def test_poisoned_row(subject: Subject, poison: str, soft: bool) -> None:
    """NaN, +inf or nothing but -inf make that row NaN, in loss and gradient, and no other."""
    arrays = {"logits": with_rows(X, {1: POISON[poison]}), "targets": SOFT if soft else Y}
    # Twice: TensorFlow compiles what comes again, which rounds otherwise.
    for _ in range(2):
        clean = losses_and_gradient(subject, xentropy.cross_entropy, arrays | {"logits": X})
    found = losses_and_gradient(subject, xentropy.cross_entropy, arrays)
    others = [0, 2, 3, 4]
    for dirty, good in zip(found, clean, strict=True):
        assert np.isnan(dirty[1]).all()
        np.testing.assert_array_equal(dirty[others], good[others])
    assert np.isnan(subject.value(xentropy.cross_entropy, arrays))


@pytest.mark.parametrize("poison", POISON)
def test_removed_row(subject: Subject, poison: str) -> None:
    """Ignored, or of sample weight 0: loss 0, gradient 0, and the others as if it were not there."""
    dirty = with_rows(X, {1: POISON[poison]})
    others = [0, 2, 3, 4]
    expected = subject.value(xentropy.cross_entropy, {"logits": X[others], "targets": Y[others]})
    weight = np.ones(5, np.float32)
    weight[1] = 0.0
    ignored = {"logits": dirty, "targets": np.where(np.arange(5) == 1, -100, Y)}
    weighted = {"logits": dirty, "targets": Y, "sample_weight": weight}
    for arrays, options in ((ignored, {"ignore_index": -100}), (weighted, {})):
        for more in (
            {},
            {"label_smoothing": 0.1, "softcap": 5.0, "temperature": 2.0, "focal_gamma": 2.0, "z_loss": 0.1},
        ):
            rows, gradient = losses_and_gradient(subject, xentropy.cross_entropy, arrays, **options, **more)
            assert rows[1] == 0.0
            assert not gradient[1].any()
            assert np.isfinite(rows).all()
            assert np.isfinite(gradient).all()
        assert subject.value(xentropy.cross_entropy, arrays, **options) == expected


@pytest.mark.parametrize("soft", [False, True], ids=["index", "soft"])
def test_removed_row_of_a_mask_that_allows_nothing(subject: Subject, soft: bool) -> None:
    """As padding has it: no class, no loss, no gradient."""
    mask = np.ones((5, 4), bool)
    mask[1] = False
    arrays = {"logits": X, "targets": SOFT if soft else Y, "class_mask": mask}
    arrays |= {"sample_weight": floats([1.0, 0.0, 1.0, 1.0, 1.0])}
    for options in ({}, {"temperature": 2.0, "softcap": 5.0}, {"label_smoothing": 0.1, "focal_gamma": 2.0}):
        rows, gradient = losses_and_gradient(subject, xentropy.cross_entropy, arrays, **options)
        assert rows[1] == 0.0
        assert not gradient[1].any()
        assert np.isfinite(gradient).all()


def test_removed_row_meets_no_weight(subject: Subject) -> None:
    """Nor do infinite weights of classes without a label, or NaN weights of removed elements, count."""
    weight = floats([INF, 1.0, 2.0, 1.0])
    arrays = {"logits": X, "targets": np.array([2, -100, 1, 2, 3]), "class_weight": weight}
    probabilities = arrays | {"logits": with_rows(np.full((5, 4), 0.25), {1: [NAN, 2.0, -1.0, 0.0]})}
    for given, options in ((arrays, {}), (arrays, {"focal_gamma": 2.0}), (probabilities, {"from_logits": False})):
        rows, gradient = losses_and_gradient(subject, xentropy.cross_entropy, given, ignore_index=-100, **options)
        assert np.isfinite(rows).all()
        assert np.isfinite(gradient).all()
        assert not gradient[1].any()
    binary = {"logits": X[0, :2], "targets": np.array([1, 1]), "pos_weight": floats([1.0, NAN])}
    binary |= {"sample_weight": floats([1.0, 0.0])}
    rows, gradient = losses_and_gradient(subject, xentropy.binary_cross_entropy, binary)
    assert rows[1] == gradient[1] == 0.0
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("soft", [False, True], ids=["index", "soft"])
def test_poisoned_row_of_weight_zero(subject: Subject, soft: bool) -> None:
    """A class weight removes no row: what is NaN stays NaN, in the mean too, whatever its denominator."""
    arrays = {"logits": floats([[NAN, 2.0, 3.0], [INF, 0.0, 0.0]]), "class_weight": floats([0.0, 1.0, 1.0])}
    arrays |= {"targets": floats([[1.0, 0.0, 0.0]] * 2) if soft else np.array([0, 0])}
    rows, gradient = losses_and_gradient(subject, xentropy.cross_entropy, arrays)
    assert np.isnan(rows).all()
    assert np.isnan(gradient).all()
    assert np.isnan(subject.value(xentropy.cross_entropy, arrays))


def test_overflowing_distance_to_a_target_of_zero(subject: Subject) -> None:
    arrays = {"logits": floats([[1e38, -3e38]]), "targets": floats([[1.0, 0.0]])}
    for found in losses_and_gradient(subject, xentropy.cross_entropy, arrays):
        assert not found.any()


@pytest.mark.parametrize("options", [{"temperature": 0.5}, {"softcap": 0.5}, {"temperature": 3.0}], ids=str)
def test_lowest_float_as_a_mask(subject: Subject, options: Any) -> None:
    """finfo.min stands for -inf in many models, also where a quotient of it is infinite."""
    lowest = float(np.finfo(np.float32).min)
    capped = options.get("softcap")
    for row, left in (([1.0, 2.0, lowest], [1.0, 2.0]), ([1e38, -3e38, -3.2e38], [0.0])):
        arrays = {"logits": floats([row]), "targets": np.array([0])}
        rows, gradient = losses_and_gradient(subject, xentropy.cross_entropy, arrays, **options)
        scores = np.array([*row] if capped else left, np.float64)
        scores = (capped * np.tanh(scores / capped) if capped else scores) / options.get("temperature", 1.0)
        np.testing.assert_allclose(rows, [np.log(np.exp(scores - scores[0]).sum())], rtol=1e-5)
        assert np.isfinite(gradient).all()


def test_removed_targets(subject: Subject) -> None:
    """Not even NaN targets count in a row of sample weight 0."""
    weight = floats([1.0, 0.0, 1.0, 1.0, 1.0])
    arrays = {"logits": with_rows(X, {1: NAN}), "targets": with_rows(SOFT, {1: NAN}), "sample_weight": weight}
    others = [0, 2, 3, 4]
    expected = subject.value(xentropy.cross_entropy, {"logits": X[others], "targets": SOFT[others]})
    assert subject.value(xentropy.cross_entropy, arrays) == expected
    gradient = subject.gradient(xentropy.cross_entropy, arrays)
    assert not gradient[1].any()
    assert np.isfinite(gradient).all()


def test_minus_inf_at_the_label(subject: Subject) -> None:
    """The label is impossible: the loss is +inf, for that row."""
    logits = with_rows(X, {1: [-INF, 1.0, 2.0, 3.0]})
    rows = subject.value(xentropy.cross_entropy, {"logits": logits, "targets": Y}, reduction="none")
    assert rows[1] == INF
    soft = subject.value(
        xentropy.cross_entropy, {"logits": logits, "targets": with_rows(SOFT, {1: 0.25})}, reduction="none"
    )
    assert soft[1] == INF
    assert np.isfinite(rows[[0, 2, 3, 4]]).all()
    assert np.isfinite(soft[[0, 2, 3, 4]]).all()


@pytest.mark.parametrize(
    "options", [{}, {"focal_gamma": 2.0}, {"temperature": 3.0}, {"z_loss": 0.1}, {"softcap": 5.0}], ids=str
)
def test_minus_inf_where_the_target_is_zero(subject: Subject, options: Any) -> None:
    """Contributes nothing: the loss is that without the class, and so is the gradient; at the class it is 0."""
    logits = with_rows(X, {0: [0.5, 1.0, -INF, 0.25]})
    targets = with_rows(SOFT, {0: [0.5, 0.25, 0.0, 0.25]})
    rows, gradient = losses_and_gradient(
        subject, xentropy.cross_entropy, {"logits": logits, "targets": targets}, **options
    )
    left = [0, 1, 3]
    expected = losses_and_gradient(
        subject, xentropy.cross_entropy, {"logits": logits[:1, left], "targets": targets[:1, left]}, **options
    )
    np.testing.assert_allclose(rows[0], expected[0][0], rtol=5e-7)
    np.testing.assert_allclose(gradient[0, left], expected[1][0], rtol=2e-6, atol=1e-8)
    assert gradient[0, 2] == 0.0


def test_softcap_hides_no_infinity(subject: Subject) -> None:
    """Rows that are NaN without a cap are NaN with it."""
    poisons = [POISON[name] for name in ("nan", "inf_at_label", "inf_elsewhere", "all_minus_inf")]
    arrays = {"logits": floats([X[0], *poisons]), "targets": Y}
    for found in losses_and_gradient(subject, xentropy.cross_entropy, arrays, softcap=5.0):
        assert np.isfinite(found[0]).all()
        assert np.isnan(found[1:]).all()


def test_minus_inf_at_a_label_of_weight_zero(subject: Subject) -> None:
    arrays = {
        "logits": with_rows(X, {1: [-INF, 1.0, 2.0, 3.0]}),
        "targets": Y,
        "class_weight": floats([0.0, 1.0, 1.0, 1.0]),
    }
    rows, gradient = losses_and_gradient(subject, xentropy.cross_entropy, arrays)
    assert rows[1] == 0.0
    assert not gradient[1].any()
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("row", [[-800.0], [-INF, -800.0, -INF]], ids=str)
def test_only_one_class(subject: Subject, row: list[float]) -> None:
    """A label without competitors is certain, however low its logit."""
    arrays = {"logits": floats([row, row]), "targets": np.full(2, len(row) // 2)}
    for found in losses_and_gradient(subject, xentropy.cross_entropy, arrays):
        assert not found.any()


@pytest.mark.soft_gradient
def test_minus_inf_gradient_of_soft_targets(subject: Subject) -> None:
    """The gradient of the sum with respect to targets is finite at a zero target, even at a logit of -inf."""
    problem = Case.SOFT_MINUS_INF.value
    gradient = subject.gradient(xentropy.cross_entropy, problem.arrays, "targets", reduction="sum")
    assert np.isfinite(gradient).all()


# --- binary ------------------------------------------------------------------------------------------------------

# logit, label, loss, gradient
LIMITS = [(INF, 1, 0.0, 0.0), (-INF, 0, 0.0, 0.0), (INF, 0, INF, 1.0), (-INF, 1, INF, -1.0)]


@pytest.mark.parametrize("options", [{}, {"focal_gamma": 2.0}, {"focal_alpha": 0.5, "focal_gamma": 0.5}], ids=str)
@pytest.mark.parametrize("soft", [False, True], ids=["index", "soft"])
def test_binary_limits(subject: Subject, options: Any, soft: bool) -> None:
    """At infinite logits the loss and the gradient are their limits, 0 or +inf; -1, 0 or 1."""
    z, y, losses, slopes = (np.array(column) for column in zip(*LIMITS, strict=True))
    arrays = {"logits": floats([z]), "targets": floats([y]) if soft else np.array([y])}
    rows, gradient = losses_and_gradient(subject, xentropy.binary_cross_entropy, arrays, **options)
    np.testing.assert_array_equal(rows[0], losses)
    np.testing.assert_array_equal(gradient[0], slopes * options.get("focal_alpha", 1.0))


def test_binary_limits_of_weights(subject: Subject) -> None:
    z, y, losses, slopes = (np.array(column) for column in zip(*LIMITS, strict=True))
    arrays = {"logits": floats(z), "targets": y, "pos_weight": floats(3.0), "sample_weight": floats(0.5)}
    rows, gradient = losses_and_gradient(subject, xentropy.binary_cross_entropy, arrays)
    np.testing.assert_array_equal(rows, losses)
    np.testing.assert_array_equal(gradient, slopes * np.where(y == 1, 3.0, 1.0) * 0.5)


def test_binary_infinite_between_labels(subject: Subject) -> None:
    """A label between 0 and 1 is never met by an infinite logit; the gradient is p - y."""
    arrays = {"logits": floats([INF, -INF]), "targets": floats([0.75, 0.75])}
    rows, gradient = losses_and_gradient(subject, xentropy.binary_cross_entropy, arrays)
    np.testing.assert_array_equal(rows, [INF, INF])
    np.testing.assert_array_equal(gradient, [0.25, -0.75])


def test_binary_nan(subject: Subject) -> None:
    """NaN for that element only, and nothing at all where its sample weight is 0."""
    arrays = {"logits": floats([0.5, NAN, 2.0]), "targets": np.array([1, 0, 1])}
    clean = losses_and_gradient(subject, xentropy.binary_cross_entropy, arrays | {"logits": floats([0.5, 1.0, 2.0])})
    found = losses_and_gradient(subject, xentropy.binary_cross_entropy, arrays)
    for dirty, good in zip(found, clean, strict=True):
        np.testing.assert_array_equal(np.isnan(dirty), [False, True, False])
        np.testing.assert_array_equal(dirty[[0, 2]], good[[0, 2]])
    arrays |= {"sample_weight": floats([1.0, 0.0, 1.0])}
    rows, gradient = losses_and_gradient(subject, xentropy.binary_cross_entropy, arrays)
    assert rows[1] == gradient[1] == 0.0
    np.testing.assert_array_equal(rows[[0, 2]], clean[0][[0, 2]])


# --- probabilities -----------------------------------------------------------------------------------------------


def test_probability_zero_at_the_label(subject: Subject) -> None:
    """+inf, as mathematics says; nothing where the target is 0."""
    p = floats([[0.0, 0.5, 0.5], [0.25, 0.75, 0.0]])
    found = subject.value(
        xentropy.cross_entropy, {"logits": p, "targets": np.array([0, 1])}, from_logits=False, reduction="none"
    )
    assert found[0] == INF
    np.testing.assert_allclose(found[1], -np.log(0.75), rtol=1e-6)
    soft = floats([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]])
    found = subject.value(xentropy.cross_entropy, {"logits": p, "targets": soft}, from_logits=False, reduction="none")
    assert found[0] == INF
    np.testing.assert_allclose(found[1], -0.5 * np.log(0.25) - 0.5 * np.log(0.75), rtol=1e-6)
    found = subject.value(
        xentropy.binary_cross_entropy,
        {"logits": floats([0.0, 1.0, 0.0, 1.0]), "targets": np.array([1, 0, 0, 1])},
        from_logits=False,
        reduction="none",
    )
    np.testing.assert_array_equal(found, [INF, INF, 0.0, 0.0])


@pytest.mark.parametrize("wrong", [-0.25, 1.25, INF, -INF])
def test_probability_outside(subject: Subject, wrong: float) -> None:
    """ValueError naming value and place where values are known; NaN for that row elsewhere."""
    p = floats([[0.5, 0.25, 0.25], [0.0, 0.0, wrong]])
    for function, targets, place in (
        (xentropy.cross_entropy, np.array([0, 2]), r"logits\[1, 2\]"),
        (xentropy.cross_entropy, floats([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]), r"logits\[1, 2\]"),
        (xentropy.binary_cross_entropy, np.array([[0, 1, 0], [0, 0, 1]]), r"logits\[1, 2\]"),
    ):
        arrays = {"logits": p, "targets": targets}
        if subject.knows_values:
            with pytest.raises(ValueError, match=rf"{place}.*{wrong}.*\[0, 1\]"):
                subject.run(function, arrays, from_logits=False)
            unchecked = subject.value(function, arrays, from_logits=False, reduction="none", validate=False)
        else:
            unchecked = subject.value(function, arrays, from_logits=False, reduction="none")
        bad = np.isnan(unchecked)
        assert bad.any()
        assert not bad[0].any()


def test_probability_outside_in_a_removed_row(subject: Subject) -> None:
    p = floats([[0.5, 0.5], [3.0, -1.0]])
    arrays = {"logits": p, "targets": np.array([0, 1]), "sample_weight": floats([1.0, 0.0])}
    np.testing.assert_allclose(subject.value(xentropy.cross_entropy, arrays, from_logits=False), np.log(2.0), rtol=1e-6)


@pytest.mark.parametrize("target", [INF, -INF, NAN])
def test_binary_target_that_is_no_probability(subject: Subject, target: float) -> None:
    """NaN or infinite: no plausible number comes of it, at a logit of 0 neither."""
    arrays = {"logits": floats([0.0, 1.0, -1.0]), "targets": floats([target] * 3)}
    losses = subject.value(xentropy.binary_cross_entropy, arrays, reduction="none")
    assert not np.isfinite(losses).any()
    assert not np.isfinite(subject.value(xentropy.binary_cross_entropy, arrays))
