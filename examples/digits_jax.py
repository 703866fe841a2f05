"""Train a small classifier of handwritten digits in JAX, with optax's optimiser and xentropy's loss."""

from __future__ import annotations

import digits
import jax
import jax.numpy as jnp
import optax

from xentropy_jax import softmax_cross_entropy_with_integer_labels

optimizer = optax.sgd(digits.LEARNING_RATE, momentum=digits.MOMENTUM)


def logits_of(weights: list[jax.Array], x: jax.Array) -> jax.Array:
    """64 pixels, one hidden layer, 10 logits."""
    hidden_weight, hidden_bias, output_weight, output_bias = weights
    return jnp.tanh(x @ hidden_weight + hidden_bias) @ output_weight + output_bias


def mean_loss(weights: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
    """The mean over the batch of one loss an image, in nats."""
    return softmax_cross_entropy_with_integer_labels(logits_of(weights, x), y).mean()


@jax.jit
def step(
    weights: list[jax.Array], state: optax.OptState, x: jax.Array, y: jax.Array
) -> tuple[list[jax.Array], optax.OptState, jax.Array]:
    """One step of the optimiser."""
    loss, gradients = jax.value_and_grad(mean_loss)(weights, x, y)
    updates, state = optimizer.update(gradients, state)
    return optax.apply_updates(weights, updates), state, loss


def main() -> None:
    """Train, evaluate, write the curve."""
    training, (pixels, labels) = digits.load()
    weights = [jnp.asarray(first) for first in digits.first_weights()]
    state = optimizer.init(weights)

    losses = []
    for x, y in digits.batches(*training):
        weights, state, loss = step(weights, state, x, y)
        losses.append(float(loss))

    guesses = logits_of(weights, pixels).argmax(axis=1)
    digits.report("jax", f"JAX {jax.__version__}", losses, float((guesses == labels).mean()))


if __name__ == "__main__":
    main()
