"""Inside models: fit in every mode, metrics, dtype policies, saving and loading."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras_tools import JIT

import xentropy_keras as ours

X = np.float32(np.random.default_rng(0).normal(size=(16, 4)))
LABELS = np.arange(16) % 3
ONE_HOT = np.float32(np.eye(3)[LABELS])
MODES = [{"jit_compile": True}, {"jit_compile": False}, {"run_eagerly": True}]


def trained(loss, y, *, activation=None, epochs=2, **options):
    """A model after a few steps, and its losses."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation=activation)])
    model.compile(keras.optimizers.SGD(0.1), loss=loss, **options)
    history = model.fit(X, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0).history
    return model, history


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: next(iter(mode)) + str(next(iter(mode.values()))))
def test_training_follows_keras_own_loss_in_every_mode(mode):
    found = trained(ours.SparseCategoricalCrossentropy(from_logits=True), LABELS, **mode)[1]["loss"]
    expected = trained(keras.losses.SparseCategoricalCrossentropy(from_logits=True), LABELS, **mode)[1]["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[-1] < found[0]


@pytest.mark.parametrize(
    ("name", "y", "activation"),
    [
        ("binary_crossentropy", ONE_HOT, "sigmoid"),
        ("binary_focal_crossentropy", ONE_HOT, "sigmoid"),
        ("categorical_crossentropy", ONE_HOT, "softmax"),
        ("categorical_focal_crossentropy", ONE_HOT, "softmax"),
        ("sparse_categorical_crossentropy", LABELS, "softmax"),
        ("sparse_categorical_crossentropy", LABELS[:, None], "softmax"),
    ],
)
def test_a_function_is_a_loss_and_a_metric(name, y, activation):
    def measure(package):
        function = getattr(package, name)
        return trained(function, y, activation=activation, metrics=[function], jit_compile=JIT)[1]

    found, expected = measure(ours), measure(keras.losses)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=2e-6)
    np.testing.assert_allclose(found[name], expected[name], rtol=2e-6)


@pytest.mark.parametrize(
    ("loss", "y", "activation"),
    [
        (ours.SparseCategoricalCrossentropy(from_logits=True, axis=1), LABELS, None),
        (ours.CategoricalFocalCrossentropy(alpha=[0.2, 0.3, 0.5], label_smoothing=0.1), ONE_HOT, "softmax"),
        (ours.BinaryFocalCrossentropy(apply_class_balancing=True), ONE_HOT, "sigmoid"),
        (ours.categorical_crossentropy, ONE_HOT, "softmax"),
    ],
)
def test_a_model_that_was_saved_loads_with_its_loss(loss, y, activation, tmp_path: Path):
    model, _ = trained(loss, y, activation=activation, jit_compile=JIT)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    if isinstance(loss, keras.losses.Loss):
        assert type(again.loss) is type(loss)
        assert again.loss.get_config() == loss.get_config()
    else:
        assert again.loss is loss
    assert again.evaluate(X, y, verbose=0) == model.evaluate(X, y, verbose=0)
    again.fit(X, y, verbose=0)


def test_mixed_precision_trains_with_losses_in_float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        loss = ours.SparseCategoricalCrossentropy(from_logits=True)
        found = trained(loss, LABELS, jit_compile=JIT, epochs=3)[1]["loss"]
    finally:
        keras.config.set_dtype_policy(before)
    assert loss.dtype == "float32"
    assert found[-1] < found[0]


def test_masks_of_layers_and_sample_weights_count_as_keras_counts_them():
    tokens = np.array([[1, 2, 0, 0, 3], [1, 1, 1, 1, 0]])
    labels = np.array([[0, 1, 2, 0, 1], [1, 1, 2, 0, 1]])
    weight = np.float32([[1, 2, 3, 4, 5], [2, 0, 1, 1, 3]])
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Embedding(7, 4, mask_zero=True), keras.layers.Dense(3)],
    )
    found = []
    for package in (ours, keras.losses):
        loss = package.SparseCategoricalCrossentropy(from_logits=True, ignore_class=2)
        model.compile("sgd", loss=loss, jit_compile=JIT)
        found.append(model.evaluate(tokens, labels, sample_weight=weight, verbose=0))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_a_label_out_of_range_is_an_error_in_a_graph_and_nan_in_jit():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    bad = np.where(LABELS == 2, 7, LABELS)

    def evaluated(**options):
        loss = ours.SparseCategoricalCrossentropy(from_logits=True, **options)
        model.compile("sgd", loss=loss, jit_compile=JIT)
        return model.evaluate(X, bad, verbose=0)

    assert np.isfinite(evaluated(ignore_class=7))
    if keras.backend.backend() == "jax":
        assert np.isnan(evaluated())
        return
    error, said = IndexError, "is 7, but class indices must be in"
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        error, said = tf.errors.InvalidArgumentError, r"label value of\] \[7\]"
    with pytest.raises(error, match=said):
        evaluated()
