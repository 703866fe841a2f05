"""TensorFlow's graphs beside their derivatives: the first call of all, and what comes from outside the graph."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from xentropy import binary_cross_entropy, cross_entropy
from xentropy_tensorflow import compiled

FIRST_CALL = """
import tensorflow as tf
import xentropy

loss = tf.function(lambda x, y: xentropy.cross_entropy(x, y))
print(float(loss(tf.constant([[1.2, -0.5, 0.1]]), tf.constant([0]))))
"""


def test_first_call_inside_a_graph() -> None:
    """The backend is found while AutoGraph looks on, which has nothing to say of it."""
    run = subprocess.run([sys.executable, "-c", FIRST_CALL], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    np.testing.assert_allclose(float(run.stdout), 0.4158, atol=5e-5)
    assert "AutoGraph" not in run.stderr


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("classes", [4, None])
def test_numpy_labels_and_weights(classes: int | None, xla: bool) -> None:
    """Arrays of NumPy are constants of the graph, whatever sizes the graph does not know."""
    labels, weight = np.array([0, 3, 1]), np.array([1.0, 0.5, 2.0])
    x = np.arange(12.0, dtype=np.float32).reshape(3, 4) % 5

    @tf.function(input_signature=[tf.TensorSpec([None, classes], tf.float32)], jit_compile=xla)
    def loss(x: Any) -> Any:
        return cross_entropy(x, labels, sample_weight=weight, label_smoothing=0.1)

    expected = cross_entropy(x, labels, sample_weight=weight, label_smoothing=0.1)
    np.testing.assert_allclose(loss(tf.constant(x)), expected, rtol=1e-6)


# XLA speaks of the reshape by which it finds out.
each_compiler = pytest.mark.parametrize(("xla", "said"), [(False, "shapes differ"), (True, "reshape")])


@each_compiler
@pytest.mark.parametrize("loss", [cross_entropy, binary_cross_entropy])
def test_sizes_that_turn_out_to_differ_are_an_error(loss: Any, xla: bool, said: str) -> None:
    """As many targets as logits, in another order of axes, are not paired in silence."""
    signature = [tf.TensorSpec([None, None, None], tf.float32)] * 2
    graph = tf.function(loss, input_signature=signature, jit_compile=xla)
    assert graph(tf.zeros((2, 3, 4)), tf.ones((2, 3, 4))).shape == ()
    with pytest.raises(tf.errors.InvalidArgumentError, match=said):
        graph(tf.zeros((2, 3, 4)), tf.ones((2, 4, 3)))


@each_compiler
def test_labels_of_another_shape_than_the_rows_are_an_error(xla: bool, said: str) -> None:
    signature = [tf.TensorSpec([None, None, 4], tf.float32), tf.TensorSpec([None, None], tf.int32)]
    graph = tf.function(cross_entropy, input_signature=signature, jit_compile=xla)
    with pytest.raises(tf.errors.InvalidArgumentError, match=said):
        graph(tf.zeros((2, 3, 4)), tf.zeros((3, 2), tf.int32))


def test_a_smaller_last_batch_compiles_nothing_until_it_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA compiles for a shape, which tf.nn never does: so one that is met once is not worth it."""
    ways = []
    chosen = compiled.way_for

    def spied(*arguments: Any) -> Any:
        ways.append(chosen(*arguments))
        return ways[-1]

    monkeypatch.setattr(compiled, "way_for", spied)
    monkeypatch.setattr(compiled, "_seen", {})
    for rows in (40, 40, 40, 27, 40, 27):
        x, y = tf.random.normal((rows, 900)), tf.range(rows)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = cross_entropy(x, y)
        assert tape.gradient(loss, x).shape == (rows, 900)
    assert [way.jit for way in ways] == [False, True, True, False, True, True]


def test_shapes_without_end_are_not_compiled_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_seen", {})
    monkeypatch.setattr(compiled, "MOST", 3)
    for rows in (40, 41, 42, 43, 43, 43):
        cross_entropy(tf.random.normal((rows, 900)), tf.range(rows))
    assert len(compiled._seen) == 3
