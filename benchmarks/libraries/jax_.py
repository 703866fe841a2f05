"""JAX: jitted, and called as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import optax

import xentropy_jax
from benchmarks.cases import SMOOTHING, Case
from benchmarks.contender import DROP_IN, FORWARD, OURS, Contender, Loss, Step, line_up, ours

PACKAGES = ("jax", "jaxlib", "optax")
MODES = ("jit", "un-jitted")


def _with(module: Any) -> Callable[[Case], Loss]:
    """The mean of what a module with optax's names has for a case."""

    def pick(case: Case) -> Loss:
        if case.kind == "binary":
            return lambda x, t: module.sigmoid_binary_cross_entropy(x, t).mean()
        if case.kind == "labels":
            return lambda x, t: module.softmax_cross_entropy_with_integer_labels(x, t).mean()
        if case.kind == "soft":
            return lambda x, t: module.softmax_cross_entropy(x, t).mean()

        def smoothed(x: jax.Array, t: jax.Array) -> jax.Array:
            spread = optax.smooth_labels(jax.nn.one_hot(t, x.shape[-1], dtype=x.dtype), SMOOTHING)
            return module.softmax_cross_entropy(x, spread).mean()

        return smoothed

    return pick


@lru_cache(maxsize=1)
def _inputs(case: Case) -> tuple[jax.Array, jax.Array]:
    x = jnp.asarray(case.logits()).astype(case.dtype)
    t = jnp.asarray(case.targets())
    return x, t if case.indexed else t.astype(x.dtype)


def _builder(pick: Callable[[Case], Loss], mode: str, direction: str) -> Callable[[Case], Step]:
    def build(case: Case) -> Step:
        x, t = _inputs(case)
        step = pick(case) if direction == FORWARD else jax.value_and_grad(pick(case))
        if mode == "jit":
            step = jax.jit(step)
        return lambda: jax.block_until_ready(step(x, t))

    return build


def _floor(_mode: str, direction: str) -> Callable[[Case], Step]:
    def build(case: Case) -> Step:
        x, _ = _inputs(case)
        step = jax.jit(jnp.sum if direction == FORWARD else jnp.negative)
        return lambda: jax.block_until_ready(step(x))

    return build


def contenders() -> Iterator[Contender]:
    """Everybody, mode by mode."""
    return line_up(MODES, {OURS: ours, DROP_IN: _with(xentropy_jax), "optax": _with(optax)}, _builder, _floor)
