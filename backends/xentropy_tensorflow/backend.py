"""TensorFlow: eager, graphs of unknown sizes, and XLA, through tf.custom_gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from xentropy.backend import ArrayAPIBackend
from xentropy.linear import LinearProgram, LinearRule
from xentropy.program import Program
from xentropy.rule import Arrays, Rule
from xentropy.sharded import ShardedProgram, ShardedRule
from xentropy.sums import Others, others_unwritten
from xentropy_numpy.backend import backend as numpy_backend
from xentropy_tensorflow import compiled, groups, linear, namespace, reading, scan

Array = Any


class TensorFlowBackend(ArrayAPIBackend):
    """Serves tf.Tensor, eager and symbolic, and tf.Variable."""

    name = "tensorflow"

    def namespace(self, *arrays: Array) -> Any:
        return namespace

    def shape(self, x: Array) -> tuple[Any, ...]:
        static = x.shape
        if static.rank is None:
            raise ValueError("a tensor of unknown rank cannot be laid out; set its rank with tf.ensure_shape")
        if static.is_fully_defined():
            return tuple(static.as_list())
        dynamic = tf.shape(x, out_type=tf.int64)
        return tuple(dynamic[i] if size is None else size for i, size in enumerate(static.as_list()))

    def ensure_shape(self, x: Array, shape: tuple[Any, ...]) -> Array:
        if all(isinstance(size, int) for size in shape) and x.shape.is_fully_defined():
            return x
        # Two shapes of as many elements would be paired in silence once they are rows.
        expected = tf.stack([tf.cast(size, tf.int64) for size in shape]) if shape else tf.zeros([0], tf.int64)
        given = tf.shape(x, out_type=tf.int64)
        with tf.control_dependencies([tf.debugging.assert_equal(given, expected, "shapes differ: ")]):
            difference = tf.reduce_sum(tf.abs(given - expected))
        # XLA leaves assertions out, but compiles no reshape to another number of elements.
        none = tf.reshape(tf.zeros([1 + difference], tf.int64), [1])
        checked = tf.reshape(x, expected + none)
        checked.set_shape(x.shape)
        return checked

    def asarray(self, values: np.ndarray[Any, Any] | float, like: Array) -> Array:
        return tf.constant(values, tf.float64) if isinstance(values, float) else tf.convert_to_tensor(values)

    def concrete(self, x: Array, *, sync: bool) -> Array | None:
        if tf.is_symbolic_tensor(x):
            return None
        return x if sync or "CPU" in x.device else None

    def all_below(self, index: Array, size: int) -> bool:
        return numpy_backend.all_below(index.numpy().astype(np.int64, copy=False), size)

    def as_index(self, x: Array) -> Array:
        return tf.cast(tf.convert_to_tensor(x), tf.int64)

    def run(self, program: Any, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
        if not tf.compat.v1.executing_eagerly_outside_functions():
            # == compares identities there: the loss would be wrong, not an error.
            raise NotImplementedError("xentropy runs eagerly and in tf.function, not in a tf.Graph of TensorFlow 1")
        # Of variables what they hold now.
        arrays, constants, weights = (
            tuple(None if a is None else tf.convert_to_tensor(a) for a in part) for part in (arrays, constants, weights)
        )
        if isinstance(program, ShardedProgram):
            return groups.run(self, program, arrays, constants, weights)
        if not isinstance(program, Program):
            return program(self, arrays, constants, weights)
        if not reading.is_noted(arrays):
            value = reading.value(program, (arrays, constants, weights))
            if value is not None:
                return value
        if isinstance(program, LinearProgram):
            return linear.run(self, program, arrays, constants, weights)
        if len(arrays) == 1:
            return compiled.run(self, program, arrays[0], constants, weights)
        return program(self, arrays, constants, weights)

    def attach(self, rule: Rule, arrays: Arrays, constants: Arrays) -> Arrays:
        if isinstance(rule, ShardedRule):
            return groups.attach(self, rule, arrays, constants)
        if isinstance(rule, LinearRule):
            return linear.attach(self, rule, arrays, constants)
        outputs: Arrays = compiled.attach(self, rule, arrays, constants)
        return outputs

    def map_rows(self, fn: Callable[..., Arrays], arrays: Sequence[Array | None]) -> Arrays:
        return fn(*arrays)

    def scan_rows(
        self,
        fn: Callable[..., tuple[Arrays, Arrays]],
        carry: Arrays,
        rows: Sequence[Array | None],
        step: int,
        keep: Array | None,
    ) -> tuple[Arrays, Arrays]:
        return scan.scan_rows(fn, carry, rows, step, keep)

    def product(self, a: Array, b: Array, memory: Array | None = None) -> Array:
        return tf.matmul(a, b, transpose_b=True)

    def add_product(self, total: Array, a: Array, b: Array) -> Array:
        return total + tf.matmul(a, b, transpose_a=True)

    def uncompiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        unread: Callable[..., Any] = tf.autograph.experimental.do_not_convert(function)
        return unread

    def part(self, group: Any) -> Any:
        return groups.part(group)

    def tell(self, message: bytes, group: Any, like: Array) -> list[bytes]:
        return groups.tell(message, group)

    def all_gather(self, x: Array, group: Any) -> Array:
        return groups.all_gather(x, group)

    def all_sum(self, x: Array, group: Any) -> Array:
        return groups.all_sum(x, group)

    def records(self) -> bool:
        return False

    def value_and_grad(self, loss: Callable[..., Array], arrays: Arrays) -> tuple[Array, Arrays]:
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            value = loss(*arrays)
        return value, tuple(tape.gradient(value, arrays))

    def detach(self, x: Array) -> Array:
        return tf.stop_gradient(x)

    def columns(self, x: Array) -> Array:
        return tf.range(tf.shape(x, out_type=tf.int64)[-1])

    def pick(self, x: Array, index: Array) -> Array:
        return tf.gather(x, index, batch_dims=1)

    def put(self, x: Array, index: Array, value: Array | float) -> Array:
        # Into the memory of x where nobody else needs it: in tf.function, forward and backward at 1024 x 32,000, three
        # quarters of the time of a mask. pfor maps int32 only.
        index = tf.cast(index, tf.int32)
        rows = tf.range(tf.shape(index)[0])
        values = tf.fill(tf.shape(index), tf.cast(value, x.dtype)) if isinstance(value, float) else value
        return tf.tensor_scatter_nd_update(x, tf.stack([rows, index], axis=1), values)

    def others(self, x: Array, excluded: Array, memory: Array | None) -> Others:
        # No tf.cond, which a ForwardAccumulator outside of the function does not get through (2.21).
        return others_unwritten(self, x, excluded)


backend = TensorFlowBackend()
