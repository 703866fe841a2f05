"""Where ours differs from Keras's, the number that ours gives: the same on every backend."""

from __future__ import annotations

import keras
import keras_reference as reference
import numpy as np
import pytest
from keras_tools import gradient, numpy, tensor

import xentropy_keras as ours


def test_smoothing_divides_by_the_number_of_classes_whichever_axis_they_are_on():
    logits = np.float32(np.random.default_rng(1).normal(size=(2, 3, 5)))
    targets = np.moveaxis(np.eye(3)[np.random.default_rng(2).integers(0, 3, size=(2, 5))], -1, 1)
    options = {"from_logits": True, "label_smoothing": 0.1}
    found = numpy(ours.categorical_crossentropy(targets, tensor(logits), axis=1, **options))
    moved = numpy(
        ours.categorical_crossentropy(np.moveaxis(targets, 1, -1), tensor(np.moveaxis(logits, 1, -1)), **options)
    )
    exact = reference.categorical(targets[0, :, 0], reference.softmax(logits[0, :, 0]), smoothing=0.1)
    np.testing.assert_array_equal(found, moved)
    np.testing.assert_allclose(found[0, 0], exact, rtol=1e-6)


def test_alphas_follow_the_axis_of_the_classes():
    p = np.float32([[0.2, 0.3], [0.5, 0.6], [0.3, 0.1]])
    alpha = [0.5, 0.25, 0.125]
    found = numpy(ours.categorical_focal_crossentropy(np.eye(3)[:, :2], tensor(p), alpha=alpha, axis=0))
    exact = [reference.categorical(np.eye(3)[i], list(map(float, p[:, i])), alpha=alpha, gamma=2.0) for i in (0, 1)]
    np.testing.assert_allclose(found, exact, rtol=2e-6)


def test_an_unlikely_logit_of_minus_infinity_counts_for_nothing():
    logits = tensor([[1.0, -np.inf, 2.0]])
    exact = np.log1p(np.exp(1.0))
    for found in (
        ours.categorical_crossentropy([[1.0, 0.0, 0.0]], logits, from_logits=True),
        ours.sparse_categorical_crossentropy(np.array([0]), logits, from_logits=True),
    ):
        np.testing.assert_allclose(numpy(found), [exact], rtol=1e-6)


@pytest.mark.parametrize(
    ("z", "y", "exact"), [(np.inf, 1, 0.0), (-np.inf, 0, 0.0), (np.inf, 0, np.inf), (-np.inf, 1, np.inf)]
)
def test_infinite_binary_logits_have_the_loss_that_is_the_limit(z, y, exact):
    assert numpy(ours.binary_crossentropy([float(y)], tensor([z]), from_logits=True)) == exact


def test_rows_that_do_not_sum_to_1_have_the_loss_of_their_one_hot_labels():
    p = tensor([[1.0, 2.0], [2.0, 6.0]])
    sparse = numpy(ours.sparse_categorical_crossentropy(np.array([0, 1]), p))
    np.testing.assert_array_equal(sparse, numpy(ours.categorical_crossentropy(np.eye(2), p)))
    np.testing.assert_allclose(sparse, [np.log(3), np.log(4 / 3)], rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_sparse_loss_takes_any_axis(axis):
    logits = np.float32(np.random.default_rng(3).normal(size=(2, 4, 3)))
    labels = np.random.default_rng(4).integers(0, 3, size=(2, 4))
    expected = numpy(ours.sparse_categorical_crossentropy(labels, tensor(logits), from_logits=True))
    moved = tensor(np.moveaxis(logits, -1, axis))
    found = ours.sparse_categorical_crossentropy(labels, moved, from_logits=True, axis=axis)
    kept = ours.sparse_categorical_crossentropy(np.expand_dims(labels, axis), moved, from_logits=True, axis=axis)
    np.testing.assert_array_equal(numpy(found), expected)
    np.testing.assert_array_equal(numpy(kept), expected)


@pytest.mark.parametrize("label", [3, -1, 2**33, np.nan, 1e30])
def test_a_label_out_of_range_is_an_error_where_values_are_known(label):
    with pytest.raises(IndexError, match=r"class indices must be in \[0, 3\)"):
        ours.sparse_categorical_crossentropy(np.array([label]), tensor(np.zeros((1, 3))), from_logits=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_integer_labels_stay_integers_in_a_loss_of_any_dtype(dtype):
    logits = np.zeros((1, 400), "float32")
    logits[0, 299] = 5.0
    loss = ours.SparseCategoricalCrossentropy(from_logits=True, dtype=dtype)
    exact = float(np.log(np.exp(5.0) + 399) - 5.0)
    found = loss(np.array([299]), logits)
    assert abs(float(found) - exact) <= exact * 2.0**-8
    assert keras.backend.standardize_dtype(found.dtype) == dtype


def test_ignored_rows_may_hold_nan():
    logits = tensor([[np.nan, 1.0], [0.0, 0.0]])
    options = {"from_logits": True, "ignore_class": -1}
    found = ours.sparse_categorical_crossentropy(np.array([-1, 0]), logits, **options)
    np.testing.assert_allclose(numpy(found), [0.0, np.log(2)], rtol=1e-6)
    slope = gradient(lambda x: ours.sparse_categorical_crossentropy(np.array([-1, 0]), x, **options), logits)
    np.testing.assert_allclose(slope, [[0.0, 0.0], [-0.5, 0.5]], rtol=1e-6)


def test_a_focal_loss_of_logits_is_not_clipped():
    found = ours.categorical_focal_crossentropy([[1.0, 0.0]], tensor([[-50.0, 0.0]]), from_logits=True)
    np.testing.assert_allclose(numpy(found), [12.5], rtol=1e-6)
    found = ours.binary_focal_crossentropy([1.0], tensor([-50.0]), from_logits=True)
    np.testing.assert_allclose(numpy(found), 50.0, rtol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "sigmoid"])
def test_probabilities_with_another_activations_logits_count_as_probabilities(name):
    x = tensor([[1.0, 3.0], [-2.0, 0.5]])
    p = getattr(keras.activations, name)(x)
    plain = tensor(numpy(p))
    one_hot = np.eye(2)
    loss = ours.binary_crossentropy if name == "softmax" else ours.categorical_crossentropy
    np.testing.assert_allclose(numpy(loss(one_hot, p)), numpy(loss(one_hot, plain)), rtol=1e-6)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_logits_that_keras_kept_are_used_where_the_backend_can_keep_them(activation):
    p = getattr(keras.activations, activation)(tensor([[-50.0, 0.0]]))
    loss = ours.categorical_crossentropy if activation == "softmax" else ours.binary_crossentropy
    found = float(numpy(loss([[1.0, 0.0]], p))[0])
    # In the binary loss, the mean with an element whose loss is log(2).
    lost, kept = (16.118095, 50.0) if activation == "softmax" else ((16.118095 + np.log(2)) / 2, (50 + np.log(2)) / 2)
    assert found == pytest.approx(lost if keras.backend.backend() == "jax" else kept, rel=1e-6)


def test_from_logits_with_an_activations_output_is_what_keras_makes_of_it():
    p = keras.activations.softmax(tensor([[1.0, 3.0]]))
    if keras.backend.backend() != "tensorflow":
        found = ours.categorical_crossentropy([[1.0, 0.0]], p, from_logits=True)
        np.testing.assert_allclose(numpy(found), [np.log1p(np.exp(float(numpy(p)[0, 1] - numpy(p)[0, 0])))], rtol=1e-6)
        return
    with pytest.warns(UserWarning, match="from_logits=True, but y_pred was made by an activation") as caught:
        found = ours.categorical_crossentropy([[1.0, 0.0]], p, from_logits=True)
    assert caught[0].filename == __file__
    np.testing.assert_allclose(numpy(found), [np.log1p(np.exp(2.0))], rtol=1e-6)


def test_focal_losses_take_from_logits_at_its_word():
    p = keras.activations.sigmoid(tensor([[1.0, 3.0]]))
    given = numpy(p)
    for name in ("binary_focal_crossentropy", "categorical_focal_crossentropy"):
        found, expected = (
            getattr(ours, name)([[1.0, 0.0]], x, from_logits=True, gamma=0.0) for x in (p, tensor(given))
        )
        np.testing.assert_array_equal(numpy(found), numpy(expected))


def test_another_activations_logits_are_not_used_nor_warned_of():
    p = keras.activations.softmax(tensor([[1.0, 3.0]]))
    found = ours.binary_crossentropy([[1.0, 0.0]], p, from_logits=True)
    expected = ours.binary_crossentropy([[1.0, 0.0]], tensor(numpy(p)), from_logits=True)
    np.testing.assert_allclose(numpy(found), numpy(expected), rtol=1e-6)
