"""scikit-learn's log_loss as xentropy_numpy offers it: its signature, warnings and errors, on arrays of any library."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from harness import Harness
from sklearn.utils._param_validation import InvalidParameterError

import xentropy_numpy as ours

Array = Any

EPS = 2.0**-24
P2 = np.array([0.3, 0.9, 0.55, 0.0, 1.0])
P3 = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.0, 0.4, 0.6], [1.0, 0.0, 0.0]])
Y2, Y3 = np.array([0, 1, 1, 0, 0]), np.array([2, 0, 1, 1])
W = np.array([1.0, 0.0, 2.5, 3.0])
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "binary": ((Y2, P2), {}),
    "binary, sum": ((Y2, P2), {"normalize": False}),
    "binary, one column": ((Y2, P2[:, None]), {}),
    "binary, two columns": ((Y2, np.stack([1.0 - P2, P2], axis=1)), {}),
    "binary, labels": (([1, 1], [0.2, 0.7]), {"labels": [0, 1]}),
    "binary, weights": ((Y2[:4], P2[:4]), {"sample_weight": W}),
    "binary, bool": ((Y2 == 1, P2), {}),
    "binary, floats": ((Y2.astype(float), P2), {}),
    "binary, integer probabilities": ((Y2, np.array([0, 1, 1, 0, 1])), {}),
    "classes": ((Y3, P3), {}),
    "classes, column of labels": ((Y3[:, None], P3), {}),
    "classes, weights": ((Y3, P3), {"sample_weight": W}),
    "classes, weights, sum": ((Y3, P3), {"sample_weight": W, "normalize": False}),
    "classes, labels": ((Y3[1:] * 10, P3[1:]), {"labels": [0, 10, 20]}),
    "classes, lists": ((Y3.tolist(), P3.tolist()), {}),
    "strings": ((["b", "a", "c", "a"], P3), {}),
    "strings as objects": ((np.array(["b", "a", "c", "a"], dtype=object), P3), {}),
    "strings, labels": ((["b", "a"], P3[:2]), {"labels": ["a", "b", "c"]}),
    "indicators": ((np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]]), P3), {}),
    "indicators, weights": ((np.eye(3)[Y3], P3), {"sample_weight": W}),
    "two indicators, one column": ((np.eye(2)[Y2], P2), {}),
}
each_call = pytest.mark.parametrize("what", CALLS)


def test_signature_is_scikit_learns() -> None:
    found, expected = (inspect.signature(f).parameters.values() for f in (ours.log_loss, sklearn.metrics.log_loss))
    assert [(p.name, p.kind, p.default) for p in found] == [(p.name, p.kind, p.default) for p in expected]


@each_call
def test_values_are_scikit_learns(what: str) -> None:
    args, options = CALLS[what]
    found = ours.log_loss(*args, **options)
    assert type(found) is float
    np.testing.assert_allclose(found, sklearn.metrics.log_loss(*args, **options), rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@each_call
def test_narrow_floats_are_clipped_as_in_scikit_learn(what: str, dtype: str) -> None:
    (y, given), options = CALLS[what]
    expected = clipped_definition(y, np.asarray(given).astype(dtype), **options)
    np.testing.assert_allclose(ours.log_loss(y, np.asarray(given).astype(dtype), **options), expected, rtol=4 * EPS)


def clipped_definition(y: Any, p: Array, **options: Any) -> float:
    """The definition in float64, on the probabilities as they are in a narrow dtype, clipped as in that dtype."""
    wide, eps = p.astype(np.float64), float(np.finfo(p.dtype).eps)
    wide = wide[:, None] if wide.ndim == 1 else wide
    wide = np.concatenate([1.0 - wide, wide], axis=1) if wide.shape[1] == 1 else wide
    return definition(y, np.clip(wide, eps, 1.0 - eps), **options)


def definition(y: Any, p: Array, *, normalize: bool = True, sample_weight: Any = None, labels: Any = None) -> float:
    y = np.asarray(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    classes = sorted(set(labels if labels is not None else y.ravel().tolist()))
    targets = y if y.ndim == 2 else np.array([[float(label == c) for c in classes] for label in y.tolist()])
    losses = -(targets * np.log(p)).sum(axis=1)
    weights = np.ones(len(losses)) if sample_weight is None else sample_weight
    return float((weights * losses).sum() / (weights.sum() if normalize else 1.0))


@each_call
def test_arrays_of_every_library(what: str, backend: Harness) -> None:
    """The probabilities stay where they are; labels and weights may be NumPy's or lists."""
    (y, given), options = CALLS[what]
    p = np.asarray(given).astype(np.float32)
    found = ours.log_loss(y, backend.asarray(p, "float32"), **options)
    np.testing.assert_allclose(found, clipped_definition(y, p, **options), rtol=8 * EPS)


def test_labels_and_weights_of_every_library(backend: Harness) -> None:
    y, w, p = backend.asarray(Y3, "int32"), backend.asarray(W, "float32"), backend.asarray(P3, "float32")
    expected = clipped_definition(Y3, P3.astype(np.float32), sample_weight=W)
    np.testing.assert_allclose(ours.log_loss(y, p, sample_weight=w), expected, rtol=8 * EPS)
    labels = backend.asarray(np.array([0, 1]), "int32")
    found = ours.log_loss(Y2, backend.asarray(np.array([0, 1, 1, 0, 1]), "int32"), labels=labels)
    assert found > 3.0  # the last is clipped, in float32 at 15.9 nats


def test_it_never_rounds_1_minus_p() -> None:
    p = np.array([1e-5, 3e-4], dtype=np.float32)
    exact = -np.log1p(-p.astype(np.float64)).sum()
    np.testing.assert_allclose(ours.log_loss([0, 0], p, labels=[0, 1], normalize=False), exact, rtol=1e-7)
    theirs = sklearn.metrics.log_loss([0, 0], p, labels=[0, 1], normalize=False)
    assert abs(theirs - exact) / exact > 1e-5


BAD: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "above 1": ((Y2, P2 + 0.5), {}),
    "below 0": ((Y2, P2 - 0.5), {}),
    "NaN": ((Y2, P2 * np.nan), {}),
    "infinite": ((Y2, P2 + np.inf), {}),
    "complex": ((Y2, P2 + 0j), {}),
    "lengths": ((Y2, P2[:3]), {}),
    "length of weights": ((Y2, P2), {"sample_weight": W}),
    "weights of two axes": ((Y2[:4], P2[:4]), {"sample_weight": W[:, None]}),
    "NaN weights": ((Y2[:4], P2[:4]), {"sample_weight": W * np.nan}),
    "weights of 0": ((Y2[:4], P2[:4]), {"sample_weight": 0 * W}),
    "one label": (([2, 2], P2[:2]), {}),
    "labels of one": (([2, 2], P2[:2]), {"labels": [2]}),
    "undeclared": ((Y3, P3), {"labels": [0, 1, 3]}),
    "too few classes": ((Y3, P3[:, :2]), {}),
    "too many labels": ((Y3, P3), {"labels": [0, 1, 2, 3]}),
    "fractions": ((Y3 + 0.5, P3), {}),
    "NaN labels": ((Y3 * np.nan, P3), {}),
    "outputs": ((np.stack([Y3, Y3 + 3], axis=1), P3), {}),
    "mixed labels": ((np.array(["a", 1, "b", 2], dtype=object), P3), {}),
    "three axes": ((Y2[:4], np.zeros((4, 2, 2))), {}),
    "no samples": (([], []), {}),
    "a number": ((1, 0.5), {}),
    "normalize": ((Y2, P2), {"normalize": "yes"}),
    "label number": ((Y2, P2), {"labels": 2}),
    "both names": ((Y2, P2), {"y_pred": P2}),
    "no probabilities": ((Y2,), {}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", BAD)
def test_errors_are_of_scikit_learns_types(what: str) -> None:
    args, options = BAD[what]
    with pytest.raises((TypeError, ValueError)) as expected:
        sklearn.metrics.log_loss(*args, **options)
    with pytest.raises(expected.type):
        ours.log_loss(*args, **options)


def test_weights_that_sum_to_0_do_not_divide() -> None:
    with pytest.raises(ZeroDivisionError):
        ours.log_loss([0, 1], [0.3, 0.6], sample_weight=[1.0, -1.0])


def test_invalid_parameters_are_scikit_learns_error_where_it_is_loaded() -> None:
    with pytest.raises(InvalidParameterError, match=r"The 'labels' parameter of log_loss must be .* Got 3 instead"):
        ours.log_loss(Y2, P2, labels=3)


WARNS: dict[str, tuple[type[Warning], str, Callable[[Callable[..., float]], float]]] = {
    "rows": (UserWarning, "do not sum to one", lambda f: f([0, 1], np.array([[0.2, 0.7], [0.6, 0.3]]))),
    "labels": (UserWarning, "ordered labels=", lambda f: f([0, 1], [[0.2, 0.8], [0.6, 0.4]], labels=[1, 0])),
    "name": (FutureWarning, "`y_pred` was renamed", lambda f: f([0, 1], y_pred=[0.2, 0.7])),
}


@pytest.mark.parametrize("what", WARNS)
def test_warnings_are_scikit_learns(what: str) -> None:
    kind, words, call = WARNS[what]
    with pytest.warns(kind, match=words):
        expected = call(sklearn.metrics.log_loss)
    with pytest.warns(kind, match=words) as caught:
        found = call(ours.log_loss)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert caught[0].filename == __file__


def test_nothing_is_written_to() -> None:
    y, p, w = Y3.copy(), P3.copy(), W.copy()
    for array in (y, p, w):
        array.flags.writeable = False
    ours.log_loss(y, p, sample_weight=w)


def test_it_works_without_scikit_learn() -> None:
    script = (
        "import sys; sys.modules['sklearn'] = None; import xentropy_numpy as x; print(x.log_loss([1, 0], [0.8, 0.2]))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(float(run.stdout), -np.log(0.8), rtol=1e-14)


def test_without_scikit_learn_the_error_is_our_own() -> None:
    script = (
        "import xentropy_numpy as x\ntry: x.log_loss(1, [0.8])\n"
        "except x.InvalidParameterError as e: print(isinstance(e, ValueError) and isinstance(e, TypeError))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "True\n"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-50, 1e50, 1e300])
def test_weights_beyond_the_probabilities_dtype(dtype: Any, scale: float) -> None:
    p, weight = np.array([0.25, 0.75, 0.5], dtype=dtype), scale * np.array([1.0, 2.0, 3.0])
    expected = -(np.log(0.75) + 2.0 * np.log(0.75) + 3.0 * np.log(0.5))
    np.testing.assert_allclose(ours.log_loss([0, 1, 1], p, sample_weight=weight), expected / 6.0, rtol=1e-6)
    found = ours.log_loss([0, 1, 1], p, sample_weight=weight, normalize=False)
    np.testing.assert_allclose(found, expected * scale, rtol=1e-6)


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f4", "<f8"])
def test_probabilities_of_either_byte_order(dtype: str) -> None:
    p = np.array([0.25, 0.75, 0.5], dtype=dtype)
    np.testing.assert_allclose(ours.log_loss([0, 1, 1], p), -np.log(0.75 * 0.75 * 0.5) / 3.0, rtol=1e-6)


def test_dates_are_labels() -> None:
    days = np.array(["2024-01-02", "2024-01-01"], dtype="datetime64[D]")
    for labels in (days, days - days[0]):
        found, expected = (log_loss(labels, [0.75, 0.25]) for log_loss in (ours.log_loss, sklearn.metrics.log_loss))
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_bytes_and_numbers_alone_are_type_errors() -> None:
    for labels, p in (([b"a", b"b"], [0.25, 0.75]), ([0, 1], np.array(0.5))):
        for log_loss in (ours.log_loss, sklearn.metrics.log_loss):
            with pytest.raises(TypeError):
                log_loss(labels, p)
