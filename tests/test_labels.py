"""Labels that nobody may use: an IndexError where values are known, NaN for the row where they are not."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from cases import (
    BINARY_LABELS,
    BINARY_LOGITS,
    LABELS,
    LOGITS,
    MASK,
    MASKED_LABELS,
    MASKED_SOFT_TARGETS,
    floats,
    with_rows,
)
from harness import Harness, Subject

import xentropy

X, Y = floats(LOGITS), np.array(LABELS)
OTHERS = [0, 1, 2, 4]


def with_label(value: int) -> np.ndarray[Any, Any]:
    return with_rows(Y, {3: value})


def assert_only_row_3_is_nan(subject: Subject, arrays: dict[str, Any], clean: dict[str, Any], **options: Any) -> None:
    function = xentropy.cross_entropy
    rows = subject.value(function, arrays, reduction="none", **options)
    gradient = subject.gradient(function, arrays, reduction="sum", **options)
    good = {name: value for name, value in options.items() if name != "validate"}
    assert np.isnan(rows[3])
    assert np.isnan(gradient[3]).all()
    np.testing.assert_array_equal(rows[OTHERS], subject.value(function, clean, reduction="none", **good)[OTHERS])
    np.testing.assert_array_equal(gradient[OTHERS], subject.gradient(function, clean, reduction="sum", **good)[OTHERS])
    assert np.isnan(subject.value(function, arrays, **options))


@pytest.mark.parametrize("label", [4, -1, 127, -100])
@pytest.mark.parametrize(
    "options", [{}, {"label_smoothing": 0.1, "focal_gamma": 2.0, "z_loss": 0.1}], ids=["", "options"]
)
def test_label_out_of_range(subject: Subject, label: int, options: Any) -> None:
    """Never wrapped, clamped or zero."""
    arrays, clean = ({"logits": X, "targets": labels} for labels in (with_label(label), Y))
    if subject.knows_values:
        message = re.escape(f"targets[3] is {label}") + r".*\[0, 4\)"
        with pytest.raises(IndexError, match=message):
            subject.run(xentropy.cross_entropy, arrays, **options)
        with pytest.raises(IndexError, match=message):
            subject.run_gradient(xentropy.cross_entropy, arrays, **options)
        assert_only_row_3_is_nan(subject, arrays, clean, validate=False, **options)
    else:
        assert_only_row_3_is_nan(subject, arrays, clean, **options)


@pytest.mark.compiled
def test_label_out_of_range_with_weights(subject: Subject) -> None:
    arrays = {"logits": X, "targets": with_label(4), "class_weight": floats([1.0, 0.0, 2.0, 0.0])}
    assert_only_row_3_is_nan(subject, arrays, arrays | {"targets": Y}, validate=False)


@pytest.mark.parametrize(
    ("dtype", "label"),
    [("int64", 2**33), ("int64", -(2**33)), ("uint32", 2**32 - 1), ("uint64", 2**64 - 1), ("int64", 2**63 - 1)],
)
def test_label_that_does_not_fit(subject: Subject, dtype: str, label: int) -> None:
    """A NumPy label too wide for the library is still out of range: 2**33 is not class 0."""
    labels = Y.astype(dtype)
    labels[3] = label
    if subject.knows_values:
        with pytest.raises(IndexError, match=re.escape(f"targets[3] is {label}")):
            subject.run(xentropy.cross_entropy, {"logits": X}, targets=labels)
    else:
        try:
            rows = subject.value(xentropy.cross_entropy, {"logits": X}, targets=labels, reduction="none")
        except IndexError as error:  # A constant of the compiled function, so its values may be known after all.
            assert f"targets[3] is {label}" in str(error)  # noqa: PT017
        else:
            assert np.isnan(rows[3])
    rows = subject.value(xentropy.cross_entropy, {"logits": X}, targets=labels, reduction="none", validate=False)
    assert np.isnan(rows[3])
    assert np.isfinite(rows[OTHERS]).all()


def test_label_out_of_range_is_never_zero(subject: Subject) -> None:
    """The mean too is NaN, even where no row that could be counted weighs anything."""
    arrays = {"logits": X[:1], "targets": np.array([7]), "class_weight": floats([0.0, 1.0, 1.0, 1.0])}
    assert np.isnan(subject.value(xentropy.cross_entropy, arrays, validate=False))


@pytest.mark.parametrize("validate", ["auto", True])
def test_validate(backend: Harness, validate: Any) -> None:
    """True looks at the values even where that means waiting for them."""
    if backend.reads_values or validate is True:
        with pytest.raises(IndexError, match=r"targets\[3\] is 9"):
            xentropy.cross_entropy(backend.asarray(X), backend.asarray(with_label(9)), validate=validate)
    else:
        result = xentropy.cross_entropy(backend.asarray(X), backend.asarray(with_label(9)), validate=validate)
        assert np.isnan(backend.to_numpy(result))


def test_position_in_many_axes(backend: Harness) -> None:
    labels = np.zeros((2, 3), dtype=np.int32)
    labels[1, 2] = 7
    for axis, shape in ((-1, (2, 3, 4)), (1, (2, 4, 3)), (0, (4, 2, 3))):
        with pytest.raises(IndexError, match=re.escape("targets[1, 2] is 7")):
            xentropy.cross_entropy(
                backend.asarray(np.zeros(shape, np.float32)), backend.asarray(labels), axis=axis, validate=True
            )


def test_single_label(backend: Harness) -> None:
    with pytest.raises(IndexError, match="targets is 4"):
        xentropy.cross_entropy(backend.asarray(X[0]), backend.asarray(np.array(4)), validate=True)


@pytest.mark.parametrize("ignore_index", [-100, 7, 2**40, -(2**40)])
def test_ignored_label_may_be_any_integer(subject: Subject, ignore_index: int) -> None:
    """In range or not, fitting the labels' dtype or not."""
    others = {"logits": X[OTHERS], "targets": Y[OTHERS]}
    expected = subject.value(xentropy.cross_entropy, others)
    labels = with_label(ignore_index) if abs(ignore_index) < 2**31 else Y.astype(np.int32)
    found = subject.value(xentropy.cross_entropy, {"logits": X, "targets": labels}, ignore_index=ignore_index)
    if abs(ignore_index) < 2**31:
        assert found == expected
    else:
        assert found == subject.value(xentropy.cross_entropy, {"logits": X, "targets": Y})


@pytest.mark.parametrize(("dtype", "ignore_index"), [("uint8", 255), ("uint8", -100), ("int8", 200), ("int64", 2**33)])
def test_ignored_label_of_another_width(subject: Subject, dtype: str, ignore_index: int) -> None:
    """An ignore_index that the labels' dtype can't hold matches nothing; one that it can is found."""
    labels = Y.astype(dtype)
    fits = np.iinfo(dtype).min <= ignore_index <= np.iinfo(dtype).max
    if fits:
        labels[3] = ignore_index
    found = subject.value(
        xentropy.cross_entropy, {"logits": X}, targets=labels, ignore_index=ignore_index, reduction="none"
    )
    assert (found[3] == 0.0) == fits
    np.testing.assert_array_equal(
        found[OTHERS], subject.value(xentropy.cross_entropy, {"logits": X, "targets": Y}, reduction="none")[OTHERS]
    )


def test_ignored_in_range(subject: Subject) -> None:
    """Class 0 may be ignored like any other label."""
    found = subject.value(xentropy.cross_entropy, {"logits": X, "targets": Y}, ignore_index=0, reduction="none")
    np.testing.assert_array_equal(found == 0.0, Y == 0)


def test_ignore_index_needs_indices(subject: Subject) -> None:
    with pytest.raises(ValueError, match="ignore_index"):
        subject.run(xentropy.cross_entropy, {"logits": X, "targets": floats(MASKED_SOFT_TARGETS)}, ignore_index=0)


def test_removed_row_cannot_raise(subject: Subject) -> None:
    """Neither by its label, nor by a masked class; removed comes before everything."""
    weight = floats([1.0, 1.0, 1.0, 0.0, 1.0])
    expected = subject.value(xentropy.cross_entropy, {"logits": X[OTHERS], "targets": np.array(MASKED_LABELS)[OTHERS]})
    for label in (4, -1, 3):
        labels = with_rows(MASKED_LABELS, {3: label})
        arrays = {"logits": with_rows(X, {3: np.nan}), "targets": labels, "sample_weight": weight}
        assert subject.value(xentropy.cross_entropy, arrays) == expected
        gradient = subject.gradient(xentropy.cross_entropy, arrays)
        assert not gradient[3].any()
        assert np.isfinite(gradient).all()
        masked = arrays | {"class_mask": np.array(MASK)}
        assert np.isfinite(subject.value(xentropy.cross_entropy, masked))
    ignored = {"logits": X, "targets": with_label(3), "class_mask": np.array(MASK)}
    ignored["targets"][4] = 0
    assert np.isfinite(subject.value(xentropy.cross_entropy, ignored, ignore_index=3))


def test_label_rule_before_nonfinite_logits(subject: Subject) -> None:
    """A label out of range raises though its row is NaN anyway."""
    arrays = {"logits": with_rows(X, {3: np.nan}), "targets": with_label(-1)}
    if subject.knows_values:
        with pytest.raises(IndexError, match=r"targets\[3\] is -1"):
            subject.run(xentropy.cross_entropy, arrays)
    else:
        assert_only_row_3_is_nan(subject, arrays, {"logits": X, "targets": Y})


@pytest.mark.parametrize("per_row", [False, True], ids=["shared", "per_row"])
def test_label_in_an_excluded_class(subject: Subject, per_row: bool) -> None:
    """ValueError where values are known, NaN loss and gradient for that row elsewhere."""
    mask = np.array(MASK)
    mask = np.tile(mask, (5, 1)) if per_row else mask
    clean = {"logits": X, "targets": np.array(MASKED_LABELS), "class_mask": mask}
    arrays = clean | {"targets": with_rows(MASKED_LABELS, {3: 3})}
    if subject.knows_values:
        with pytest.raises(ValueError, match=r"targets\[3\] is 3.*class_mask"):
            subject.run(xentropy.cross_entropy, arrays)
        assert_only_row_3_is_nan(subject, arrays, clean, validate=False)
    else:
        assert_only_row_3_is_nan(subject, arrays, clean)


def test_target_mass_on_an_excluded_class(subject: Subject) -> None:
    mask = np.array(MASK)
    clean = {"logits": X, "targets": floats(MASKED_SOFT_TARGETS), "class_mask": mask}
    arrays = clean | {"targets": with_rows(MASKED_SOFT_TARGETS, {3: [0.0, 0.0, 0.5, 0.5]})}
    if subject.knows_values:
        with pytest.raises(ValueError, match=r"targets\[3, 3\] is 0\.5.*class_mask"):
            subject.run(xentropy.cross_entropy, arrays)
        assert_only_row_3_is_nan(subject, arrays, clean, validate=False)
    else:
        assert_only_row_3_is_nan(subject, arrays, clean)


@pytest.mark.parametrize("label", [2, -1])
def test_binary_label(subject: Subject, label: int) -> None:
    """Integer labels are 0 or 1."""
    z, y = floats(BINARY_LOGITS), np.array(BINARY_LABELS)
    bad = y.copy()
    bad[1, 2] = label
    function, arrays = xentropy.binary_cross_entropy, {"logits": z, "targets": bad}
    options = {}
    if subject.knows_values:
        with pytest.raises(IndexError, match=re.escape(f"targets[1, 2] is {label}")):
            subject.run(function, arrays)
        options = {"validate": False}
    wrong = bad != y
    rows = subject.value(function, arrays, reduction="none", **options)
    gradient = subject.gradient(function, arrays, reduction="sum", **options)
    np.testing.assert_array_equal(np.isnan(rows), wrong)
    np.testing.assert_array_equal(np.isnan(gradient), wrong)
    clean = subject.value(function, arrays | {"targets": y}, reduction="none")
    np.testing.assert_array_equal(rows[~wrong], clean[~wrong])


def test_binary_label_that_does_not_fit(subject: Subject) -> None:
    labels = np.array([1, 2**33])
    found = subject.value(
        xentropy.binary_cross_entropy, {"logits": floats([0.0, 0.0])}, targets=labels, reduction="none", validate=False
    )
    np.testing.assert_array_equal(np.isnan(found), [False, True])


def test_token_statistics_label(subject: Subject) -> None:
    """The log-probability is NaN, the statistics that need no label are right, and nothing is called correct."""
    arrays = {"logits": X, "targets": with_label(4)}
    if subject.knows_values:
        with pytest.raises(IndexError, match=r"targets\[3\] is 4"):
            subject.run(xentropy.token_statistics, arrays)
        return
    found = subject.run(xentropy.token_statistics, arrays)
    clean = subject.run(xentropy.token_statistics, {"logits": X, "targets": Y})
    log_prob, correct = (subject.harness.to_numpy(x) for x in (found.log_prob, found.correct))
    np.testing.assert_array_equal(np.isnan(log_prob), np.arange(5) == 3)
    assert not correct[3]
    np.testing.assert_allclose(
        subject.harness.to_numpy(found.logsumexp), subject.harness.to_numpy(clean.logsumexp), rtol=1e-6
    )


def test_label_under_vmap(vmap: Harness) -> None:
    """Inside vmap no label is known, so a wrong one gives NaN."""
    logits, labels = vmap.asarray(X), vmap.asarray(with_label(4))
    rows = vmap.to_numpy(vmap.vmap(xentropy.cross_entropy)(logits, labels))
    np.testing.assert_array_equal(np.isnan(rows), np.arange(5) == 3)
