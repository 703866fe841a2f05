"""patched() reaches tf.keras, where it is loaded."""

from __future__ import annotations

import tensorflow as tf

import xentropy_keras as ours


def test_tf_keras_is_patched_and_put_back():
    theirs = tf.keras.losses.CategoricalCrossentropy
    with ours.patched():
        assert tf.keras.losses.CategoricalCrossentropy is ours.CategoricalCrossentropy
        assert tf.keras.losses.get("bce") is ours.binary_crossentropy
        assert tf.keras.metrics.categorical_crossentropy is ours.categorical_crossentropy
    assert tf.keras.losses.CategoricalCrossentropy is theirs
