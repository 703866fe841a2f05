"""Users of the drop-ins whose framework has no annotations: the signatures are seen all the same."""

from typing import assert_type

import keras
import numpy as np
import tensorflow as tf

import xentropy_keras
import xentropy_numpy
import xentropy_tensorflow

assert_type(xentropy_numpy.log_loss([0, 1], np.array([0.25, 0.75]), sample_weight=[1.0, 2.0]), float)
xentropy_numpy.log_loss([0, 1], np.array([0.25, 0.75]), weights=None)  # type: ignore[call-arg]

logits, labels = tf.zeros([2, 3]), tf.constant([0, 1])
xentropy_tensorflow.sparse_softmax_cross_entropy_with_logits(labels, logits, name="loss")
xentropy_tensorflow.softmax_cross_entropy_with_logits(labels)  # type: ignore[call-arg]
xentropy_tensorflow.weighted_cross_entropy_with_logits(logits, logits, weight=1.0)  # type: ignore[call-arg]

loss = xentropy_keras.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0, reduction="sum")
assert_type(loss, xentropy_keras.SparseCategoricalCrossentropy)
kept: keras.losses.Loss = loss
xentropy_keras.SparseCategoricalCrossentropy(label_smoothing=0.1)  # type: ignore[call-arg]
xentropy_keras.BinaryCrossentropy(reduction="average")  # type: ignore[arg-type]
xentropy_keras.categorical_crossentropy(logits, logits, smoothing=0.1)  # type: ignore[call-arg]
