"""The TensorFlow backend of xentropy, and tf.nn's cross-entropies on top of it.

>>> import tensorflow as tf, xentropy_tensorflow
>>> loss = xentropy_tensorflow.sparse_softmax_cross_entropy_with_logits(tf.constant(0), tf.constant([1.2, -0.5, 0.1]))
>>> print(f"{loss.numpy():.4f}")
0.4158
"""

from xentropy_tensorflow.patching import patch, patched, unpatch
from xentropy_tensorflow.sigmoid_losses import sigmoid_cross_entropy_with_logits, weighted_cross_entropy_with_logits
from xentropy_tensorflow.softmax_losses import (
    softmax_cross_entropy_with_logits,
    sparse_softmax_cross_entropy_with_logits,
)

__all__ = [
    "patch",
    "patched",
    "sigmoid_cross_entropy_with_logits",
    "softmax_cross_entropy_with_logits",
    "sparse_softmax_cross_entropy_with_logits",
    "unpatch",
    "weighted_cross_entropy_with_logits",
]
