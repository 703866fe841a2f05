"""TensorFlow under test: eager, in a graph (jit), and compiled by XLA (xla)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from engines import replicas

from harness.base import Array, Harness

# Before anything is computed, which is too late for it.
replicas.divide_cpu()


class TensorFlowHarness(Harness):
    name = "tensorflow"
    modes = ("eager", "jit", "xla")
    floats = ("float16", "bfloat16", "float32", "float64")

    array_type = tf.Tensor

    def asarray(self, values: np.ndarray[Any, Any], dtype: str | None = None) -> Array:
        x = tf.constant(np.array(values))
        return x if dtype is None else tf.cast(x, dtype)

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        return np.asarray((tf.cast(x, tf.float32) if x.dtype == tf.bfloat16 else x).numpy())

    def compile(self, mode: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        return fn if mode == "eager" else _compiled(mode, fn)

    def value_and_grad(
        self, mode: str, fn: Callable[..., Array], values: Sequence[Array], wrt: Sequence[int]
    ) -> tuple[Array, Sequence[Array]]:
        return self.compile(mode, _with_gradient(fn, tuple(wrt)))(*values)


# Each trace costs seconds and megabytes, so each is made once.
@cache
def _compiled(mode: str, fn: Callable[..., Any]) -> Callable[..., Any]:
    return tf.function(fn, jit_compile=mode == "xla")


@cache
def _with_gradient(fn: Callable[..., Array], wrt: tuple[int, ...]) -> Callable[..., Any]:
    def both(*given: Array) -> tuple[Array, Sequence[Array]]:
        with tf.GradientTape() as tape:
            for i in wrt:
                tape.watch(given[i])
            value = fn(*given)
        return value, tape.gradient(value, [given[i] for i in wrt])

    return both


HARNESS = TensorFlowHarness()
