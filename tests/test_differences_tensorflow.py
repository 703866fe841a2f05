"""TensorFlow's rows in the README's table of differences: what tf.nn's losses say, and what ours do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conventions import Differences

import xentropy_tensorflow

TENSORFLOW = Differences("TensorFlow")
INF = math.inf


def found(function: Callable[..., Any], labels: Any, logits: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The losses and their gradient by the logits."""
    x = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(labels=tf.constant(labels), logits=x)
    return value.numpy(), tape.gradient(value, x).numpy()


@TENSORFLOW.row("a confident row, [20, 0, 0] and class 0", "0, gradient 0", "4.12e-09, gradient -4.12e-09")
def _() -> None:
    logits = [[20.0, 0.0, 0.0]]
    for kind, label in (("sparse_softmax", [0]), ("softmax", [[1.0, 0.0, 0.0]])):
        name = f"{kind}_cross_entropy_with_logits"
        value, gradient = found(getattr(tf.nn, name), label, logits)
        assert (value[0], gradient[0, 0]) == (0.0, 0.0)
        value, gradient = found(getattr(xentropy_tensorflow, name), label, logits)
        assert (f"{value[0]:.2e}", f"{gradient[0, 0]:.2e}") == ("4.12e-09", "-4.12e-09")


@TENSORFLOW.row(
    "the gradient of probabilities that don't sum to 1",
    "as if they did: softmax - t",
    "that of the loss: Σt softmax - t",
)
def _() -> None:
    soft, logits = [[1.0, 1.0, 0.0]], [[1.0, 2.0, 3.0]]
    softmax = np.exp(logits) / np.exp(logits).sum()
    _value, gradient = found(tf.nn.softmax_cross_entropy_with_logits, soft, logits)
    np.testing.assert_allclose(gradient, softmax - soft, rtol=1e-5)
    _value, gradient = found(xentropy_tensorflow.softmax_cross_entropy_with_logits, soft, logits)
    np.testing.assert_allclose(gradient, 2.0 * softmax - soft, rtol=1e-5)


@TENSORFLOW.row("a probability of 0 at a logit of -inf", "NaN", "it counts for nothing")
def _() -> None:
    soft, logits = [[0.5, 0.5, 0.0]], [[0.0, 0.0, -INF]]
    assert np.isnan(found(tf.nn.softmax_cross_entropy_with_logits, soft, logits)[0]).all()
    value, gradient = found(xentropy_tensorflow.softmax_cross_entropy_with_logits, soft, logits)
    np.testing.assert_allclose(value, [math.log(2.0)], rtol=1e-6)
    np.testing.assert_array_equal(gradient, [[0.0, 0.0, 0.0]])


@TENSORFLOW.row("logits of inf at label 1 and of -inf at label 0", "NaN", "0, the limit")
def _() -> None:
    for z, y in ((INF, 1.0), (-INF, 0.0)):
        assert np.isnan(found(tf.nn.sigmoid_cross_entropy_with_logits, [y], [z])[0])
        assert found(xentropy_tensorflow.sigmoid_cross_entropy_with_logits, [y], [z]) == ([0.0], [0.0])


@pytest.mark.parametrize("check", TENSORFLOW.parameters)
def test_difference(check: Callable[[], None]) -> None:
    check()


def test_the_readme_says_so() -> None:
    TENSORFLOW.assert_told()
