"""The functions' numbers: Keras's own in the widest dtype, and the exact ones, the same on every backend."""

from __future__ import annotations

import keras
import keras_reference as reference
import numpy as np
import pytest
from keras_tools import FLOAT64, numpy, tensor

import xentropy_keras as ours

EPSILON = 1e-7
GENERATOR = np.random.default_rng(7)
LOGITS = GENERATOR.normal(size=(4, 5, 3)) * 3
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
SIGMOIDS = 1 / (1 + np.exp(-LOGITS))
SOFT = GENERATOR.dirichlet(np.ones(3), size=(4, 5))
LABELS = GENERATOR.integers(0, 3, size=(4, 5))
BITS = GENERATOR.integers(0, 2, size=(4, 5, 3)).astype(float)
# Keras's own error in the dtype that there is: JAX computes in float32, and log(1 - p) cancels.
RTOL = 1e-12 if FLOAT64 == "float64" else 2e-5

SMOOTHING = [{}, {"label_smoothing": 0.2}]
CASES = [
    ("categorical_crossentropy", SOFT, PROBABILITIES, [*SMOOTHING, {"axis": 2}]),
    ("categorical_crossentropy", SOFT, LOGITS, [{"from_logits": True, **s} for s in SMOOTHING]),
    ("categorical_crossentropy", SOFT, PROBABILITIES * 3, [{"axis": 1}, {"axis": -3}]),
    (
        "categorical_focal_crossentropy",
        SOFT,
        PROBABILITIES,
        [*SMOOTHING, {"alpha": [0.125, 0.25, 0.625], "gamma": 1.5}],
    ),
    (
        "categorical_focal_crossentropy",
        SOFT,
        LOGITS,
        [{"from_logits": True, "gamma": 0, "alpha": 1}, {"from_logits": True}],
    ),
    ("categorical_focal_crossentropy", SOFT[:1], PROBABILITIES, [{"axis": 0}, {}]),
    ("sparse_categorical_crossentropy", LABELS, PROBABILITIES, [{}, {"ignore_class": 1}, {"ignore_class": 255}]),
    (
        "sparse_categorical_crossentropy",
        LABELS,
        LOGITS,
        [{"from_logits": True}, {"from_logits": True, "ignore_class": 2}],
    ),
    ("sparse_categorical_crossentropy", LABELS[..., None], LOGITS, [{"from_logits": True}]),
    ("sparse_categorical_crossentropy", LABELS + 0.75, LOGITS, [{"from_logits": True}]),
    ("sparse_categorical_crossentropy", LABELS > 1, LOGITS, [{"from_logits": True}]),
    ("binary_crossentropy", SOFT, SIGMOIDS, [*SMOOTHING, {"axis": 0}, {"axis": None}, {"axis": (0, 2)}]),
    ("binary_crossentropy", BITS, LOGITS, [{"from_logits": True, **s} for s in SMOOTHING]),
    ("binary_crossentropy", BITS > 0, SIGMOIDS, [{}]),
    ("binary_focal_crossentropy", SOFT, SIGMOIDS, [*SMOOTHING, {"apply_class_balancing": True, "alpha": 0.3}]),
    ("binary_focal_crossentropy", SOFT, LOGITS, [{"from_logits": True, "gamma": g} for g in (0, 0.5, 1.0, 3)]),
]


@pytest.mark.parametrize(
    ("name", "y_true", "y_pred", "options"), [(n, t, p, o) for n, t, p, all_ in CASES for o in all_]
)
def test_the_numbers_are_keras_own(name, y_true, y_pred, options):
    y_pred = tensor(y_pred, FLOAT64)
    expected = getattr(keras.losses, name)(y_true, y_pred, **options)
    found = getattr(ours, name)(y_true, y_pred, **options)
    assert found.shape == expected.shape
    assert keras.backend.standardize_dtype(found.dtype) == FLOAT64
    np.testing.assert_allclose(numpy(found), numpy(expected), rtol=RTOL, atol=1e-6 if FLOAT64 == "float32" else 1e-14)


ROWS = np.float32([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0], [3.0, 1.0, 4.0], [1e-9, 0.5, 0.5]])
CONFIDENT = np.float32([[20.0, 0.0, 0.0], [0.0, 60.0, 0.0], [-3.0, 4.0, 1.0], [0.0, 100.0, -100.0]])


@pytest.mark.parametrize("label", [0, 1, 2])
def test_float32_probabilities_are_normalised_and_clipped_on_every_backend(label):
    epsilon = float(np.float32(EPSILON))
    high = 1 - float(np.float32(1 - EPSILON))
    p = ROWS.astype(float)[:, label] / ROWS.astype(float).sum(-1)
    exact = -np.log(np.clip(p, epsilon, 1 - high))
    labels = np.full(len(ROWS), label)
    found = numpy(ours.sparse_categorical_crossentropy(labels, tensor(ROWS)))
    # The sum and the quotient are rounded to float32: 1 in 10^7 of p, against a loss that may be small.
    np.testing.assert_allclose(found, exact, rtol=5e-7, atol=2.4e-7)
    np.testing.assert_array_equal(found, numpy(ours.categorical_crossentropy(np.eye(3)[labels], tensor(ROWS))))


@pytest.mark.parametrize("label", [0, 1, 2])
def test_float32_logits_are_exact_on_every_backend_confident_or_not(label):
    exact = [reference.categorical(np.eye(3)[label], reference.softmax(row)) for row in CONFIDENT]
    labels = np.full(4, label)
    found = ours.sparse_categorical_crossentropy(labels, tensor(CONFIDENT), from_logits=True)
    one_hot = ours.categorical_crossentropy(np.eye(3)[labels], tensor(CONFIDENT), from_logits=True)
    # Below 1e-37 some compilers flush to 0.
    np.testing.assert_allclose(numpy(found), exact, rtol=4e-7, atol=1e-37)
    np.testing.assert_allclose(numpy(one_hot), exact, rtol=4e-7, atol=1e-37)


@pytest.mark.parametrize("options", [{}, {"smoothing": 0.1}, {"gamma": 2.0}, {"gamma": 1.5, "alpha": [0.2, 0.3, 0.5]}])
def test_float32_focal_and_smoothed_logits_are_exact_on_every_backend(options):
    targets = np.float32([[1, 0, 0], [0.25, 0.5, 0.25], [0, 0, 1]])
    logits = np.float32([[2.0, -1.0, 0.5], [-50.0, 3.0, 1.0], [0.1, 0.2, 12.0]])
    exact = [reference.categorical(t, reference.softmax(x), **options) for t, x in zip(targets, logits, strict=True)]
    given = {"gamma": 0.0, "alpha": 1.0, **options}
    found = ours.categorical_focal_crossentropy(
        targets,
        tensor(logits),
        from_logits=True,
        gamma=given["gamma"],
        alpha=given["alpha"],
        label_smoothing=options.get("smoothing", 0.0),
    )
    np.testing.assert_allclose(numpy(found), exact, rtol=2e-6)


@pytest.mark.parametrize("y", [0.0, 1.0, 0.3])
@pytest.mark.parametrize(
    "options", [{}, {"smoothing": 0.1}, {"gamma": 2.0}, {"gamma": 0.5, "alpha": 0.3, "smoothing": 0.2}]
)
def test_float32_binary_logits_are_exact_on_every_backend(y, options):
    z = np.float32([-50.0, -20.0, -1.0, 0.0, 2.5, 20.0, 50.0])
    exact = [reference.binary(y, reference.sigmoid(x), **options) for x in z]
    given = {"label_smoothing": options.get("smoothing", 0.0), "from_logits": True}
    loss = ours.binary_crossentropy
    if "gamma" in options:
        loss = ours.binary_focal_crossentropy
        given |= {"gamma": options["gamma"], "alpha": options.get("alpha", 0.25)}
        given |= {"apply_class_balancing": "alpha" in options}
    found = loss(np.full((len(z), 1), y), tensor(z[:, None]), **given)
    # The factor's power multiplies the rounding of its base; the target 0.3 is rounded to float32.
    np.testing.assert_allclose(numpy(found), exact, rtol=3e-6, atol=1e-37)


def test_binary_probabilities_are_clipped_to_epsilon_in_float32():
    found = [numpy(ours.binary_crossentropy([y], [p])) for y, p in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.0, 0.0))]
    low, high = float(np.float32(EPSILON)), float(np.float32(1 - EPSILON))
    np.testing.assert_allclose(found, [-np.log(low), -np.log(1 - high), -np.log(high), -np.log1p(-low)], rtol=2e-7)


@pytest.mark.parametrize("dtype", sorted({"float32", FLOAT64}))
def test_epsilon_is_keras_own_and_of_the_predictions_dtype(dtype):
    before = keras.config.epsilon()
    keras.config.set_epsilon(1e-3)
    try:
        found = ours.categorical_crossentropy([[1.0, 0.0], [0.0, 1.0]], tensor([[0.0, 1.0], [0.0, 1.0]], dtype))
    finally:
        keras.config.set_epsilon(before)
    np.testing.assert_allclose(numpy(found), [-np.log(1e-3), -np.log(1 - 1e-3)], rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", *sorted({"float32", FLOAT64})])
@pytest.mark.parametrize("from_logits", [True, False])
def test_the_result_has_the_predictions_dtype(dtype, from_logits):
    one_hot, y_pred = np.eye(3), tensor(np.full((3, 3), 0.25), dtype)
    expected = keras.backend.standardize_dtype(y_pred.dtype)
    for name in ("categorical_crossentropy", "categorical_focal_crossentropy", "binary_crossentropy"):
        found = getattr(ours, name)(one_hot, y_pred, from_logits=from_logits)
        assert keras.backend.standardize_dtype(found.dtype) == expected
    found = ours.sparse_categorical_crossentropy(np.arange(3), y_pred, from_logits=from_logits)
    assert keras.backend.standardize_dtype(found.dtype) == expected


def test_half_precision_is_computed_in_float32_and_rounded_once():
    p = tensor([[0.7, 0.2, 0.1]], "bfloat16")
    given = numpy(p).astype(np.float64)[0]
    found = ours.categorical_crossentropy([[1.0, 0.0, 0.0]], p)
    exact = -np.log(given[0] / given.sum())
    assert abs(float(numpy(found)[0]) - exact) <= exact * 2.0**-8
