"""tf.nn's losses replaced by ours, for code that is not to be touched."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf

from xentropy.patching import Patch
from xentropy_tensorflow import sigmoid_losses, softmax_losses

_OURS = {
    function.__name__: function
    for function in (
        softmax_losses.softmax_cross_entropy_with_logits,
        softmax_losses.sparse_softmax_cross_entropy_with_logits,
        sigmoid_losses.sigmoid_cross_entropy_with_logits,
        sigmoid_losses.weighted_cross_entropy_with_logits,
    )
}


def _places() -> Iterator[tuple[Any, str, Any]]:
    """Every module of TensorFlow's that holds one of the functions, by whatever name."""
    theirs = {id(getattr(tf.nn, name)): ours for name, ours in _OURS.items()}
    for module in [module for name, module in sys.modules.items() if f"{name}.".startswith("tensorflow.")]:
        for name, held in list(vars(module).items()):
            if id(held) in theirs:
                yield module, name, theirs[id(held)]


_patch = Patch(_places)


def patch() -> None:
    """Put ours in place of TensorFlow's, in ``tf.nn`` and the modules behind it, for the process.

    Keras on TensorFlow calls them there. ``tf.compat.v1.nn`` and ``tf.compat.v1.losses`` have functions of their own,
    with other signatures, that stay what they are, and so does a name that a module of somebody else's has imported
    from ``tf.nn`` before, and a ``tf.function`` that is already traced; one traced while ours are there keeps them.

    Example:
        >>> import tensorflow as tf
        >>> labels, logits = tf.constant([0]), tf.constant([[20.0, 0.0]])
        >>> patch()
        >>> print(f"{tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)[0]:.3e}")
        2.061e-09
        >>> unpatch()
        >>> print(f"{tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)[0]:.3e}")
        0.000e+00
    """
    _patch.patch()


def unpatch() -> None:
    """Take back one ``patch()``; the last one leaves TensorFlow as it was.

    Raises:
        RuntimeError: nothing is patched.
    """
    _patch.unpatch()


def patched() -> AbstractContextManager[None]:
    """``patch()`` on entry and ``unpatch()`` on exit; it nests.

    Example:
        >>> import tensorflow as tf
        >>> with patched():
        ...     tf.nn.sigmoid_cross_entropy_with_logits is sigmoid_losses.sigmoid_cross_entropy_with_logits
        True
        >>> tf.nn.sigmoid_cross_entropy_with_logits is sigmoid_losses.sigmoid_cross_entropy_with_logits
        False
    """
    return _patch.patched()
