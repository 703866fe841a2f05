"""TensorFlow: eager, tf.function and XLA, beside tf.nn's loss of all the logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import tensorflow as tf

import xentropy
from benchmarks.contender import BACKWARD, OURS, Contender, Loss, Step
from benchmarks.linear.cases import IGNORED, LinearCase

PACKAGES = ("tensorflow",)
MODES = ("eager", "tf.function", "XLA")
# Its allocator does: after a dense step of 1024 x 512 x 32,000, 332 MB of 350.
KEEPS = True


def _ours(case: LinearCase) -> Loss:
    return partial(xentropy.linear_cross_entropy, **case.options)


def _tf_nn(case: LinearCase) -> Loss:
    def rows(h: Any, w: Any, y: Any) -> Any:
        logits = tf.matmul(h, w, transpose_b=True)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)

    def masked(h: Any, w: Any, y: Any) -> Any:
        kept = y != IGNORED
        losses = tf.where(kept, rows(h, w, tf.where(kept, y, 0)), 0.0)
        return tf.reduce_sum(losses) / tf.reduce_sum(tf.cast(kept, losses.dtype))

    return masked if case.ignored else (lambda h, w, y: tf.reduce_mean(rows(h, w, y)))


@lru_cache(maxsize=1)
def _inputs(case: LinearCase) -> tuple[Any, Any, Any]:
    hidden, weight, labels = case.arrays()
    # Converted by NumPy: TensorFlow would keep the memory of what it converts, and compute in it later.
    dtype = tf.as_dtype(case.dtype).as_numpy_dtype
    return tf.constant(hidden.astype(dtype)), tf.constant(weight.astype(dtype)), tf.constant(labels)


def _builder(pick: Callable[[LinearCase], Loss], mode: str) -> Callable[[LinearCase], Step]:
    def build(case: LinearCase) -> Step:
        inputs, loss = _inputs(case), pick(case)

        def differentiated(h: Any, w: Any, y: Any) -> tuple[Any, Any]:
            with tf.GradientTape() as tape:
                tape.watch([h, w])
                value = loss(h, w, y)
            return value, tape.gradient(value, [h, w])

        if mode == "eager":
            return lambda: differentiated(*inputs)
        step = tf.function(differentiated, jit_compile=mode == "XLA").get_concrete_function(*inputs)
        return lambda: step(*inputs)

    return build


def contenders() -> Iterator[Contender]:
    """Everybody, mode by mode."""
    for mode in MODES:
        for who, pick in ((OURS, _ours), ("tf.nn", _tf_nn)):
            yield Contender(who, mode, BACKWARD, _builder(pick, mode))
