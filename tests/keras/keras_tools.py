"""What Keras has no name for: NumPy without a warning, and a gradient on the backend in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()
FLOAT64 = "float32" if BACKEND == "jax" else "float64"
"""The widest dtype of the backend: JAX has no float64 unless it is switched on for the process."""
JIT = BACKEND == "jax"
"""For ``compile`` where the mode doesn't matter: JAX without jit compiles every operation of every step alone."""


def tensor(x: Any, dtype: str = "float32") -> Any:
    return ops.convert_to_tensor(np.asarray(x), dtype=dtype)


def numpy(x: Any) -> np.ndarray[Any, Any]:
    if BACKEND == "torch":
        x = x.detach().cpu()
        return np.asarray(x.float() if str(x.dtype) == "torch.bfloat16" else x)
    return np.asarray(x)


def gradient(loss: Callable[[Any], Any], x: Any, dtype: str = "float32") -> np.ndarray[Any, Any]:
    """The gradient of the sum of the losses."""
    x = tensor(x, dtype)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            value = ops.sum(loss(x))
        return numpy(tape.gradient(value, x))
    if BACKEND == "jax":
        import jax

        return numpy(jax.grad(lambda z: ops.sum(loss(z)))(x))
    x = x.detach().requires_grad_()
    ops.sum(loss(x)).backward()
    return numpy(x.grad)
