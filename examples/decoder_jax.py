"""Train a small decoder in JAX, with optax's loss of the logits or with xentropy's linear loss.

Without an argument, the linear one: python examples/decoder_jax.py [--loss dense]
"""

from __future__ import annotations

from functools import partial

import decoder
import jax
import jax.numpy as jnp
import numpy as np
import optax
import typer

import xentropy

optimizer = optax.sgd(decoder.LEARNING_RATE)


def normalised(x: jax.Array, scale: jax.Array) -> jax.Array:
    """Layer normalisation without an offset."""
    return jax.nn.standardize(x, axis=-1, epsilon=decoder.EPSILON) * scale


def attention(x: jax.Array, query: jax.Array, key: jax.Array, value: jax.Array, output: jax.Array) -> jax.Array:
    """Of every token to those before it, and to itself."""
    query, key, value = ((x @ matrix).reshape(*x.shape[:2], decoder.HEADS, -1) for matrix in (query, key, value))
    return jax.nn.dot_product_attention(query, key, value, is_causal=True).reshape(x.shape) @ output


def hidden_states(weights: decoder.Weights, tokens: jax.Array) -> jax.Array:
    """Of shape (batch, length, width), of tokens (batch, length)."""
    x = weights.embedding[tokens] + jax.lax.stop_gradient(weights.positions)
    for first, *matrices, second, up, down in weights.layers:
        x = x + attention(normalised(x, first), *matrices)
        x = x + jax.nn.relu(normalised(x, second) @ up) @ down
    return normalised(x, weights.scale)


def mean_loss(weights: decoder.Weights, tokens: jax.Array, targets: jax.Array, loss: decoder.Loss) -> jax.Array:
    """In nats a token; the head is the embedding."""
    hidden, head = hidden_states(weights, tokens), weights.embedding
    if loss == "linear":
        return xentropy.linear_cross_entropy(hidden, head, targets)
    return optax.softmax_cross_entropy_with_integer_labels(hidden @ head.T, targets).mean()


@partial(jax.jit, static_argnames="loss", donate_argnums=(0, 1))
def update(
    weights: decoder.Weights, state: optax.OptState, tokens: jax.Array, targets: jax.Array, loss: decoder.Loss
) -> tuple[decoder.Weights, optax.OptState, jax.Array]:
    """One step of the optimiser, in the memory of the weights."""
    value, gradients = jax.value_and_grad(mean_loss)(weights, tokens, targets, loss)
    updates, state = optimizer.update(gradients, state)
    return optax.apply_updates(weights, updates), state, value


def main(loss: decoder.Loss = "linear", batch: int = decoder.BATCH, steps: int = decoder.STEPS) -> None:
    """Train, print, write."""
    weights = jax.tree.map(jnp.array, decoder.first_weights())
    state = optimizer.init(weights)

    def step(tokens: np.ndarray, targets: np.ndarray) -> float:
        nonlocal weights, state
        weights, state, value = update(weights, state, tokens, targets, loss)
        return float(value)

    decoder.train("jax", loss, batch, steps, step)


if __name__ == "__main__":
    typer.run(main)
