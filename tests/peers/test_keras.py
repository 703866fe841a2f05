"""Keras's own tests of its cross-entropies, from its wheel, with ours in Keras's place, on the backend in use.

``KERAS_BACKEND=torch pytest tests/peers/test_keras.py``. What Keras skips on a backend because its own loss can't do it
there (bfloat16 with torch, axes but the last) is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType

import keras
import pytest
from keras.src.losses import losses_test
from keras.src.metrics import probabilistic_metrics_test
from keras.src.trainers import compile_utils_test

from xentropy_keras import patched

PEER = f"Keras on {keras.backend.backend()}"
# Keras's tests expect its error where its backend lacks what its torch backend, and ours on every backend, can do.
LACKING = {
    "tensorflow": "Keras's sparse loss on TensorFlow refuses every axis but the last; ours takes any, as on torch",
    "jax": "Keras's sparse loss on JAX compares shapes as if the axis were the last; ours takes any, as on torch",
}
DIFFERENCES: dict[str, str] = {
    f"LossSparseCategoricalCrossentropyTest::test_{shape}_segmentation_different_axis": LACKING[keras.backend.backend()]
    for shape in ("binary", "multi_class")
    if keras.backend.backend() in LACKING
}

pytestmark = [
    # Of Keras itself: its torch backend's way to NumPy, its JAX backend's way to shapes.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]

CLASSES = {
    "Loss": (
        losses_test.BinaryCrossentropyTest,
        losses_test.BinaryFocalCrossentropyTest,
        losses_test.CategoricalCrossentropyTest,
        losses_test.CategoricalFocalCrossentropyTest,
        losses_test.SparseCategoricalCrossentropyTest,
    ),
    "Metric": (
        probabilistic_metrics_test.BinaryCrossentropyTest,
        probabilistic_metrics_test.CategoricalCrossentropyTest,
        probabilistic_metrics_test.SparseCategoricalCrossentropyTest,
    ),
    "Compile": (compile_utils_test.TestCompileMetrics, compile_utils_test.TestCompileLoss),
}


def unskipped(test_case: type) -> dict[str, FunctionType]:
    """The tests that Keras skips on some backend, without that mark."""
    found = {name: test for name, test in vars(test_case).items() if hasattr(test, "pytestmark")}
    return {name: FunctionType(test.__code__, test.__globals__, name) for name, test in found.items()}


for _prefix, _classes in CLASSES.items():
    for _class in _classes:
        _name = f"{_prefix}{_class.__name__}"
        globals()[_name] = type(_name, (_class,), unskipped(_class))


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test of the losses reads the classes where they are defined, the one place where patched() leaves them."""
    with patched():
        monkeypatch.setattr(losses_test, "losses", keras.losses)
        yield
