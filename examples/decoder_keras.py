"""Train a small decoder in Keras, with Keras's own loss of the logits or with xentropy's layer that is head and loss.

Without an argument, the layer: python examples/decoder_keras.py [--loss dense]

It runs on Keras's TensorFlow, or on what KERAS_BACKEND says.
"""

from __future__ import annotations

import decoder
import keras
import numpy as np
import typer
from keras.layers import Dense, Embedding, LayerNormalization, MultiHeadAttention

from xentropy_keras import LinearCrossEntropy


def normalised(x: keras.KerasTensor) -> keras.KerasTensor:
    """Layer normalisation without an offset."""
    return LayerNormalization(epsilon=decoder.EPSILON, center=False)(x)


def build(weights: decoder.Weights, loss: decoder.Loss) -> keras.Model:
    """A compiled model of tokens and targets, both (batch, length); the head is the embedding."""
    length, width = weights.positions.shape
    tokens, targets = keras.Input((length,), dtype="int32"), keras.Input((length,), dtype="int32")
    embedding = Embedding(len(weights.embedding), width)
    x = embedding(tokens) + weights.positions
    for _ in range(decoder.LAYERS):
        y = normalised(x)
        x = x + MultiHeadAttention(decoder.HEADS, width // decoder.HEADS, use_bias=False)(y, y, use_causal_mask=True)
        y = Dense(4 * width, activation="relu", use_bias=False)(normalised(x))
        x = x + Dense(width, use_bias=False)(y)
    hidden, head = normalised(x), LinearCrossEntropy(embedding=embedding)
    optimizer = keras.optimizers.SGD(decoder.LEARNING_RATE)
    if loss == "linear":
        model = keras.Model([tokens, targets], head(hidden, targets))
        model.compile(optimizer)
    else:
        model = keras.Model(tokens, head(hidden))
        model.compile(optimizer, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    first = [weights.embedding, *(array for layer in weights.layers for array in layer), weights.scale]
    model.set_weights([array.reshape(own.shape) for array, own in zip(first, model.weights, strict=True)])
    return model


def main(loss: decoder.Loss = "linear", batch: int = decoder.BATCH, steps: int = decoder.STEPS) -> None:
    """Train, print, write."""
    model = build(decoder.first_weights(), loss)

    def step(tokens: np.ndarray, targets: np.ndarray) -> float:
        model.reset_metrics()  # or the loss would be the mean of all steps
        given = ([tokens, targets],) if loss == "linear" else (tokens, targets)
        return float(model.train_on_batch(*given, return_dict=True)["loss"])

    decoder.train("keras", loss, batch, steps, step)


if __name__ == "__main__":
    typer.run(main)
