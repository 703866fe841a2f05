"""Options and shapes that Keras takes beside plain numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras_tools import BACKEND, JIT, gradient, numpy, tensor

import xentropy_keras as ours

P = np.float32([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.3, 0.3, 0.4]])
LABELS = np.array([0, 1, 2, 1])
ONE_HOT = np.float32(np.eye(3)[LABELS])


def same_as_keras(name, *given, **options):
    found, expected = (getattr(package, name)(*given, **options) for package in (ours, keras.losses))
    assert found.shape == expected.shape
    np.testing.assert_allclose(numpy(found), numpy(expected), rtol=2e-6)


@pytest.mark.parametrize("name", ["binary", "categorical", "categorical_focal", "binary_focal"])
@pytest.mark.parametrize(
    "smoothing",
    [lambda: None, lambda: True, lambda: np.float32(0.1), lambda: tensor(0.1)],
    ids=["None", "True", "NumPy", "tensor"],
)
def test_smoothing_without_axes_is_taken_as_its_number(name, smoothing):
    same_as_keras(f"{name}_crossentropy", ONE_HOT, P, label_smoothing=smoothing())


@pytest.mark.parametrize("name", ["categorical_focal", "binary_focal"])
@pytest.mark.parametrize(
    "gamma", [lambda: True, lambda: tensor(1.5), lambda: keras.Variable(1.5)], ids=["True", "tensor", "Variable"]
)
def test_gamma_without_axes_is_taken_as_its_number(name, gamma):
    same_as_keras(f"{name}_crossentropy", ONE_HOT, P, gamma=gamma())


@pytest.mark.parametrize(
    "alpha",
    [
        lambda: [[0.1, 0.2, 0.3]],
        lambda: [0.5],
        lambda: np.float32([[0.5]]),
        lambda: tensor([[0.1, 0.2, 0.3]]),
        lambda: keras.Variable([0.1, 0.2, 0.3]),
        lambda: keras.Variable(0.3),
    ],
    ids=["nested list", "list of one", "array of one", "row", "Variable", "Variable without axes"],
)
def test_alphas_are_broadcast_along_the_classes(alpha):
    same_as_keras("categorical_focal_crossentropy", ONE_HOT, P, alpha=alpha())


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis:UserWarning")  # Keras's own
@pytest.mark.parametrize("from_logits", [True, False])
def test_the_softmax_of_one_class_is_taken_before_it_is_broadcast(from_logits):
    given = np.float32([1, 0, 0, 1]), tensor([[0.2], [0.3], [0.4], [0.5]])
    with pytest.warns(SyntaxWarning):
        same_as_keras("categorical_focal_crossentropy", *given, from_logits=from_logits)


@pytest.mark.parametrize("reduction", ["none", "sum_over_batch_size"])
@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (1, 1, 4)])
def test_with_ignored_rows_labels_may_have_leading_axes_of_size_1(shape, reduction):
    labels = np.array([0, 1, 2, -1]).reshape(shape)
    same_as_keras("sparse_categorical_crossentropy", labels, P, ignore_class=-1)
    found, expected = (
        package.SparseCategoricalCrossentropy(ignore_class=-1, reduction=reduction)(labels, P)
        for package in (ours, keras.losses)
    )
    np.testing.assert_allclose(numpy(found), numpy(expected), rtol=2e-6)


def test_binary_targets_outside_0_and_1_keep_their_negative_factor():
    y, p, gamma = np.array([1.5, -0.5]), np.array([0.3, 0.4]), 3.0
    wrong = y * (1 - p) + (1 - y) * p
    exact = wrong**gamma * -(y * np.log(p) + (1 - y) * np.log1p(-p))
    given = (np.float32(y)[:, None], tensor(p[:, None]))
    np.testing.assert_allclose(numpy(ours.binary_focal_crossentropy(*given, gamma=gamma)), exact, rtol=1e-5)
    y = np.array([1.5])
    wrong = y * 0.05 + (1 - y) * 0.95
    assert wrong < 0
    exact = wrong**gamma * -(y * np.log(0.95) + (1 - y) * np.log(0.05))
    found = ours.binary_focal_crossentropy(np.float32(y)[:, None], tensor([[0.95]]), gamma=gamma)
    np.testing.assert_allclose(numpy(found), exact, rtol=1e-5)


@pytest.mark.parametrize("name", ["sparse_categorical", "categorical"])
def test_a_row_of_zeros_is_uniform_and_changes_no_other(name):
    y = LABELS[:2] if name.startswith("sparse") else ONE_HOT[:2]
    loss = getattr(ours, f"{name}_crossentropy")
    p = np.float32([[0.0, 0.0, 0.0], [0.2, 0.3, 0.5]])
    np.testing.assert_allclose(numpy(loss(y, tensor(p))), [np.log(3), -np.log(0.3)], rtol=1e-6)
    slope = gradient(lambda x: loss(y, x), p)
    np.testing.assert_allclose(slope, [[0, 0, 0], [1, 1 - 1 / 0.3, 1]], rtol=1e-5)
    if BACKEND == "tensorflow" and name.startswith("sparse"):
        same_as_keras("sparse_categorical_crossentropy", y[:1], p[:1])


def test_a_focal_loss_with_nested_alphas_trains():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, activation="softmax")])
    loss = ours.CategoricalFocalCrossentropy(alpha=[[0.1, 0.2, 0.3]], gamma=np.float32(1.5))
    model.compile("sgd", loss=loss, jit_compile=JIT)
    assert np.isfinite(model.fit(P, ONE_HOT, verbose=0).history["loss"]).all()
