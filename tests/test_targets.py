"""What a target may be: integers of every width, floats, lists, NumPy arrays; one-hot and index say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import (
    CLASS_WEIGHTS,
    CLASSES,
    LABELS,
    LOGITS,
    MASK,
    MASKED_LABELS,
    SAMPLE_WEIGHTS,
    SOFT_TARGETS,
    Case,
    floats,
)
from harness import Harness, Subject
from harness.base import SIGNED, UNSIGNED

import xentropy

X = floats(LOGITS)
LOSSES = Case.INDEX.value.exact.rows


def assert_exact(found: np.ndarray[Any, Any]) -> None:
    assert LOSSES.ulps(found, "float32").max() <= 20.0


@pytest.mark.parametrize("dtype", [*SIGNED, *UNSIGNED])
def test_integer_width(subject: Subject, dtype: str) -> None:
    """Every width, signed or not; in the library's own array where it has the width, as a NumPy array elsewhere."""
    labels = np.array(LABELS, dtype=dtype)
    if dtype in subject.harness.integers:
        own = subject.harness.asarray(labels)
        assert subject.harness.dtype(own) == dtype
        assert_exact(subject.value(xentropy.cross_entropy, {"logits": X, "targets": own}, reduction="none"))
    assert_exact(subject.value(xentropy.cross_entropy, {"logits": X}, targets=labels, reduction="none"))


@pytest.mark.parametrize("dtype", [*SIGNED, *UNSIGNED])
def test_integer_width_binary(backend: Harness, dtype: str) -> None:
    logits, labels = floats([0.0, 2.0, -1.0]), np.array([1, 0, 1], dtype=dtype)
    found = Subject(backend, "eager").value(
        xentropy.binary_cross_entropy, {"logits": logits}, targets=labels, reduction="none"
    )
    np.testing.assert_allclose(found, np.log1p(np.exp([0.0, 2.0, 1.0])), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_float_width(backend: Harness, dtype: str) -> None:
    """Floats are probabilities, of whatever width; the logits' dtype decides."""
    soft = np.round(np.array(SOFT_TARGETS) * 8) / 8
    found = Subject(backend, "eager").run(
        xentropy.cross_entropy, {"logits": X}, targets=soft.astype(dtype), reduction="none"
    )
    expected = Subject(backend, "eager").value(
        xentropy.cross_entropy, {"logits": X, "targets": soft.astype("float32")}, reduction="none"
    )
    assert backend.dtype(found) == "float32"
    np.testing.assert_array_equal(backend.to_numpy(found), expected)


def test_bool_targets(subject: Subject) -> None:
    for function in (xentropy.cross_entropy, xentropy.binary_cross_entropy):
        with pytest.raises(TypeError, match=r"targets.*bool"):
            subject.run(function, {"logits": X, "targets": np.ones(X.shape, dtype=bool)})
    with pytest.raises(TypeError, match=r"targets.*bool"):
        subject.run(xentropy.cross_entropy, {"logits": X}, targets=[True, False, True, False, True])


@pytest.mark.parametrize("dtype", ["int32", "complex64", "bool"])
def test_logits_that_are_no_floats(subject: Subject, dtype: str) -> None:
    for function in (xentropy.cross_entropy, xentropy.binary_cross_entropy):
        with pytest.raises(TypeError, match=rf"logits.*{dtype}"):
            subject.run(function, {"logits": np.ones((2, 2), dtype=dtype), "targets": np.ones((2, 2), np.float32)})


def test_complex_targets(subject: Subject) -> None:
    with pytest.raises(TypeError, match=r"targets.*complex64"):
        subject.run(xentropy.cross_entropy, {"logits": X, "targets": np.ones(X.shape, dtype=np.complex64)})


def test_token_statistics_take_indices_only(subject: Subject) -> None:
    with pytest.raises(TypeError, match=r"targets.*float32"):
        subject.run(xentropy.token_statistics, {"logits": X, "targets": floats(SOFT_TARGETS)})


def test_plain_python(eager: Subject) -> None:
    """Lists, tuples and numbers do for everything but the logits."""
    options = {"class_weight": CLASS_WEIGHTS, "sample_weight": tuple(SAMPLE_WEIGHTS), "class_mask": MASK}
    plain = eager.value(xentropy.cross_entropy, {"logits": X}, targets=MASKED_LABELS, **options)
    arrays = {"logits": X, "targets": np.array(MASKED_LABELS)}
    arrays |= {name: np.array(v) if name == "class_mask" else floats(v) for name, v in options.items()}
    assert plain == eager.value(xentropy.cross_entropy, arrays)
    soft = eager.value(xentropy.cross_entropy, {"logits": X}, targets=SOFT_TARGETS, sample_weight=0.5)
    assert soft == eager.value(xentropy.cross_entropy, {"logits": X, "targets": floats(SOFT_TARGETS)})


def test_numpy_beside_the_librarys_own(eager: Subject) -> None:
    """NumPy arrays do for everything but the logits, in float64 too."""
    problem = Case.EVERYTHING.value
    beside = {name: array for name, array in problem.arrays.items() if name != "logits"}
    beside["class_weight"] = beside["class_weight"].astype(np.float64)
    found = eager.value(xentropy.cross_entropy, {"logits": problem.arrays["logits"]}, **beside, **problem.static)
    own = eager.value(xentropy.cross_entropy, problem.arrays, **problem.static)
    assert abs(found - own) <= 2 * np.spacing(own)


class ForeignArray:
    """Of a library nobody has heard of that speaks the Array API."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return np


def test_arrays_of_a_second_library(backend: Harness, requested: tuple[Harness, ...]) -> None:
    """TypeError, naming the argument: nothing is converted behind anybody's back."""
    foreign = [ForeignArray] + [h.asarray for h in requested if h.name not in ("numpy", backend.name)]
    weights = {
        "targets": np.array(LABELS),
        "class_weight": floats(CLASS_WEIGHTS),
        "sample_weight": floats(SAMPLE_WEIGHTS),
    }
    for make in foreign:
        for argument, values in {**weights, "class_mask": np.array(MASK)}.items():
            arguments = {"targets": np.array(MASKED_LABELS), argument: make(values)}
            with pytest.raises(TypeError, match=argument):
                xentropy.cross_entropy(backend.asarray(X), **arguments)
        with pytest.raises(TypeError, match="pos_weight"):
            xentropy.binary_cross_entropy(backend.asarray(X), floats(SOFT_TARGETS), pos_weight=make(floats([1.0])))


@pytest.mark.parametrize("logits", [[[1.0, 2.0]], 1.0, None, "12"])
def test_logits_that_are_no_array(logits: Any) -> None:
    for call in (
        lambda: xentropy.cross_entropy(logits, [0]),
        lambda: xentropy.binary_cross_entropy(logits, [[0, 1]]),
        lambda: xentropy.token_statistics(logits, [0]),
        lambda: xentropy.value_and_grad(xentropy.cross_entropy)(logits, [0]),
    ):
        with pytest.raises(TypeError, match="logits"):
            call()


@pytest.mark.parametrize("targets", [None, "0", {"a": 1}, object()])
def test_targets_that_are_no_array(backend: Harness, targets: Any) -> None:
    with pytest.raises(TypeError, match="targets"):
        xentropy.cross_entropy(backend.asarray(X), targets)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.1},
        {"class_weight": floats(CLASS_WEIGHTS), "label_smoothing": 0.1},
        {"class_weight": floats(CLASS_WEIGHTS), "sample_weight": floats(SAMPLE_WEIGHTS), "focal_gamma": 2.0},
    ],
    ids=["plain", "smoothing", "smoothing_weighted", "weighted_focal"],
)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_one_hot_is_index(eager: Subject, options: Any, reduction: str) -> None:
    one_hot = np.eye(CLASSES, dtype=np.float32)[LABELS]
    arrays = {name: v for name, v in options.items() if isinstance(v, np.ndarray)}
    static = {name: v for name, v in options.items() if name not in arrays}
    index, soft = (
        eager.value(xentropy.cross_entropy, {"logits": X, "targets": t, **arrays}, **static, reduction=reduction)
        for t in (np.array(LABELS), one_hot)
    )
    np.testing.assert_array_max_ulp(index, soft, maxulp=8)


def test_one_row(subject: Subject) -> None:
    """Logits of shape (classes,) and an index without axes; or probabilities of shape (classes,)."""
    row, label = X[0], np.array(LABELS[0])
    found = subject.value(xentropy.cross_entropy, {"logits": row, "targets": label}, reduction="none")
    assert found.shape == ()
    assert LOSSES.ulps(np.append(found, X[1:, 0]), "float32")[0] <= 20.0
    assert subject.value(xentropy.cross_entropy, {"logits": row, "targets": label}) == found
    assert subject.value(xentropy.cross_entropy, {"logits": row}, targets=LABELS[0]) == found
    soft = subject.value(xentropy.cross_entropy, {"logits": row, "targets": np.eye(CLASSES, dtype=np.float32)[label]})
    np.testing.assert_array_max_ulp(soft, found, maxulp=4)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_axis(eager: Subject, axis: int) -> None:
    """The classes may lie along any axis; rows keep the shape of the rest."""
    rows = np.stack([X, X[::-1], 0.5 * X])
    labels = np.array([LABELS, LABELS[::-1], LABELS])
    expected = eager.value(xentropy.cross_entropy, {"logits": rows, "targets": labels}, reduction="none")
    moved = np.moveaxis(rows, -1, axis)
    arrays = {"logits": moved, "targets": labels}
    np.testing.assert_array_equal(eager.value(xentropy.cross_entropy, arrays, axis=axis, reduction="none"), expected)
    gradient = eager.gradient(xentropy.cross_entropy, arrays, axis=axis)
    inner = eager.gradient(xentropy.cross_entropy, {"logits": rows, "targets": labels})
    np.testing.assert_allclose(np.moveaxis(gradient, axis, -1), inner, rtol=0, atol=1e-8)
    soft = np.moveaxis(np.eye(CLASSES, dtype=np.float32)[labels], -1, axis)
    dense = eager.value(xentropy.cross_entropy, {"logits": moved, "targets": soft}, axis=axis, reduction="none")
    np.testing.assert_array_max_ulp(dense, expected, maxulp=4)


def test_axis_of_masks_and_weights(eager: Subject) -> None:
    """class_weight and class_mask follow the classes, wherever they lie."""
    problem = Case.EVERYTHING.value
    arrays = dict(problem.arrays)
    expected = eager.value(xentropy.cross_entropy, arrays, **problem.static)
    mask = np.broadcast_to(arrays["class_mask"], X.shape)
    for moved in (arrays | {"logits": X.T}, arrays | {"logits": X.T, "class_mask": mask.T}):
        np.testing.assert_array_max_ulp(
            eager.value(xentropy.cross_entropy, moved, **problem.static, axis=0), expected, maxulp=2
        )


def test_soft_targets_are_not_renormalised(eager: Subject) -> None:
    """Twice the targets is twice the loss."""
    soft = floats(SOFT_TARGETS)
    once, twice = (
        eager.value(xentropy.cross_entropy, {"logits": X, "targets": t}, reduction="none") for t in (soft, 2 * soft)
    )
    np.testing.assert_array_equal(2 * once, twice)
