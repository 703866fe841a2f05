"""Losses in graphs of TensorFlow 1: outside of tf.function, as one function that is traced elsewhere.

In such a graph ``==`` of tensors compares identities, where the core needs values: its losses would be wrong in
silence. So would the gradients of a function be, which TensorFlow traces in the graph, unless they are functions that
are traced elsewhere, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

Array = Any


def run(loss: Callable[..., Array], *tensors: Array) -> Array:
    """``loss(*tensors)``, differentiable as often as the loss is."""
    if tf.compat.v1.executing_eagerly_outside_functions():
        return loss(*tensors)
    (value,) = _call(lambda *given: [loss(*given)], tensors)
    return value


def _call(function: Callable[..., list[Array]], tensors: Sequence[Array]) -> list[Array]:
    @tf.custom_gradient
    def called(*given: Array) -> tuple[list[Array], Callable[..., list[Array | None]]]:
        def pull_back(*cotangents: Array) -> list[Array | None]:
            found = iter(_call(partial(_gradients, function, len(given)), (*given, *cotangents)))
            return [next(found) if tensor.dtype.is_floating else None for tensor in given]

        return list(_traced(function, given)(*given)), pull_back

    outputs: list[Array] = called(*tensors)
    return outputs


def _traced(function: Callable[..., list[Array]], tensors: Sequence[Array]) -> Callable[..., list[Array]]:
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors]
    with tf.__internal__.eager_context.eager_mode():
        traced: Callable[..., list[Array]] = tf.function(function, autograph=False).get_concrete_function(*specs)
    return traced


def _gradients(function: Callable[..., list[Array]], count: int, *tensors: Array) -> list[Array]:
    """The gradients by the first ``count`` tensors, as far as these are floats, for the cotangents that follow."""
    given, cotangents = tensors[:count], tensors[count:]
    floats = [tensor for tensor in given if tensor.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(floats)
        outputs = function(*given)
    found: list[Array] = tape.gradient(
        outputs, floats, output_gradients=list(cotangents), unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return found
