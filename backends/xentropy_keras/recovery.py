"""The logits behind probabilities, where Keras has kept them.

Keras's softmax and sigmoid leave their input on their output "to use for crossentropy loss", and its TensorFlow
backend uses it: a model that ends in a softmax and is 50 nats wrong has a loss of 50 there, and a gradient. Its torch
backend clips, to 16.118 with gradient 0, though it has the logits too. JAX's tracers carry no attributes, so with JAX
probabilities are clipped in and out of jit alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from xentropy_keras.arguments import Tensor, wide

# What the same activation of the same logits may differ by: compilers fuse it in more than one way.
_SLACK = {"float16": 2.0**-8, "bfloat16": 2.0**-5, "float32": 2.0**-17, "float64": 2.0**-17}
_SMALLEST_NORMAL = 2.0**-126
_ACTIVATIONS = ("Sigmoid", "Softmax")


def evaluate(
    y_pred: Tensor,
    *,
    from_logits: bool,
    of_logits: Callable[[Tensor], Tensor],
    of_probabilities: Callable[[Tensor], Tensor],
    activation: Callable[[Tensor], Tensor],
    axis: int | None = None,
    keeps_from_logits: bool = False,
) -> Tensor:
    """The losses of predictions, through the logits that they were made of where those are known.

    Args:
        y_pred: logits or probabilities.
        from_logits: which of the two.
        of_logits: losses of logits.
        of_probabilities: losses of probabilities.
        activation: what makes these probabilities of logits.
        axis: the axis that the losses don't have; None where they have all.
        keeps_from_logits: whether from_logits=True is taken at its word, as Keras does in its focal losses, and with
            torch and JAX in all.
    """
    given = of_logits if from_logits else of_probabilities
    engine = keras.backend.backend()
    if engine == "jax" or (from_logits and (keeps_from_logits or engine != "tensorflow")):
        return given(y_pred)
    operation = "Sigmoid" if axis is None else "Softmax"
    made_by = _operation(y_pred) if engine == "tensorflow" else None
    logits = getattr(y_pred, "_keras_logits", None)
    if logits is None and made_by == operation and axis in (None, len(y_pred.shape) - 1):
        if from_logits:
            _warn()
        return of_logits(y_pred.op.inputs[0])
    if logits is not None and not ops.is_tensor(logits):
        # A NumPy array is kept as it was given to the activation.
        logits = ops.convert_to_tensor(logits)
    if logits is None or tuple(logits.shape) != tuple(y_pred.shape) or logits.dtype != y_pred.dtype:
        return given(y_pred)
    if made_by in _ACTIVATIONS and made_by != operation:
        return given(y_pred)
    # Keras's TensorFlow backend reads the logits of a softmax as a sigmoid's if the loss is a binary one.
    own = _same(activation(logits), y_pred)
    if from_logits and (made_by == operation or _any(own)):
        _warn()
    return ops.where(own if axis is None else ops.all(own, axis=axis), of_logits(logits), given(y_pred))


def _operation(y_pred: Tensor) -> str | None:
    """The kind of operation that made a tensor of a TensorFlow graph; None for tensors with values."""
    if ops.is_tensor(y_pred) and not hasattr(y_pred, "numpy"):
        kind: str = y_pred.op.type
        return kind
    return None


def _any(own: Tensor) -> bool:
    """Whether any is true; in a graph, which can't tell yet, True."""
    return not hasattr(own, "numpy") or bool(ops.any(own))


def _warn() -> None:
    warnings.warn("from_logits=True, but y_pred was made by an activation of logits: these are used", stacklevel=5)


def _same(a: Tensor, b: Tensor) -> Any:
    slack = _SLACK[keras.backend.standardize_dtype(b.dtype)]
    a, b = wide(a, b), wide(b, b)
    return ops.abs(a - b) <= slack * ops.abs(a) + _SMALLEST_NORMAL
