"""Keras's cross-entropy losses under Keras's own names, computed by xentropy, on TensorFlow, JAX and PyTorch.

The classes subclass Keras's. All are registered for saving as ``xentropy_keras>...``: a model that was saved with one
loads where this package has been imported. Elsewhere Keras refuses a ``.keras`` file that names one; of an ``.h5`` file
it takes its own loss function of that name, without the options and without a word.

``LinearCrossEntropy`` is a layer of our own, the last one of a classifier and its loss in one, without logits in
training; ``LinearCrossEntropyLoss`` is its loss for models whose labels come as ``y``.

``patched`` puts them in the place of Keras's own. What is saved meanwhile names Keras's losses, and loads anywhere.
"""

import keras

from xentropy_keras.binary import binary_crossentropy, binary_focal_crossentropy
from xentropy_keras.categorical import categorical_crossentropy, categorical_focal_crossentropy
from xentropy_keras.linear import LinearCrossEntropy
from xentropy_keras.linear_loss import LinearCrossEntropyLoss
from xentropy_keras.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    SparseCategoricalCrossentropy,
)
from xentropy_keras.patching import patch, patched, unpatch
from xentropy_keras.sparse import sparse_categorical_crossentropy
from xentropy_keras.symbolic import Crossentropy

for _saved in (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    sparse_categorical_crossentropy,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    SparseCategoricalCrossentropy,
    Crossentropy,
    LinearCrossEntropy,
    LinearCrossEntropyLoss,
):
    keras.saving.register_keras_serializable(package="xentropy_keras")(_saved)

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "LinearCrossEntropy",
    "LinearCrossEntropyLoss",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "patch",
    "patched",
    "sparse_categorical_crossentropy",
    "unpatch",
]
