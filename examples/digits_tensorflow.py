"""Train a small classifier of handwritten digits in TensorFlow, with a GradientTape and xentropy's loss."""

from __future__ import annotations

import digits
import tensorflow as tf

from xentropy_tensorflow import sparse_softmax_cross_entropy_with_logits


def logits_of(weights: list[tf.Variable], x: tf.Tensor) -> tf.Tensor:
    """64 pixels, one hidden layer, 10 logits."""
    hidden_weight, hidden_bias, output_weight, output_bias = weights
    return tf.tanh(x @ hidden_weight + hidden_bias) @ output_weight + output_bias


@tf.function
def step(weights: list[tf.Variable], velocities: list[tf.Variable], x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """One step of gradient descent with momentum; returns the mean loss of the batch, in nats."""
    with tf.GradientTape() as tape:
        losses = sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits_of(weights, x))
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, weights)
    for weight, velocity, gradient in zip(weights, velocities, gradients, strict=True):
        velocity.assign(digits.MOMENTUM * velocity + gradient)
        weight.assign_sub(digits.LEARNING_RATE * velocity)
    return loss


def main() -> None:
    """Train, evaluate, write the curve."""
    training, (pixels, labels) = digits.load()
    weights = [tf.Variable(first) for first in digits.first_weights()]
    velocities = [tf.Variable(tf.zeros_like(weight)) for weight in weights]

    losses = []
    for x, y in digits.batches(*training):
        loss = step(weights, velocities, tf.constant(x), tf.constant(y))
        losses.append(float(loss))

    guesses = tf.argmax(logits_of(weights, pixels), axis=1).numpy()
    digits.report("tensorflow", f"TensorFlow {tf.__version__}", losses, float((guesses == labels).mean()))


if __name__ == "__main__":
    main()
