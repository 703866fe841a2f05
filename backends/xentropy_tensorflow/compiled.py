"""Programs compiled by XLA wherever their shapes come again, and differentiated outside of it.

At 1024 x 32,000, forward and backward, an eager program takes 160 ms, a tf.function 78, tf.nn 84, this 30 to 36. What has to
be known for the gradient is handed out of the forward function, a few numbers a row: left to TensorFlow, the logits
themselves would come out too, as a copy, and it would be 67 ms.

XLA compiles for every shape anew, which takes half a second and which tf.nn never does. So a shape is compiled for when
it is met for the second time, up to ``MOST`` of them; until then, and where a graph doesn't know its sizes, a tf.function
that takes any number of rows does it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import tensorflow as tf

from xentropy.program import AnyProgram, Program
from xentropy.rule import Arrays

Array = Any

MOST = 32
SMALL = 1 << 18
_seen: dict[tuple[AnyProgram, _Way], int] = {}


def run(backend: Any, program: AnyProgram, arrays: Arrays, constants: Arrays, weights: Arrays) -> Any:
    """``program(backend, arrays, constants, weights)``."""
    way = _way(program, arrays[0])
    if way is None:
        return program(backend, arrays, constants, weights)
    if isinstance(program, Program) and len(arrays) == 1 and not _is_small(arrays[0]):
        return _differentiated(backend, program, way, arrays[0], constants, weights)
    return _function(backend, program.__call__, way)(arrays, constants, weights)


def _is_small(logits: Array) -> bool:
    """Whether a copy of the logits costs less than the calls that avoid it: 0.3 ms of them, eagerly."""
    return tf.executing_eagerly() and logits.shape.num_elements() <= SMALL


class _Way(NamedTuple):
    """By XLA or not, and for which dtype and shape: a tf.function of its own for each, which is traced once."""

    jit: bool
    dtype: Any
    shape: tuple[int, ...]


def _way(program: AnyProgram, logits: Array) -> _Way | None:
    """How to compile; None where a graph is being built whose sizes nobody knows, which is better left to its builder."""
    if not tf.executing_eagerly():
        return _Way(True, logits.dtype, tuple(logits.shape)) if logits.shape.is_fully_defined() else None
    way = _Way(True, logits.dtype, tuple(logits.shape))
    times = _seen.get((program, way), 0)
    if times == 0 and len(_seen) >= MOST:
        return _Way(False, logits.dtype, way.shape[1:])
    _seen[program, way] = times + 1
    return way if times else _Way(False, logits.dtype, way.shape[1:])


@lru_cache(maxsize=1024)
def _function(backend: Any, function: Callable[..., Any], way: _Way) -> Callable[..., Any]:
    # Not a closure: TensorFlow warns of tracing one code too often, whosever function it is in.
    call = partial(function, backend)
    options: dict[str, Any] = {"jit_compile": True} if way.jit else {"reduce_retracing": True}
    compiled: Callable[..., Any] = tf.function(call, autograph=False, **options)
    return compiled


def _differentiated(
    backend: Any, program: Program, way: _Way, logits: Array, constants: Arrays, weights: Arrays
) -> Array:
    """A program of labels: its value and its gradient are a function each."""

    @tf.custom_gradient
    def attached(x: Array) -> tuple[Array, Callable[[Array], Array]]:
        value, kept = _function(backend, program.value_keeping, way)((x,), constants, weights)

        @tf.custom_gradient
        def pull_back(x: Array, cotangent: Array) -> tuple[Array, Callable[[Array], Any]]:
            gradient = _function(backend, program.pull_back, way)((x,), constants, weights, cotangent, kept)

            def again(upstream: Array) -> Any:
                # What is kept counts as constant, so a derivative of the gradient takes it all from the beginning.
                with tf.GradientTape() as tape:
                    tape.watch((x, cotangent))
                    whole = program.pull_back(backend, (x,), constants, weights, cotangent)
                return tape.gradient(whole, (x, cotangent), upstream)

            return gradient, again

        return value, lambda cotangent: pull_back(x, cotangent)

    return attached(tf.convert_to_tensor(logits))
