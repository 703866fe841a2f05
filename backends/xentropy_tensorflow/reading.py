"""Eager programs computed by NumPy in TensorFlow's memory: small ones, and values that nobody differentiates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager.forwardprop_util import pack_tangents
from tensorflow.python.eager.record import should_record_backprop

from xentropy.program import Program
from xentropy.rule import Arrays
from xentropy_numpy.backend import backend as numpy_backend

Array = Any
Parts = tuple[tuple[Array | None, ...], ...]

# Elements, up to which NumPy takes 0.05 ms and the calls of two compiled functions 0.6.
SMALL = 1 << 14


def is_noted(arrays: Arrays) -> bool:
    """Whether somebody differentiates by these arrays, or cannot be seen to do so: in a graph."""
    return not tf.executing_eagerly() or bool(should_record_backprop(arrays) or pack_tangents(arrays).tangents)


def value(program: Program, parts: Parts) -> Array | None:
    """The program's value by NumPy, which reads TensorFlow's memory and takes blocks of it; None where it can't.

    As fast as what XLA makes of it on two cores (22 ms at 1024 x 32,000), but compiled for no shape, and without a
    copy: TensorFlow's own peak was 3 sizes of the logits.
    """
    if not is_in_reach(parts):
        return None
    return tf.constant(numpy_backend.run(program.value, *to_numpy(parts)))


def is_in_reach(parts: Parts) -> bool:
    """Whether NumPy can read them."""
    return all(a is None or "CPU" in a.device for part in parts for a in part)


def is_small(logits: Array) -> bool:
    """Whether NumPy is the faster one, with the gradient too."""
    if not tf.executing_eagerly() or not is_in_reach(((logits,),)) or pack_tangents([logits]).tangents:
        return False
    if logits.dtype == tf.bfloat16:
        return False
    return bool(logits.shape.num_elements() <= SMALL)


def to_numpy(parts: Parts) -> Parts:
    """The tensors' own memory, not to be written to."""
    return tuple(tuple(None if a is None else _read(a) for a in part) for part in parts)


def _read(a: Array) -> np.ndarray[Any, Any]:
    """The tensor's own memory, which can't be written to; ``.numpy()`` copies it."""
    if a.dtype == tf.bfloat16:
        # Which buffers have no letter for.
        return np.asarray(memoryview(tf.bitcast(a, tf.uint16))).view(a.dtype.as_numpy_dtype)
    return np.asarray(memoryview(a))


def value_and_pull_back(
    backend: Any, program: Program, x: Array, constants: Arrays, weights: Arrays
) -> tuple[Array, Callable[..., Array]]:
    """The program's value, and its gradient for a logits tensor and a cotangent."""
    value, gradient = numpy_backend.run(program.value_and_gradient, *to_numpy(((x,), constants, weights)))

    def pull_back(x: Array, cotangent: Array) -> Array:
        if x.dtype == tf.float16:
            # Rounded once: with its cotangent, which a loss scaler makes large.
            return program.pull_back(backend, (x,), constants, weights, cotangent)
        factor = cotangent.numpy()
        return tf.constant(gradient * (factor[:, None] if factor.ndim else factor))

    return tf.constant(value), pull_back
