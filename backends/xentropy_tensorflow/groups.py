"""Classes in several replicas of a ``tf.distribute.Strategy``: their exchanges, and a loss that has one in its forward.

Replicas meet in ``merge_call``, where each can be given what all have; no reduction of TensorFlow's would do, which are
by sum and by mean. A replica's tape ends there, so that the derivative of an exchange is told here: what all replicas
hold alike has the same cotangent in each.

Replicas that meet have to meet for the same thing. A tape calls derivatives in an order of its own, which need not be
that of another replica's, as of one that has no classes. So exchanges are never left to a tape: where a function that
has some is differentiated, it is cut at each of them (``_Cuts``), and the pieces are gone back through in order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf
from tensorflow.python.eager.forwardprop_util import pack_tangents
from tensorflow.python.eager.record import should_record_backprop, stop_recording

Array = Any
Arrays = tuple[Array, ...]
# Of a backend, or what stands for one, and of arrays.
Function = Callable[..., Arrays]


class _Said:
    """What a replica brings to a meeting; an object of its own, for TensorFlow makes one of equal ones.

    Attributes:
        what: what it comes for, which must be the same for all.
        value: a tensor or a Python object.
    """

    def __init__(self, what: str, value: Any) -> None:
        self.what, self.value = what, value


def _checked(group: Any) -> Any:
    if not isinstance(group, tf.distribute.ReplicaContext):
        raise TypeError(
            "group must be what tf.distribute.get_replica_context() returns in Strategy.run, got "
            f"{type(group).__name__}"
        )
    if tf.distribute.get_replica_context() is not group:
        raise RuntimeError(
            "group: this is not the replica whose context it is. A loss with a group is computed inside Strategy.run, "
            "by each replica with its own context, and differentiated there: from outside, its derivative would depend "
            "on how the replicas' losses, which are the same, are put together"
        )
    return group


@tf.autograph.experimental.do_not_convert
def _merged(strategy: Any, said: Any) -> list[Any]:
    """In the cross-replica context: what all have brought."""
    met = strategy.experimental_local_results(said)
    if len(met) != strategy.num_replicas_in_sync:
        raise NotImplementedError(
            f"group: of {strategy.num_replicas_in_sync} replicas only {len(met)} are seen in this process; classes "
            f"can be in replicas of one process only, which {type(strategy).__name__} does not have here"
        )
    if len({one.what for one in met}) > 1:
        raise RuntimeError(
            f"group: the replicas do not do the same: one of them is at {met[0].what}, another at "
            f"{next(one.what for one in met if one.what != met[0].what)}"
        )
    return [one.value for one in met]


def _meet(group: Any, what: str, value: Any) -> list[Any]:
    found: list[Any] = _checked(group).merge_call(_merged, args=(_Said(what, value),))
    return found


def part(group: Any) -> Any:
    """Which part this replica has: an int where it is known, as it is but on a TPU."""
    index = _checked(group).replica_id_in_sync_group
    known = tf.get_static_value(index)
    return index if known is None else int(known)


def tell(message: bytes, group: Any) -> list[bytes]:
    """The messages of all replicas: these are Python, even while a graph is built."""
    return _meet(group, "the beginning of a loss", message)


def all_gather(x: Array, group: Any) -> Array:
    """What all replicas have, of shape (replicas, ...); not to be differentiated, but by ``attach``."""
    # Here, and not where they meet: on the device of this replica.
    return tf.stack(_meet(group, f"an exchange of {x.dtype.name} {x.shape}", x))


def all_sum(x: Array, group: Any) -> Array:
    """The sum over all replicas, in the same order in each; not to be differentiated, but by ``attach``."""
    return tf.add_n(_meet(group, f"a sum of {x.dtype.name} {x.shape}", x))


class _Cuts:
    """A backend that cuts a function where something is exchanged: what comes of an exchange is a new variable."""

    def __init__(self, backend: Any, tape: Any) -> None:
        self._backend, self._tape = backend, tape
        self._made: list[tuple[Array, Array, Callable[[Array], Array]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def all_gather(self, x: Array, group: Any) -> Array:
        """See ``Backend``; a replica's own share of the cotangent goes back, which is read off what all have alike."""

        def back(pull: Array) -> Array:
            return self._backend.spread(pull, group)[part(group)]

        return self._cut(x, self._backend.all_gather, group, back)

    def all_sum(self, x: Array, group: Any) -> Array:
        """See ``Backend``; the cotangent, which all have alike, goes back."""
        return self._cut(x, self._backend.all_sum, group, lambda pull: self._backend.spread(pull, group))

    def spread(self, x: Array, group: Any) -> Array:
        """See ``Backend``; the sum of all cotangents goes back."""
        return self._cut(x, self._backend.spread, group, lambda pull: self._backend.all_sum(pull, group))

    def _cut(self, x: Array, exchange: Callable[..., Array], group: Any, back: Callable[[Array], Array]) -> Array:
        with self._tape.stop_recording():
            found = tf.identity(exchange(x, group))
        self._tape.watch(found)
        self._made.append((x, found, back))
        return found

    def pull_back(self, outputs: Arrays, cotangents: Arrays, inputs: Arrays) -> Arrays:
        """The cotangents of the inputs, through one piece after the other, the last first."""
        targets, pulls = list(outputs), list(cotangents)
        for x, found, back in reversed(self._made):
            (pull,) = self._within(targets, pulls, (found,))
            targets.append(x)
            pulls.append(back(pull))
        return self._within(targets, pulls, inputs)

    def _within(self, targets: list[Array], pulls: list[Array], inputs: Arrays) -> Arrays:
        found = self._tape.gradient(targets, inputs, pulls, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return tuple(tf.convert_to_tensor(gradient) for gradient in found)


def _gradients(fn: Function, count: int, backend: Any, *flat: Array) -> Arrays:
    """The cotangents of a function's ``count`` arrays, given these and the cotangents of its outputs."""
    arrays, cotangents = flat[:count], flat[count:]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(arrays)
        cuts = _Cuts(backend, tape)
        outputs = fn(cuts, *arrays)
    return cuts.pull_back(outputs, cotangents, arrays)


def _differentiable(backend: Any, fn: Function, arrays: Arrays) -> Arrays:
    """``fn(backend, *arrays)``, of which every derivative exchanges what it needs."""

    @tf.custom_gradient
    def run(*given: Array) -> tuple[Arrays, Callable[..., Any]]:
        return fn(backend, *given), partial(_pulled, backend, fn, given)

    found: Arrays = run(*arrays)
    return found


def _pulled(backend: Any, fn: Function, given: Arrays, *upstream: Array) -> list[Array]:
    # The slices of a gathered gradient are one tensor here.
    cotangents = tuple(tf.convert_to_tensor(one) for one in upstream)
    return list(_differentiable(backend, partial(_gradients, fn, len(given)), (*given, *cotangents)))


@tf.autograph.experimental.do_not_convert
def run(backend: Any, program: Any, arrays: Arrays, constants: Arrays, weights: Arrays) -> Any:
    """The program, by the operations of whatever is running: replicas do not meet inside of another function."""
    if pack_tangents(arrays).tangents:
        raise NotImplementedError(
            "a loss with a group has gradients by tf.GradientTape, of any order; tf.autodiff.ForwardAccumulator has no "
            "rule for its exchange"
        )
    return program(backend, arrays, constants, weights)


@tf.autograph.experimental.do_not_convert
def attach(backend: Any, rule: Any, arrays: Arrays, constants: Arrays) -> Arrays:
    """The outputs of a ``ShardedRule``, with its gradient, for which nothing is exchanged anew."""
    arrays = tuple(tf.convert_to_tensor(array) for array in arrays)
    # Whoever differentiates a graph from outside has not said by what.
    needs = tuple(not tf.executing_eagerly() or bool(should_record_backprop([array])) for array in arrays)
    count = len(arrays)

    def whole(exchanging: Any, *flat: Array) -> Arrays:
        found = rule.pull_back(exchanging, flat[:count], constants, flat[count:], needs)
        return tuple(gradient for gradient in found if gradient is not None)

    @tf.custom_gradient
    def attached(*given: Array) -> tuple[Arrays, Callable[..., Any]]:
        # Unrecorded: a tape would hold on to every step, some as large as the logits.
        with stop_recording():
            outputs, kept = rule.run_keeping(backend, given, constants)

        @tf.custom_gradient
        def gradients(*flat: Array) -> tuple[list[Array], Callable[..., Any]]:
            with stop_recording():
                found = rule.pull_back(backend, flat[:count], constants, flat[count:], needs, kept)
            return [g for g in found if g is not None], partial(_pulled, backend, whole, flat)

        def pulled(*cotangents: Array) -> list[Array | None]:
            _checked(rule.group)
            found = iter(gradients(*given, *(tf.convert_to_tensor(one) for one in cotangents[:2])))
            return [next(found) if need else None for need in needs]

        return outputs, pulled

    outputs: Arrays = attached(*arrays)
    return outputs
