"""The loss classes: examples, reduction, weights, masks, configuration, serialisation."""

from __future__ import annotations

import abc
import copy
import inspect
import pickle

import keras
import numpy as np
import pytest
from keras_tools import numpy, tensor

import xentropy_keras as ours

NAMES = (
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "SparseCategoricalCrossentropy",
)
FUNCTIONS = (
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "sparse_categorical_crossentropy",
)
P = np.float32([[[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]], [[0.6, 0.3, 0.1], [0.3, 0.3, 0.4]]])
LABELS = np.array([[0, 1], [2, 2]])


def arguments(name):
    """Targets and predictions that suit a loss."""
    return (LABELS if name.startswith("Sparse") else np.float32(np.eye(3)[LABELS])), P


@pytest.mark.parametrize("name", [*NAMES, *FUNCTIONS])
def test_names_order_and_defaults_of_arguments_are_keras_own(name):
    theirs, own = (inspect.signature(getattr(package, name)) for package in (keras.losses, ours))
    assert [(p.name, p.default, p.kind) for p in own.parameters.values()] == [
        (p.name, p.default, p.kind) for p in theirs.parameters.values()
    ]


def test_the_first_examples():
    assert float(ours.BinaryCrossentropy()([1.0], [0.8])) == pytest.approx(0.2231, abs=5e-5)
    assert float(ours.CategoricalCrossentropy()([1, 0, 0], [0.7, 0.2, 0.1])) == pytest.approx(0.3567, abs=5e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("reduction", "weight"),
    [
        ("sum_over_batch_size", None),
        ("mean", 2.5),
        ("sum", [[0.5], [2.0]]),
        ("mean_with_sample_weight", [[1.0, 0.0], [3.0, 2.0]]),
        ("none", [[1.0, 0.0], [3.0, 2.0]]),
        (None, None),
    ],
)
def test_reductions_and_sample_weights_are_keras_own(name, reduction, weight):
    y_true, y_pred = arguments(name)
    weight = None if weight is None else np.float32(weight)
    found = getattr(ours, name)(reduction=reduction)(y_true, y_pred, sample_weight=weight)
    expected = getattr(keras.losses, name)(reduction=reduction)(y_true, y_pred, sample_weight=weight)
    np.testing.assert_allclose(numpy(found), numpy(expected), rtol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_mask_of_the_predictions_leaves_entries_out(name):
    from keras.src.backend import set_keras_mask

    y_true, y_pred = arguments(name)
    losses = numpy(getattr(ours, name)(reduction="none")(y_true, y_pred))
    y_pred = tensor(y_pred)
    set_keras_mask(y_pred, tensor([[True, False], [True, True]], "bool"))
    found = getattr(ours, name)()(y_true, y_pred)
    np.testing.assert_allclose(numpy(found), losses[[0, 1, 1], [0, 0, 1]].mean(), rtol=1e-6)


def test_ignored_rows_are_masked_in_the_mean_of_the_class_and_zero_in_the_function():
    losses = numpy(ours.sparse_categorical_crossentropy(LABELS, P, ignore_class=2))
    np.testing.assert_array_equal(losses[1], [0.0, 0.0])
    found = ours.SparseCategoricalCrossentropy(ignore_class=2)(LABELS, P)
    np.testing.assert_allclose(numpy(found), losses[0].mean(), rtol=1e-6)
    assert float(numpy(ours.SparseCategoricalCrossentropy(ignore_class=2)(LABELS * 0 + 2, P))) == 0.0


def test_ignored_floats_and_bytes_are_ignored_too():
    for labels, ignored in ((np.uint8([[0, 1], [255, 255]]), 255), (np.float32([[0, 1], [-1, -1]]), -1.0)):
        found = ours.SparseCategoricalCrossentropy(ignore_class=ignored)(labels, P)
        np.testing.assert_allclose(numpy(found), (np.log(5) + np.log(1 / 0.8)) / 2, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", keras.DTypePolicy("mixed_bfloat16")])
def test_the_dtype_is_that_of_the_result(name, dtype):
    loss = getattr(ours, name)(dtype=dtype)
    found = loss(*arguments(name))
    expected = dtype if isinstance(dtype, str) else dtype.compute_dtype
    assert keras.backend.standardize_dtype(found.dtype) == expected == loss.dtype


OPTIONS = {
    "BinaryCrossentropy": {"from_logits": True, "label_smoothing": 0.1, "axis": 1},
    "BinaryFocalCrossentropy": {"apply_class_balancing": True, "alpha": 0.4, "gamma": 1.5},
    "CategoricalCrossentropy": {"label_smoothing": 0.2, "axis": 1},
    "CategoricalFocalCrossentropy": {"alpha": [0.1, 0.2, 0.7], "gamma": 3.0},
    "SparseCategoricalCrossentropy": {"from_logits": True, "ignore_class": -1, "axis": 1},
}


def through_config(loss):
    return type(loss).from_config(loss.get_config())


def through_keras(loss):
    return keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))


def through_pickle(loss):
    return pickle.loads(pickle.dumps(loss))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", [through_config, through_keras, through_pickle, copy.deepcopy])
def test_a_loss_survives(name, way):
    loss = getattr(ours, name)(**OPTIONS[name], reduction="sum", name="mine")
    again = way(loss)
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config() == {**again.get_config(), **OPTIONS[name], "name": "mine"}
    assert again.fn is loss.fn


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_is_registered_as_ours_and_an_instance_of_keras_own(name):
    loss = getattr(ours, name)()
    assert keras.saving.get_registered_name(type(loss)) == f"xentropy_keras>{name}"
    assert isinstance(loss, getattr(keras.losses, name))
    assert not isinstance(getattr(keras.losses, name)(), type(loss))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_survives_serialisation(name):
    function = getattr(ours, name)
    config = keras.saving.serialize_keras_object(function)
    assert config["config"] == f"xentropy_keras>{name}"
    assert keras.saving.deserialize_keras_object(config) is function
    assert pickle.loads(pickle.dumps(function)) is function


def test_nested_targets_and_predictions_are_taken_as_keras_takes_them():
    given = ([P[0], P[1]], [P[1], P[0]])
    for package in (keras.losses, ours):
        with pytest.raises((ValueError, TypeError)):
            package.CategoricalCrossentropy()(given[0], given[1][0])


def test_an_empty_batch_is_what_keras_makes_of_it():
    found = ours.CategoricalCrossentropy()(np.zeros((0, 3)), np.zeros((0, 3)))
    assert tuple(found.shape) == tuple(keras.losses.CategoricalCrossentropy()(np.zeros((0, 3)), np.zeros((0, 3))).shape)


def test_a_subclass_that_overrides_call_gets_its_labels_and_keeps_its_state():
    class Reversed(ours.SparseCategoricalCrossentropy):
        calls = 0

        def call(self, y_true, y_pred):
            self.calls += 1
            return super().call(2 - y_true, y_pred)

    loss = Reversed()
    expected = ours.SparseCategoricalCrossentropy()(2 - LABELS, P)
    np.testing.assert_allclose(numpy(loss(LABELS, P)), numpy(expected), rtol=1e-6)
    assert loss.calls == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_class_can_be_combined_with_an_abstract_one(name):
    class Named(getattr(ours, name), abc.ABC):
        @abc.abstractmethod
        def title(self): ...

    with pytest.raises(TypeError, match="abstract"):
        Named()
    with ours.patched():
        assert isinstance(getattr(ours, name)(), getattr(keras.losses, name))
        assert issubclass(Named, getattr(keras.losses, name))
