"""The loss of a ``LinearCrossEntropy`` layer for ``compile``, where labels come as ``y``."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from keras.src.backend import get_keras_mask  # no public name reads the mask of a tensor that takes no attributes
from keras.src.losses.loss import scale_loss_for_distribution  # part of Keras's reduction, and not public alone
from keras.src.saving.serialization_lib import get_shared_object  # layers of the model being loaded

from xentropy_keras.arguments import Tensor
from xentropy_keras.linear import LinearCrossEntropy


class LinearCrossEntropyLoss(keras.losses.Loss):
    """The loss that a ``LinearCrossEntropy`` layer has of labels, of a model that returns hidden states.

    The layer must be part of the model, whose optimizer would not know its variables otherwise: call it on the hidden
    states with ``logits=False``, which returns them as they are.

    Args:
        head: the layer. Its options are the loss's, the reduction too.
        name: the loss's name.
        dtype: not used: the layer computes in float32 or float64, and integer labels stay integers.

    What the model returns are hidden states: metrics of predictions, such as "accuracy", say nothing of them.

    Called with (y_true, y_pred, sample_weight=None), where y_pred are hidden states; see ``LinearCrossEntropy``. Rows
    that the mask of y_pred leaves out are removed.

    Raises:
        TypeError: ``head`` is no such layer.
        ValueError: shapes that do not fit.
        IndexError: as in ``LinearCrossEntropy``.

    Example:
        >>> import numpy as np
        >>> head = LinearCrossEntropy(3)
        >>> x = keras.Input((4,))
        >>> hidden = keras.layers.Dense(5)(x)
        >>> training = keras.Model(x, head(hidden, logits=False))
        >>> training.compile("sgd", loss=LinearCrossEntropyLoss(head))
        >>> labels = np.array([0, 1, 2, 0], dtype="int32")
        >>> history = training.fit(np.eye(4), labels, epochs=2, verbose=0).history["loss"]
        >>> bool(history[1] < history[0])
        True
        >>> keras.Model(x, head(hidden)).output_shape
        (None, 3)
    """

    def __init__(
        self,
        head: LinearCrossEntropy,
        name: str | None = "linear_cross_entropy",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        if not isinstance(head, LinearCrossEntropy):
            raise TypeError(f"head must be a LinearCrossEntropy layer, got {head!r}")
        super().__init__(name, head.reduction, dtype)
        self.head = head

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """The loss of labels and hidden states."""
        mask = get_keras_mask(y_pred)
        loss = self.head.loss(ops.convert_to_tensor(y_pred), ops.convert_to_tensor(y_true), sample_weight, mask)
        return loss if self.reduction == "sum" else scale_loss_for_distribution(loss)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {"name": self.name, "head": keras.saving.serialize_keras_object(self.head)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LinearCrossEntropyLoss:
        """A loss with these arguments; of the model's own layer, where a functional model is being loaded."""
        head = config["head"]
        if isinstance(head, dict):
            head = get_shared_object(head["config"]["name"]) or keras.saving.deserialize_keras_object(head)
        return cls(**{**config, "head": head})
