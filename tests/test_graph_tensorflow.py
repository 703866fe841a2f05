"""TensorFlow's graphs beside their derivatives: the first call of all, and what comes from outside the graph."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict
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
    monkeypatch.setattr(compiled, "_met", OrderedDict())
    monkeypatch.setattr(compiled, "_compiled", set())
    for rows in (40, 40, 40, 27, 40, 27):
        x, y = tf.random.normal((rows, 900)), tf.range(rows)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = cross_entropy(x, y)
        assert tape.gradient(loss, x).shape == (rows, 900)
    assert [way.jit for way in ways] == [False, True, True, False, True, True]


def test_shapes_without_end_are_not_compiled_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_met", OrderedDict())
    monkeypatch.setattr(compiled, "_compiled", set())
    monkeypatch.setattr(compiled, "MOST", 1)
    monkeypatch.setattr(compiled, "REMEMBERED", 2)
    for rows in (40, 41, 42, 43, 43, 42, 42):
        with tf.GradientTape() as tape:
            x = tf.random.normal((rows, 900))
            tape.watch(x)
            cross_entropy(x, tf.range(rows))
    (key,) = compiled._compiled
    assert key[1].shape == (43, 900)
    assert len(compiled._met) == 2


@pytest.mark.parametrize("classes", [6, 4000])
def test_derivatives_around_a_function(classes: int) -> None:
    """Tapes and accumulators that are outside of the graph that has the loss, and that begin after it."""
    x, v = tf.random.normal((5, classes), seed=1), tf.random.normal((5, classes), seed=2)
    y = tf.range(5)
    eager = softmax_curve(x.numpy(), y.numpy(), v.numpy())
    for loss in (lambda x: cross_entropy(x, y), tf.function(lambda x: cross_entropy(x, y))):
        for _ in range(3):
            with tf.autodiff.ForwardAccumulator(x, v) as forward:
                value = loss(x)
            np.testing.assert_allclose(forward.jvp(value), np.sum(eager[0] * v), rtol=1e-4)
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    value = loss(x)
                slope = tf.reduce_sum(inner.gradient(value, x) * v)
            np.testing.assert_allclose(outer.gradient(slope, x), eager[1], rtol=1e-3, atol=1e-6)
            with tf.autodiff.ForwardAccumulator(x, v) as forward:
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    value = loss(x)
                gradient = tape.gradient(value, x)
            np.testing.assert_allclose(forward.jvp(gradient), eager[1], rtol=1e-3, atol=1e-6)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = cross_entropy(x, y)
    with tf.autodiff.ForwardAccumulator(x, v) as forward:
        gradient = tape.gradient(value, x)
    np.testing.assert_allclose(forward.jvp(gradient), eager[1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("classes", [6, 4000])
def test_a_tangent_that_comes_with_the_cotangent(classes: int) -> None:
    x, y, w = tf.random.normal((5, classes), seed=1), tf.range(5), tf.constant(2.0)
    for _ in range(3):
        with tf.autodiff.ForwardAccumulator(w, tf.constant(1.0)) as forward:
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = w * cross_entropy(x, y)
            gradient = tape.gradient(value, x)
        np.testing.assert_allclose(forward.jvp(gradient), gradient / 2.0, rtol=1e-5, atol=1e-9)


def test_variables_as_labels() -> None:
    x, y = tf.random.normal((5, 6)), tf.range(5, dtype=tf.int64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = cross_entropy(x, tf.Variable(y))
    assert value == cross_entropy(x, y)
    assert tape.gradient(value, x).shape == (5, 6)


def softmax_curve(x: Any, y: Any, v: Any) -> tuple[Any, Any]:
    """Gradient of the mean, and its change along v."""
    p = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    gradient = (p - np.eye(x.shape[-1])[y]) / len(y)
    return gradient, p * (v - np.sum(p * v, axis=-1, keepdims=True)) / len(y)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", [(70_000,), (5, 5000)], ids=str)
def test_binary_mean_of_a_size_that_only_the_run_knows(shape: tuple[int, ...], dtype: tf.DType) -> None:
    """More elements than float16 has numbers for: the mean is the same as that of a known size."""
    unknown = tf.TensorSpec([None] * len(shape), dtype)

    @tf.function(input_signature=[unknown, unknown], autograph=False)
    def both(z: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss = binary_cross_entropy(z, y)
        # Times the number of elements in float32: in float16 it would not be finite.
        return loss, tape.gradient(loss, z)

    loss, gradient = both(tf.zeros(shape, dtype), tf.zeros(shape, dtype))
    np.testing.assert_allclose(loss, np.log(2.0), rtol=2.0**-22)
    count = np.prod(shape)
    np.testing.assert_allclose(tf.cast(gradient, tf.float32) * count, np.full(shape, 0.5), rtol=2.0**-7)
