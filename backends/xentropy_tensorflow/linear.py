"""Linear losses: by NumPy in TensorFlow's memory where values are at hand, elsewhere by the graph's own operations.

In both, gradients are computed along with the value where a tape is watching.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager.forwardprop_util import pack_tangents
from tensorflow.python.eager.record import should_record_backprop

from xentropy.backend import quiet
from xentropy.linear import LinearProgram, LinearRule
from xentropy.rule import Arrays, Needs, rounded
from xentropy_numpy.backend import NumpyBackend
from xentropy_tensorflow import reading

Array = Any
Pair = tuple[Array, Callable[..., Any]]

# What TensorFlow's kernels ask of the memory of a tensor.
ALIGNMENT = 64


class AlignedBackend(NumpyBackend):
    """NumPy, with sums in memory that TensorFlow takes over as it is: a copy would be as large as all the weights."""

    def zeros_like(self, x: Array) -> Array:
        """Zeros at an address that TensorFlow can compute with."""
        memory = np.zeros(x.size + ALIGNMENT // x.itemsize, x.dtype)
        start = -memory.ctypes.data % ALIGNMENT // x.itemsize
        return memory[start : start + x.size].reshape(x.shape)


_numpy = AlignedBackend()


@dataclass(frozen=True)
class _Loss:
    """What is computed: a program's value together with its gradients, or the losses of a rule's rows.

    Attributes:
        what: the one or the other.
        constants: of the rule.
        weights: of the program.
        needs: which arrays a tape is watching.
    """

    what: LinearProgram | LinearRule
    constants: Arrays
    weights: Arrays
    needs: Needs

    def run(self, backend: Any, arrays: Arrays) -> tuple[Array, Arrays | None]:
        """The result, and what its gradients are multiples of."""
        if isinstance(self.what, LinearRule):
            return self.what.run(backend, arrays, self.constants)[0], None
        found: tuple[Array, Arrays]
        found = self.what.value_and_gradient(backend, arrays, self.constants, self.weights, self.needs)
        return found

    def pull_back(self, backend: Any, arrays: Arrays, cotangent: Array) -> list[Array | None]:
        """The gradients, by operations that TensorFlow differentiates where they are its own."""
        if isinstance(self.what, LinearRule):
            return list(self.what.pull_back(backend, arrays, self.constants, (cotangent,), self.needs))
        return list(self.what.pull_back_all(backend, arrays, self.constants, self.weights, cotangent, self.needs))

    def of_numpy(self) -> _Loss:
        """The same with TensorFlow's memory as NumPy sees it."""
        constants, weights = reading.to_numpy((self.constants, self.weights))
        return replace(self, constants=constants, weights=weights)


@tf.autograph.experimental.do_not_convert
def run(backend: Any, program: LinearProgram, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
    """The program, in one pass, forward and back, where it is a scalar and a tape is watching what is multiplied."""
    rule: Any = program.rule
    needs = tuple(bool(should_record_backprop([array])) for array in arrays)
    # Probabilities go into the denominator too, and rows have a cotangent each, which comes later than the value.
    in_one = program.reduction != "none" and any(needs) and not any(needs[rule.shared :])
    if not in_one or pack_tangents(arrays).tangents:
        return program(backend, arrays, constants, weights)
    if not tf.executing_eagerly():
        # A tape outside of the graph may be watching what comes in, and is not seen from here.
        needs = (True,) * rule.shared + needs[rule.shared :]
    return _attached(backend, _Loss(program, constants, weights, needs), arrays)


@tf.autograph.experimental.do_not_convert
def attach(backend: Any, rule: LinearRule, arrays: Arrays, constants: Arrays) -> Arrays:
    """The losses of all rows, with their derivative."""
    if pack_tangents(arrays).tangents:
        return rule.recorded(backend, arrays, constants)
    # Whoever differentiates a graph from outside has not said by what.
    needs = tuple(not tf.executing_eagerly() or bool(should_record_backprop([array])) for array in arrays)
    return (_attached(backend, _Loss(rule, constants, (), needs), arrays),)


def _attached(backend: Any, loss: _Loss, arrays: Arrays) -> Array:
    if tf.executing_eagerly() and reading.is_in_reach((arrays, loss.constants, loss.weights)):
        return _by_numpy(backend, loss, arrays)

    @tf.custom_gradient
    def attached(*given: Array) -> Pair:
        value, kept = loss.run(backend, given)

        def pulled(cotangent: Array) -> list[Array | None]:
            if kept is None:
                return loss.pull_back(backend, given, cotangent)
            scaled = (g if g is None else g * tf.cast(cotangent, g.dtype) for g in kept)
            return [g if g is None else rounded(backend, g, a.dtype) for g, a in zip(scaled, given, strict=True)]

        return value, pulled

    return attached(*arrays)


def _by_numpy(backend: Any, loss: _Loss, arrays: Arrays) -> Array:
    @tf.custom_gradient
    def attached(*given: Array) -> Pair:
        read, (values,) = loss.of_numpy(), reading.to_numpy((given,))
        with quiet():
            value, kept = read.run(_numpy, values)

        def gradients(cotangent: Array) -> Arrays:
            factor = cotangent.numpy()
            with quiet():
                if kept is None:
                    return tuple(read.pull_back(_numpy, values, factor))
                scaled = (g if g is None or factor == 1.0 else g * factor for g in kept)
                pairs: Any = zip(scaled, values, strict=True)
                return tuple(g if g is None else rounded(_numpy, g, a.dtype) for g, a in pairs)

        def pulled(cotangent: Array) -> Any:
            # Gathered losses have slices for theirs.
            cotangent = tf.convert_to_tensor(cotangent)
            if tf.is_symbolic_tensor(cotangent) or pack_tangents([*given, cotangent]).tangents:
                return loss.pull_back(backend, given, cotangent)
            return _differentiable(backend, loss, gradients, given, cotangent)

        return tf.constant(value), pulled

    result: Array = attached(*arrays)
    return result


def _differentiable(
    backend: Any, loss: _Loss, gradients: Callable[[Array], Arrays], given: Arrays, cotangent: Array
) -> list[Array | None]:
    """The gradients by NumPy; their own derivative is that of TensorFlow's operations."""

    @tf.custom_gradient
    def pulled(*flat: Array) -> tuple[list[Array], Callable[..., Any]]:
        def again(*upstream: Array) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(flat)
                found = [g for g in loss.pull_back(backend, flat[:-1], flat[-1]) if g is not None]
            return tape.gradient(found, flat, upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        return [_tensor(g) for g in gradients(flat[-1]) if g is not None], again

    found = iter(pulled(*given, cotangent))
    return [next(found) if need else None for need in loss.needs]


def _tensor(g: np.ndarray[Any, Any]) -> Array:
    """The gradient in the memory that it has, where TensorFlow can have it there."""
    shared = g.ctypes.data % ALIGNMENT == 0 and g.flags.c_contiguous and g.dtype == np.float32 and g.size
    return tf.experimental.dlpack.from_dlpack(g.__dlpack__()) if shared else tf.constant(g)
