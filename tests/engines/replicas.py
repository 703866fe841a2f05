"""TensorFlow: a part a replica of a MirroredStrategy, on logical devices of the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

import xentropy
from engines import Whole, cut, slices

MOST = 4


def divide_cpu() -> None:
    """Into as many logical devices as there are parts; only before TensorFlow computes anything."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * MOST)


@cache
def strategy(parts: int) -> Any:
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(parts)])


def run(fn: Callable[[int, Any], Any], parts: int, *, graph: bool = False, autograph: bool = False) -> list[Any]:
    """fn(part, group) in every replica, eagerly or in a tf.function; all that it returned, in NumPy's arrays."""

    def replica() -> Any:
        group = tf.distribute.get_replica_context()
        return fn(int(tf.get_static_value(group.replica_id_in_sync_group)), group)

    def step() -> Any:
        return strategy(parts).run(replica)

    found = tf.function(step, autograph=autograph)() if graph else step()
    return [tf.nest.map_structure(lambda x, i=i: _local(x, i), found) for i in range(parts)]


def _local(x: Any, part: int) -> Any:
    local = strategy(2).experimental_local_results(x)
    return local[part if len(local) > 1 else 0].numpy()


def evaluate(
    arrays: Mapping[str, np.ndarray[Any, Any]],
    static: Mapping[str, Any],
    parts: int,
    wrt: tuple[str, ...],
    *,
    graph: bool = False,
) -> Whole:
    """See ``engines.Engine``."""
    where = slices(arrays["logits"].shape[-1], parts)

    def one(part: int, group: Any) -> Any:
        given = {name: tf.constant(np.ascontiguousarray(a)) for name, a in cut(arrays, where[part]).items()}
        with tf.GradientTape() as tape:
            tape.watch([given[name] for name in wrt])
            loss = xentropy.cross_entropy(**given, **static, group=group)
        return loss, tape.gradient(loss, [given[name] for name in wrt])

    found = run(one, parts, graph=graph)
    for value, _ in found:
        np.testing.assert_array_equal(value, found[0][0])
    gradients = zip(*(gradients for _, gradients in found), strict=True)
    return Whole(found[0][0], tuple(np.concatenate(part, axis=-1) for part in gradients))
