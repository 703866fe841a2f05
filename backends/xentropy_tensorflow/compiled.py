"""Formulas compiled by XLA wherever their shapes come again, and differentiated outside of it.

At 1024 x 32,000, forward and backward, an eager program takes 160 ms, a tf.function 78, tf.nn 84, this 30 to 36. What
has to be known for the gradient is handed out of the forward function, a few numbers a row: left to TensorFlow, the
logits themselves would come out too, as a copy, and it would be 67 ms.

XLA compiles for every shape anew, which takes half a second and which tf.nn never does. So a shape is compiled for
when it is met for the second time, up to ``MOST`` of them; until then, and where a graph doesn't know its sizes, a
tf.function that takes any number of rows does it, or the graph itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.python.eager.forwardprop_util import pack_tangents

from xentropy.program import AnyProgram, Program
from xentropy.rule import Arrays, Rule
from xentropy_numpy.backend import backend as numpy_backend

Array = Any
Pair = tuple[Array, Callable[..., Any]]

MOST = 32
# Elements, up to which NumPy takes 0.05 ms and the calls of two compiled functions 0.6.
SMALL = 1 << 14

_seen: dict[tuple[Any, ...], int] = {}


class Way(NamedTuple):
    """By XLA or not, and for which dtype and shape: a tf.function of its own for each, which is traced once."""

    jit: bool
    dtype: Any
    shape: tuple[int, ...]


def way_for(what: AnyProgram | Rule, arrays: Arrays) -> Way | None:
    """How to compile; None where it is left to the caller, who may be building a graph of unknown sizes.

    Or differentiates forward: through a function, second derivatives would be a silent 0 (TensorFlow 2.21).
    """
    logits = arrays[0]
    if pack_tangents(arrays).tangents:
        return None
    if not tf.executing_eagerly():
        return Way(True, logits.dtype, tuple(logits.shape)) if logits.shape.is_fully_defined() else None
    way = Way(True, logits.dtype, tuple(logits.shape))
    times = _seen.get((what, way), 0)
    if times == 0 and len(_seen) >= MOST:
        return Way(False, logits.dtype, way.shape[1:])
    _seen[what, way] = times + 1
    return way if times else Way(False, logits.dtype, way.shape[1:])


@lru_cache(maxsize=1024)
def function(backend: Any, formula: Callable[..., Any], way: Way, *fixed: Any) -> Callable[..., Any]:
    """``formula(backend, ...)`` as a tf.function."""
    # Not a closure: TensorFlow warns of tracing one code too often, whosever function it is in.
    options: dict[str, Any] = {"jit_compile": True} if way.jit else {"reduce_retracing": True}
    compiled: Callable[..., Any] = tf.function(partial(formula, backend, *fixed), autograph=False, **options)
    return compiled


def run(backend: Any, program: Program, logits: Array, constants: Arrays, weights: Arrays) -> Array:
    """A program of labels: its value and its gradient are a function each."""
    if _is_small(logits):
        forward: Callable[..., Pair] = _in_numpy
    elif (way := way_for(program, (logits,))) is not None:
        forward = partial(_in_functions, way)
    else:
        return program(backend, (logits,), constants, weights)

    @tf.custom_gradient
    def attached(x: Array) -> Pair:
        value, gradient_for = forward(backend, program, x, constants, weights)

        @tf.custom_gradient
        def pull_back(x: Array, cotangent: Array) -> Pair:
            def again(upstream: Array) -> Any:
                # What is kept counts as constant, so a derivative of the gradient takes it all from the beginning.
                with tf.GradientTape() as tape:
                    tape.watch((x, cotangent))
                    whole = program.pull_back(backend, (x,), constants, weights, cotangent)
                return tape.gradient(whole, (x, cotangent), upstream)

            return gradient_for(x, cotangent), again

        return value, lambda cotangent: pull_back(x, cotangent)

    return attached(logits)


def _in_functions(way: Way, backend: Any, program: Program, x: Array, constants: Arrays, weights: Arrays) -> Pair:
    value, kept = function(backend, program.value_keeping, way)((x,), constants, weights)
    pull_back = function(backend, program.pull_back, way)
    return value, lambda x, cotangent: pull_back((x,), constants, weights, cotangent, kept)


def _is_small(logits: Array) -> bool:
    if not tf.executing_eagerly() or logits.dtype == tf.bfloat16 or "CPU" not in logits.device:
        return False
    return logits.shape.num_elements() <= SMALL and not pack_tangents([logits]).tangents


def _in_numpy(backend: Any, program: Program, x: Array, constants: Arrays, weights: Arrays) -> Pair:
    parts = ((x,), constants, weights)
    read = tuple(tuple(None if a is None else a.numpy() for a in part) for part in parts)
    value, gradient = numpy_backend.run(program.value_and_gradient, *read)

    def pull_back(x: Array, cotangent: Array) -> Array:
        # A gradient in half precision is rounded once: with its cotangent, which a loss scaler makes large.
        if tf.is_symbolic_tensor(cotangent) or gradient.dtype == np.float16:
            return program.pull_back(backend, (x,), constants, weights, cotangent)
        factor = cotangent.numpy()
        return tf.constant(gradient * (factor[:, None] if factor.ndim else factor))

    return tf.constant(value), pull_back


def attach(backend: Any, rule: Rule, arrays: Arrays, constants: Arrays) -> Arrays:
    """The outputs of a rule with its derivative, compiled or not."""
    arrays = tuple(tf.convert_to_tensor(array) for array in arrays)
    way = way_for(rule, arrays)
    needs = tuple(True for _ in arrays)

    @tf.custom_gradient
    def attached(*given: Array) -> tuple[Arrays, Callable[..., Any]]:
        def pull_back(*cotangents: Array) -> list[Array]:
            return list(rule.pull_back(backend, given, constants, cotangents, needs))

        def compiled_pull_back(*cotangents: Array) -> Any:
            assert way is not None
            return _pulled(backend, rule, way, given, constants, cotangents)

        if way is None:
            return rule.run(backend, given, constants), pull_back
        return function(backend, _run, way, rule)(given, constants), compiled_pull_back

    outputs: Arrays = attached(*arrays)
    return outputs


def _run(backend: Any, rule: Rule, arrays: Arrays, constants: Arrays) -> Arrays:
    return rule.run(backend, arrays, constants)


def _pull_back(backend: Any, rule: Rule, arrays: Arrays, constants: Arrays, cotangents: Arrays) -> list[Array]:
    return list(rule.pull_back(backend, arrays, constants, cotangents, tuple(True for _ in arrays)))


def _pulled(backend: Any, rule: Rule, way: Way, arrays: Arrays, constants: Arrays, cotangents: Arrays) -> Any:
    count = len(arrays)

    @tf.custom_gradient
    def pulled(*flat: Array) -> tuple[Any, Callable[..., Any]]:
        def again(*upstream: Array) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(flat)
                whole = _pull_back(backend, rule, flat[:count], constants, flat[count:])
            return tape.gradient(whole, flat, upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        return function(backend, _pull_back, way, rule)(flat[:count], constants, flat[count:]), again

    return pulled(*arrays, *cotangents)
