"""Train a small classifier of handwritten digits in Keras: compile, fit, save, load, evaluate, with xentropy's loss.

It runs on Keras's TensorFlow, or on what KERAS_BACKEND says: KERAS_BACKEND=jax python examples/digits_keras.py
"""

from __future__ import annotations

import digits
import keras

from xentropy_keras import SparseCategoricalCrossentropy


class LossOfEachBatch(keras.callbacks.Callback):
    """Collects the loss of every batch: Keras itself reports the mean since the epoch began."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Begin a new mean."""
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()  # on JAX, fit keeps the mean in a state of its own
        self.model.reset_metrics()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """The mean of one batch is its loss."""
        self.losses.append(float(logs["loss"]))


def main() -> None:
    """Train, save, load, evaluate, write the curve."""
    (x, y), held_out = digits.load()
    model = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(digits.HIDDEN, activation="tanh"), keras.layers.Dense(digits.CLASSES)]
    )
    model.set_weights(digits.first_weights())
    model.compile(
        optimizer=keras.optimizers.SGD(digits.LEARNING_RATE, momentum=digits.MOMENTUM),
        loss=SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    curve = LossOfEachBatch()
    model.fit(x, y, batch_size=digits.BATCH, epochs=digits.EPOCHS, shuffle=False, callbacks=[curve], verbose=0)

    digits.RUNS.mkdir(exist_ok=True)
    model.save(digits.RUNS / "digits.keras")
    reloaded = keras.models.load_model(digits.RUNS / "digits.keras")
    loss, accuracy = reloaded.evaluate(*held_out, verbose=0)
    if [loss, accuracy] != model.evaluate(*held_out, verbose=0):
        raise SystemExit("the reloaded model evaluates otherwise than the saved one")
    digits.report("keras", f"Keras {keras.__version__} on {keras.backend.backend()}", curve.losses, accuracy)


if __name__ == "__main__":
    main()
