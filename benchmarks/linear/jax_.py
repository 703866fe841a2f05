"""JAX: jitted, and called as it is, beside optax's loss of all the logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import optax

import xentropy
from benchmarks.contender import BACKWARD, OURS, Contender, Loss, Step
from benchmarks.linear.cases import IGNORED, LinearCase

PACKAGES = ("jax", "jaxlib", "optax")
MODES = ("jit", "un-jitted")
KEEPS = False


def _ours(case: LinearCase) -> Loss:
    return partial(xentropy.linear_cross_entropy, **case.options)


def _optax(case: LinearCase) -> Loss:
    def dense(h: jax.Array, w: jax.Array, y: jax.Array) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(h @ w.T, y).mean()

    def masked(h: jax.Array, w: jax.Array, y: jax.Array) -> jax.Array:
        kept = y != IGNORED
        losses = optax.softmax_cross_entropy_with_integer_labels(h @ w.T, jnp.where(kept, y, 0))
        return jnp.where(kept, losses, 0).sum() / kept.sum()

    return masked if case.ignored else dense


@lru_cache(maxsize=1)
def _inputs(case: LinearCase) -> tuple[jax.Array, jax.Array, jax.Array]:
    hidden, weight, labels = case.arrays()
    return jnp.asarray(hidden, case.dtype), jnp.asarray(weight, case.dtype), jnp.asarray(labels)


def _builder(pick: Callable[[LinearCase], Loss], mode: str) -> Callable[[LinearCase], Step]:
    def build(case: LinearCase) -> Step:
        inputs = _inputs(case)
        step = jax.value_and_grad(pick(case), (0, 1))
        if mode == "jit":
            step = jax.jit(step).lower(*inputs).compile()
        return lambda: jax.block_until_ready(step(*inputs))

    return build


def contenders() -> Iterator[Contender]:
    """Everybody, mode by mode."""
    for mode in MODES:
        for who, pick in ((OURS, _ours), ("optax", _optax)):
            yield Contender(who, mode, BACKWARD, _builder(pick, mode))
