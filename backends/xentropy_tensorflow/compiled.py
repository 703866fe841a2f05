"""Eager formulas compiled by XLA where their shapes come again, and differentiated outside of it.

At 1024 x 32,000, forward and backward, an eager program takes 160 ms, tf.nn 84, this 36. What has to be known for the
gradient is handed out of the forward function, a few numbers a row: left to TensorFlow, the logits themselves would
come out too, as a copy, and it would be 67 ms.

XLA compiles for every shape anew, which takes half a second and which tf.nn never does. So a shape is compiled for
when it is met for the second time, up to ``MOST`` of them; until then a tf.function that takes any number of rows does
it. While a graph is being built, its builder's operations do: differentiated later, from outside, a function in it
has no forward mode, and what its gradient holds is out of scope (TensorFlow 2.21).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.eager.forwardprop_util import pack_tangents

from xentropy.options import SigmoidOptions
from xentropy.program import Program
from xentropy.rule import Arrays, Rule
from xentropy_tensorflow import graphs, reading

Array = Any
Pair = tuple[Array, Callable[..., Any]]

# Shapes that are compiled for, and shapes that are remembered for having been met.
MOST, REMEMBERED = 32, 256

_met: OrderedDict[tuple[Any, ...], None] = OrderedDict()
_compiled: set[tuple[Any, ...]] = set()


class Way(NamedTuple):
    """By XLA or not, and for which dtype and shape: a tf.function of its own for each, which is traced once."""

    jit: bool
    dtype: Any
    shape: tuple[int, ...]


def way_for(what: Program | Rule, arrays: Arrays) -> Way | None:
    """How to compile; None where that is not to be done.

    Somebody builds a graph, or differentiates forward: through a function, second derivatives would be a silent 0. Or
    every element is its own: XLA rounds that otherwise than TensorFlow does (sigmoid(0) is not 0.5), for little gain.
    """
    if not tf.executing_eagerly() or pack_tangents(arrays).tangents or _is_of_elements(what):
        return None
    logits = arrays[0]
    way = Way(True, logits.dtype, tuple(logits.shape))
    key = (what, way)
    if key in _compiled:
        return way
    if key in _met and len(_compiled) < MOST:
        _compiled.add(key)
        return way
    _met[key] = None
    _met.move_to_end(key)
    if len(_met) > REMEMBERED:
        _met.popitem(last=False)
    return Way(False, logits.dtype, way.shape[1:])


def _is_of_elements(what: Program | Rule) -> bool:
    return isinstance((what.rule if isinstance(what, Program) else what).options, SigmoidOptions)


@lru_cache(maxsize=256)
def function(backend: Any, formula: Callable[..., Any], what: Program | Rule, way: Way) -> Callable[..., Any]:
    """``formula(backend, what, ...)`` as a tf.function."""
    options: dict[str, Any] = {"jit_compile": True} if way.jit else {"reduce_retracing": True}
    # Not a closure: TensorFlow warns of tracing one code too often, whosever function it is in.
    compiled: Callable[..., Any] = tf.function(partial(formula, backend, what), autograph=False, **options)
    return compiled


@tf.autograph.experimental.do_not_convert
def run(backend: Any, program: Program, logits: Array, constants: Arrays, weights: Arrays) -> Array:
    """A program of labels: its value and its gradient are a function each."""
    if graphs.applies(program, logits):
        return graphs.run(backend, program, logits, constants, weights)
    if reading.is_small(logits):
        forward: Callable[..., Pair] = reading.value_and_pull_back
    else:
        way = way_for(program, (logits,))
        if way is None:
            return program(backend, (logits,), constants, weights)
        forward = partial(_in_functions, way)

    @tf.custom_gradient
    def attached(x: Array) -> Pair:
        value, gradient_for = forward(backend, program, x, constants, weights)

        def whole(x: Array, cotangent: Array) -> Array:
            # What is kept counts as constant, so what differentiates a gradient takes it all from the beginning.
            return program.pull_back(backend, (x,), constants, weights, cotangent)

        @tf.custom_gradient
        def pull_back(x: Array, cotangent: Array) -> Pair:
            def again(upstream: Array) -> Any:
                with tf.GradientTape() as tape:
                    tape.watch((x, cotangent))
                    gradient = whole(x, cotangent)
                return tape.gradient(gradient, (x, cotangent), upstream)

            return gradient_for(x, cotangent), again

        def pulled(cotangent: Array) -> Array:
            return (whole if _is_watched(x, cotangent) else pull_back)(x, cotangent)

        return value, pulled

    return attached(logits)


def _is_watched(*tensors: Array) -> bool:
    """Whether somebody differentiates forward, or looks on: a graph, or pfor."""
    return any(tf.is_symbolic_tensor(t) for t in tensors) or bool(pack_tangents(tensors).tangents)


def _in_functions(way: Way, backend: Any, program: Program, x: Array, constants: Arrays, weights: Arrays) -> Pair:
    value, kept = function(backend, _value_keeping, program, way)((x,), constants, weights)
    pull_back = function(backend, _program_gradient, program, way)
    return value, lambda x, cotangent: pull_back((x,), constants, weights, cotangent, kept)


def _value_keeping(backend: Any, program: Program, *parts: Any) -> Any:
    return program.value_keeping(backend, *parts)


def _program_gradient(backend: Any, program: Program, *parts: Any) -> Array:
    return program.pull_back(backend, *parts)


@tf.autograph.experimental.do_not_convert
def attach(backend: Any, rule: Rule, arrays: Arrays, constants: Arrays) -> Arrays:
    """The outputs of a rule with its derivative, compiled or not."""
    arrays = tuple(tf.convert_to_tensor(array) for array in arrays)
    way = way_for(rule, arrays)

    @tf.custom_gradient
    def attached(*given: Array) -> tuple[Arrays, Callable[..., Any]]:
        def pull_back(*cotangents: Array) -> Any:
            if way is None or _is_watched(*given, *cotangents):
                return _rule_gradients(backend, rule, given, constants, cotangents)
            return _pulled(backend, rule, way, given, constants, cotangents)

        if way is None:
            return rule.run(backend, given, constants), pull_back
        return function(backend, _rule_outputs, rule, way)(given, constants), pull_back

    outputs: Arrays = attached(*arrays)
    return outputs


def _rule_outputs(backend: Any, rule: Rule, arrays: Arrays, constants: Arrays) -> Arrays:
    return rule.run(backend, arrays, constants)


def _rule_gradients(
    backend: Any, rule: Rule, arrays: Arrays, constants: Arrays, cotangents: Arrays
) -> list[Array | None]:
    return list(rule.pull_back(backend, arrays, constants, cotangents, tuple(True for _ in arrays)))


def _pulled(backend: Any, rule: Rule, way: Way, arrays: Arrays, constants: Arrays, cotangents: Arrays) -> Any:
    count = len(arrays)

    @tf.custom_gradient
    def pulled(*flat: Array) -> tuple[Any, Callable[..., Any]]:
        def again(*upstream: Array) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(flat)
                whole = _rule_gradients(backend, rule, flat[:count], constants, flat[count:])
            return tape.gradient(whole, flat, upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        return function(backend, _rule_gradients, rule, way)(flat[:count], constants, flat[count:]), again

    return pulled(*arrays, *cotangents)
