"""TensorFlow: eager, tf.function and XLA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import tensorflow as tf

import xentropy_tensorflow
from benchmarks.cases import SMOOTHING, Case
from benchmarks.contender import DROP_IN, FORWARD, OURS, Contender, Loss, Step, line_up, ours

PACKAGES = ("tensorflow",)
MODES = ("eager", "tf.function", "XLA")


def _with(module: Any) -> Callable[[Case], Loss]:
    """The mean of what a module with tf.nn's names has for a case."""

    def pick(case: Case) -> Loss:
        if case.kind == "labels":
            return lambda x, t: tf.reduce_mean(module.sparse_softmax_cross_entropy_with_logits(labels=t, logits=x))
        if case.kind == "binary":
            return lambda x, t: tf.reduce_mean(module.sigmoid_cross_entropy_with_logits(labels=t, logits=x))
        if case.kind == "soft":
            return lambda x, t: tf.reduce_mean(module.softmax_cross_entropy_with_logits(labels=t, logits=x))

        def smoothed(x: Any, t: Any) -> Any:
            classes = x.shape[-1]
            low = SMOOTHING / classes
            spread = tf.one_hot(t, classes, 1.0 - SMOOTHING + low, low, dtype=x.dtype)
            return tf.reduce_mean(module.softmax_cross_entropy_with_logits(labels=spread, logits=x))

        return smoothed

    return pick


@lru_cache(maxsize=1)
def _inputs(case: Case) -> tuple[Any, Any]:
    x = tf.cast(tf.constant(case.logits()), case.dtype)
    t = tf.constant(case.targets())
    return x, t if case.indexed else tf.cast(t, x.dtype)


def _in_mode(step: Callable[..., Any], mode: str) -> Callable[..., Any]:
    return step if mode == "eager" else tf.function(step, jit_compile=mode == "XLA")


def _builder(pick: Callable[[Case], Loss], mode: str, direction: str) -> Callable[[Case], Step]:
    def build(case: Case) -> Step:
        x, t = _inputs(case)
        loss = pick(case)

        def differentiated(x: Any, t: Any) -> tuple[Any, Any]:
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = loss(x, t)
            return value, tape.gradient(value, x)

        step = _in_mode(loss if direction == FORWARD else differentiated, mode)
        return lambda: step(x, t)

    return build


def _floor(mode: str, direction: str) -> Callable[[Case], Step]:
    def build(case: Case) -> Step:
        x, _ = _inputs(case)
        step = _in_mode(tf.reduce_sum if direction == FORWARD else tf.negative, mode)
        return lambda: step(x)

    return build


def contenders() -> Iterator[Contender]:
    """Everybody, mode by mode."""
    return line_up(MODES, {OURS: ours, DROP_IN: _with(xentropy_tensorflow), "tf.nn": _with(tf.nn)}, _builder, _floor)
