"""Logits behind probabilities in TensorFlow's graphs, where the operation that made them is known."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import xentropy_keras as ours

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of Keras's TensorFlow backend")
LOGITS = np.float32([[-50.0, 0.0]])


@pytest.mark.parametrize("name", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_a_model_that_ends_in_tensorflows_softmax_learns_from_its_logits(name):
    def trained():
        dense = keras.layers.Dense(2, activation=tf.nn.softmax, kernel_initializer="zeros")
        model = keras.Sequential([keras.Input((1,)), dense])
        dense.bias.assign(LOGITS[0])
        model.compile(keras.optimizers.SGD(50.0), loss=name, jit_compile=False)
        y = np.array([0]) if name.startswith("sparse") else np.float32([[1, 0]])
        return model.fit(np.ones((1, 1), "float32"), y, epochs=3, verbose=0).history["loss"]

    expected = trained()
    with ours.patched():
        found = trained()
    assert found[0] == pytest.approx(50.0)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize(
    ("loss", "activation", "y"),
    [
        (ours.binary_crossentropy, tf.nn.sigmoid, np.float32([[1, 0]])),
        (ours.categorical_crossentropy, tf.nn.softmax, np.float32([[1, 0]])),
    ],
)
def test_logits_of_the_operation_are_used_and_warned_of_where_they_are_not_asked_for(loss, activation, y, from_logits):
    traced = tf.function(lambda z: loss(y, activation(z), from_logits=from_logits))
    exact = 50.0 if activation is tf.nn.softmax else (50.0 + np.log(2.0)) / 2
    if from_logits:
        with pytest.warns(UserWarning, match="from_logits=True"):
            found = traced(LOGITS)
    else:
        found = traced(LOGITS)
    np.testing.assert_allclose(found, [exact], rtol=1e-6)


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize(
    ("loss", "activation"),
    [
        (ours.binary_crossentropy, tf.nn.softmax),
        (ours.categorical_crossentropy, tf.nn.sigmoid),
        (ours.binary_crossentropy, keras.activations.softmax),
    ],
)
def test_the_other_activations_operation_gives_probabilities(loss, activation, from_logits):
    found = tf.function(lambda z: loss([[1.0, 0.0]], activation(z), from_logits=from_logits))(LOGITS)
    expected = loss([[1.0, 0.0]], tf.constant(np.asarray(activation(LOGITS))), from_logits=from_logits)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_softmax_along_another_axis_than_the_losses_gives_probabilities():
    found = tf.function(lambda z: ours.categorical_crossentropy([[1.0], [0.0]], tf.nn.softmax(z), axis=0))
    np.testing.assert_allclose(found(np.float32([[-50.0], [0.0]])), [np.log(2.0)], rtol=1e-6)


@pytest.mark.parametrize("labels", [np.uint8([0, 7]), np.float32([0, np.nan]), np.array([-1, 0])])
def test_a_label_out_of_range_is_an_error_in_a_graph_unless_it_is_ignored(labels):
    p = np.float32([[0.2, 0.8], [0.3, 0.7]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="Received a label value of"):
        tf.function(ours.sparse_categorical_crossentropy)(tf.constant(labels), p)
    if np.isfinite(labels).all():
        ignored = int(labels[labels != 0][0])
        found = tf.function(lambda y: ours.sparse_categorical_crossentropy(y, p, ignore_class=ignored))
        assert np.isfinite(found(tf.constant(labels))).all()


def test_logits_that_were_given_as_a_numpy_array() -> None:
    """An activation leaves them on its output as they came."""
    z = np.array([[-50.0, 0.0]], np.float32)
    p = keras.ops.softmax(z)
    for loss in (ours.SparseCategoricalCrossentropy(), ours.CategoricalCrossentropy()):
        target = np.array([0]) if "Sparse" in type(loss).__name__ else np.array([[1.0, 0.0]], np.float32)
        assert float(loss(target, p)) == pytest.approx(50.0)
    found = ours.BinaryCrossentropy()(np.array([[1.0]]), keras.ops.sigmoid(z[:, :1]))
    assert float(found) == pytest.approx(50.0)
