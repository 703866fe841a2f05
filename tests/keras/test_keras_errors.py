"""Bad input: an error that names argument, value and rule."""

from __future__ import annotations

import numpy as np
import pytest
from keras_tools import tensor

import xentropy_keras as ours

P = tensor([[0.3, 0.7], [0.5, 0.5]])


@pytest.mark.parametrize("name", ["binary_crossentropy", "categorical_crossentropy", "binary_focal_crossentropy"])
def test_shapes_that_differ(name):
    with pytest.raises(ValueError, match=r"must have the same shape, got \(1, 2\) and \(2, 2\)"):
        getattr(ours, name)(np.ones((1, 2)), P)


def test_labels_of_another_shape():
    with pytest.raises(ValueError, match=r"same shape as y_pred without axis 1, got \(3,\) and \(2, 2\)"):
        ours.sparse_categorical_crossentropy(np.zeros(3, int), P)


@pytest.mark.parametrize("axis", [True, None, 1.0, "last"])
def test_an_axis_that_is_no_integer(axis):
    for loss, y_true in (
        (ours.categorical_crossentropy, np.eye(2)),
        (ours.categorical_focal_crossentropy, np.eye(2)),
        (ours.sparse_categorical_crossentropy, np.array([0, 1])),
    ):
        with pytest.raises(ValueError, match="`axis` must be of type `int`"):
            loss(y_true, P, axis=axis)


@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_that_does_not_exist(axis):
    with pytest.raises(ValueError, match=rf"`axis` is {axis}, but y_pred has shape \(2, 2\)"):
        ours.categorical_crossentropy(np.eye(2), P, axis=axis)


@pytest.mark.parametrize("smoothing", [-0.1, 1.5, float("nan")])
def test_a_smoothing_outside_its_domain(smoothing):
    for loss in (ours.binary_crossentropy, ours.categorical_crossentropy, ours.categorical_focal_crossentropy):
        with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\]"):
            loss(np.eye(2), P, label_smoothing=smoothing)


@pytest.mark.parametrize("name", ["binary_focal_crossentropy", "categorical_focal_crossentropy"])
def test_a_negative_gamma(name):
    with pytest.raises(ValueError, match=r"gamma must be .*>= 0, got -1"):
        getattr(ours, name)(np.eye(2), P, gamma=-1.0)


def test_alphas_of_another_number_than_the_classes():
    with pytest.raises(ValueError, match=r"alpha must be .*2 classes, got shape \(3,\)"):
        ours.categorical_focal_crossentropy(np.eye(2), P, alpha=[0.1, 0.2, 0.3])


def test_no_classes():
    with pytest.raises(ValueError, match="no classes"):
        ours.categorical_crossentropy(np.zeros((2, 0)), tensor(np.zeros((2, 0))))


def test_a_reduction_that_does_not_exist():
    with pytest.raises(ValueError, match="Invalid value for argument `reduction`"):
        ours.BinaryCrossentropy(reduction="average")


@pytest.mark.parametrize("name", ["categorical_crossentropy", "categorical_focal_crossentropy"])
def test_one_class_is_warned_of_where_the_user_called(name):
    with pytest.warns(SyntaxWarning, match=r"one class along axis 1.*binary_crossentropy") as caught:
        getattr(ours, name)(np.ones((2, 1)), tensor(np.ones((2, 1))))
    assert caught[0].filename == __file__


def test_what_the_user_gave_is_as_it_was():
    y_true, y_pred = np.float32(np.eye(2)), np.float32([[0.3, 0.6], [0.0, 2.0]])
    given = y_true.copy(), y_pred.copy()
    ours.CategoricalCrossentropy(label_smoothing=0.1)(y_true, y_pred)
    ours.BinaryFocalCrossentropy(label_smoothing=0.1)(y_true, y_pred)
    ours.SparseCategoricalCrossentropy(ignore_class=0)(np.array([0, 1]), y_pred)
    np.testing.assert_array_equal(y_true, given[0])
    np.testing.assert_array_equal(y_pred, given[1])
