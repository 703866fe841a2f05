"""Losses of KerasTensors: shapes, functional models, saving them, and layers that add a loss."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras_tools import JIT, numpy

import xentropy_keras as ours

X = np.float32(np.random.default_rng(0).normal(size=(6, 3)))
LABELS = np.arange(6) % 3
ONE_HOT = np.float32(np.eye(3)[LABELS])


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("binary_crossentropy", {}, (None, 5)),
        ("binary_crossentropy", {"axis": 1}, (None, 3)),
        ("binary_focal_crossentropy", {"from_logits": True}, (None, 5)),
        ("categorical_crossentropy", {}, (None, 5)),
        ("categorical_crossentropy", {"axis": 1, "from_logits": True}, (None, 3)),
        ("categorical_focal_crossentropy", {"axis": 1}, (None, 3)),
    ],
)
def test_the_shape_is_the_predictions_without_the_axis(name, options, shape):
    found = getattr(ours, name)(keras.Input((5, 3)), keras.Input((5, 3)), **options)
    assert isinstance(found, keras.KerasTensor)
    assert found.shape == shape
    assert found.dtype == "float32"


def test_a_functional_model_computes_the_losses_and_survives_saving(tmp_path: Path):
    y, p = keras.Input((3,)), keras.Input((3,))
    model = keras.Model([y, p], ours.categorical_crossentropy(y, p, from_logits=True, label_smoothing=0.1))
    expected = ours.categorical_crossentropy(ONE_HOT, X, from_logits=True, label_smoothing=0.1)
    np.testing.assert_allclose(numpy(model([ONE_HOT, X])), numpy(expected), rtol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(again([ONE_HOT, X])), numpy(expected), rtol=1e-6)


def test_sparse_labels_may_be_symbolic_and_ignored():
    y, p = keras.Input((), dtype="int32"), keras.Input((3,))
    loss = ours.sparse_categorical_crossentropy(y, p, from_logits=True, ignore_class=1)
    assert loss.shape == (None,)
    found = numpy(keras.Model([y, p], loss)([np.int32(LABELS), X]))
    expected = numpy(ours.sparse_categorical_crossentropy(LABELS, X, from_logits=True, ignore_class=1))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_loss_class_takes_symbolic_tensors_of_a_known_batch():
    y, p = keras.Input(batch_shape=(6, 3)), keras.Input(batch_shape=(6, 3))
    loss = ours.CategoricalCrossentropy(from_logits=True)
    found = keras.Model([y, p], loss(y, p))([ONE_HOT, X])
    np.testing.assert_allclose(numpy(found), numpy(loss(ONE_HOT, X)), rtol=1e-6)


def test_a_layer_may_add_the_loss_and_be_trained_with_it():
    class WithLoss(keras.layers.Layer):
        def call(self, inputs):
            self.add_loss(ours.categorical_crossentropy(*inputs, from_logits=True))
            return inputs[1]

    y, x = keras.Input((3,)), keras.Input((3,))
    model = keras.Model([y, x], WithLoss()([y, keras.layers.Dense(3)(x)]))
    model.compile(keras.optimizers.SGD(0.1), jit_compile=JIT)
    losses = model.fit([ONE_HOT, X], epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_symbolic_shapes_that_differ_are_an_error():
    with pytest.raises(ValueError, match="must have the same shape"):
        ours.binary_crossentropy(keras.Input((5, 3)), keras.Input((5, 2)))
