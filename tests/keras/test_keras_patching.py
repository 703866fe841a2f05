"""patched(): ours wherever Keras looks, Keras's again afterwards, and what is saved in between."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras_tools import JIT, numpy

import xentropy_keras as ours

CLASSES = [name for name in ours.__all__ if name.endswith("Crossentropy")]
FUNCTIONS = [name for name in ours.__all__ if name.endswith("crossentropy")]
X = np.float32(np.random.default_rng(0).normal(size=(6, 4)))
LABELS = np.arange(6) % 3


def state():
    """Everything that Keras's modules and dictionaries hold."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "keras":
            found |= {(name, key): id(value) for key, value in vars(module).items()}
            for key, value in list(vars(module).items()):
                if type(value) is dict and not key.startswith("__"):
                    found |= {(name, key, id(item)): id(value[item]) for item in value}
    return found


def test_nothing_is_left_behind():
    before = state()
    with ours.patched(), ours.patched():
        during = state()
    assert {key for key in before if during.get(key) != before[key]} >= {
        ("keras.losses", "BinaryCrossentropy"),
        ("keras.metrics", "binary_crossentropy"),
        ("keras.src.losses", "categorical_crossentropy"),
        ("keras.src.losses.losses", "categorical_crossentropy"),
        ("keras.src.metrics.probabilistic_metrics", "sparse_categorical_crossentropy"),
    }
    assert state() == before


def test_everything_is_taken_back_where_the_body_raises():
    before = state()
    with pytest.raises(KeyError), ours.patched():
        raise KeyError
    assert state() == before


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_ours_by_name_string_and_configuration(name):
    with ours.patched():
        own = getattr(ours, name)
        assert getattr(keras.losses, name) is own
        assert type(keras.losses.get(name)) is own
        assert type(keras.losses.deserialize({"class_name": name, "config": {"reduction": "sum"}})) is own
    assert getattr(keras.losses, name) is not own
    assert type(keras.losses.get(name)) is getattr(keras.losses, name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_ours_by_name_and_string(name):
    with ours.patched():
        own = getattr(ours, name)
        assert getattr(keras.losses, name) is getattr(keras.metrics, name) is own
        assert keras.losses.get(name) is keras.losses.deserialize(name) is own
    assert keras.losses.get(name) is getattr(keras.losses, name) is not own


def test_bce_is_ours_too():
    with ours.patched():
        assert keras.losses.get("bce") is keras.losses.get("BCE") is ours.binary_crossentropy


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", "crossentropy"])
def test_a_string_in_compile_trains_with_ours(loss, monkeypatch):
    calls = []
    from xentropy_keras import sparse

    real = sparse.xentropy.cross_entropy
    monkeypatch.setattr(sparse.xentropy, "cross_entropy", lambda *a, **k: calls.append(1) or real(*a, **k))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    with ours.patched():
        model.compile("sgd", loss=loss, jit_compile=JIT)
        model.fit(X, LABELS, verbose=0)
    assert calls


def test_metrics_measure_with_ours():
    logits = np.float32([[20.0, 0.0, 0.0]])
    exact = np.log1p(2 * np.exp(-20.0))
    with ours.patched():
        metric = keras.metrics.SparseCategoricalCrossentropy(from_logits=True)
        metric.update_state(np.array([0]), logits)
        np.testing.assert_allclose(numpy(metric.result()), exact, rtol=1e-6)


def saved(path: Path, loss, y) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", loss=loss, jit_compile=JIT)
    model.fit(X, y, verbose=0)
    model.save(path)


def test_a_model_saved_while_patched_loads_in_a_process_without_xentropy(tmp_path: Path):
    one_hot = np.float32(np.eye(3)[LABELS])
    with ours.patched():
        saved(tmp_path / "class.keras", keras.losses.SparseCategoricalCrossentropy(axis=-1), LABELS)
        saved(tmp_path / "function.keras", keras.losses.categorical_crossentropy, one_hot)
        saved(tmp_path / "string.keras", "categorical_focal_crossentropy", one_hot)
        patched = [keras.models.load_model(tmp_path / f"{name}.keras").loss for name in ("class", "function")]
    assert type(patched[0]) is ours.SparseCategoricalCrossentropy
    assert patched[1] is ours.categorical_crossentropy
    assert type(keras.models.load_model(tmp_path / "class.keras").loss) is keras.losses.SparseCategoricalCrossentropy
    script = f"""
import sys, keras
for name in ("class", "function", "string"):
    loss = keras.models.load_model({str(tmp_path)!r} + "/" + name + ".keras").loss
    print(getattr(loss, "__module__", loss))
print("xentropy" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    expected = ["keras.src.losses.losses"] * 2 + ["categorical_focal_crossentropy", "False"]
    assert run.stdout.split() == expected


@pytest.mark.parametrize(
    ("name", "options"),
    [("SparseCategoricalCrossentropy", {"ignore_class": 2}), ("CategoricalFocalCrossentropy", {"gamma": 3.0})],
)
def test_a_loss_in_an_h5_file_saved_while_patched_keeps_its_class_and_options(name, options, tmp_path: Path):
    y = LABELS if name.startswith("Sparse") else np.float32(np.eye(3)[LABELS])
    with ours.patched():
        saved(tmp_path / "model.h5", getattr(keras.losses, name)(**options, reduction="sum"), y)
        patched = keras.models.load_model(tmp_path / "model.h5").loss
    unpatched = keras.models.load_model(tmp_path / "model.h5").loss
    assert type(patched) is getattr(ours, name)
    assert type(unpatched) is getattr(keras.losses, name)
    for loss in (patched, unpatched):
        assert loss.get_config().items() >= {**options, "reduction": "sum"}.items()


def test_losses_are_serialised_under_keras_names_while_patched():
    unpatched = [keras.losses.serialize(getattr(keras.losses, name)()) for name in CLASSES]
    unpatched += [keras.losses.serialize(getattr(keras.losses, name)) for name in FUNCTIONS]
    with ours.patched():
        patched = [keras.losses.serialize(getattr(keras.losses, name)()) for name in CLASSES]
        patched += [keras.losses.serialize(getattr(keras.losses, name)) for name in FUNCTIONS]
    for found, expected in zip(patched, unpatched, strict=True):
        if isinstance(found, dict) and isinstance(found["config"], dict):
            found["config"].pop("axis", None)
            expected["config"].pop("axis", None)
        assert found == expected


@pytest.mark.parametrize("name", CLASSES)
def test_a_loss_made_before_is_an_instance_pickles_and_computes_as_before(name):
    theirs = getattr(keras.losses, name)
    before = theirs(reduction="sum")
    with ours.patched():
        assert isinstance(before, getattr(keras.losses, name))
        assert issubclass(theirs, getattr(keras.losses, name))
        assert not isinstance(keras.losses.MeanSquaredError(), getattr(keras.losses, name))
        assert not any(isinstance(before, getattr(keras.losses, other)) for other in CLASSES if other != name)
        assert pickle.loads(pickle.dumps(before)).get_config().items() >= before.get_config().items()
        assert before.fn is getattr(theirs(), "fn", None) or before.fn.__module__.startswith("keras.")
    assert type(pickle.loads(pickle.dumps(before))) is theirs


@pytest.mark.parametrize("name", CLASSES)
def test_a_loss_made_while_patched_pickles_then_and_later(name):
    with ours.patched():
        loss = getattr(keras.losses, name)(reduction="sum")
        assert pickle.loads(pickle.dumps(loss)).get_config() == loss.get_config()
    assert type(pickle.loads(pickle.dumps(loss))) is getattr(ours, name)


def test_unpatch_without_patch_is_an_error():
    with pytest.raises(RuntimeError, match="nothing is patched"):
        ours.unpatch()
