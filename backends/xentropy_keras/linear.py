"""The last layer of a classifier and its loss in one: ``LinearCrossEntropy``, which keeps no logits in training."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import ops
from keras.src.backend import AutocastScope  # no public name reads a variable in its own dtype inside of a layer
from keras.src.saving.serialization_lib import record_object_after_deserialization  # layers of the model being loaded

import xentropy
from xentropy.linear_arguments import check_chunk_rows
from xentropy.options import softmax_options
from xentropy_keras.arguments import Tensor, wide
from xentropy_keras.rows import Rows, check_class, count, require_targets, rows

Reduction = Literal["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight"]

_REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight")


class LinearCrossEntropy(keras.layers.Layer):
    """Logits ``hidden @ kernel.T + bias`` where only hidden states are given; with targets, their cross-entropy.

    With targets, the loss is added to the model's losses, and the hidden states are returned as they came. It is
    ``xentropy.linear_cross_entropy``'s: logits are computed a block of rows at a time, so that memory grows with
    the rows' features and not with their classes. Compile such a model without a loss. Without targets, the same
    layer ends the model that predicts. For labels that ``fit`` has as ``y``, see ``LinearCrossEntropyLoss``.

    Args:
        classes: how many there are; may be left out where ``embedding`` says it.
        use_bias: whether each class has a bias.
        embedding: a ``keras.layers.Embedding`` of the classes, whose weights are used as the kernel (Press and Wolf
            2017, "Using the Output Embedding to Improve Language Models"); None for a kernel of its own.
        ignore_class: rows with this class index are removed.
        label_smoothing: epsilon in [0, 1].
        z_loss: coefficient of the squared log-sum-exp, at least 0.
        softcap: logits become softcap * tanh(logits / softcap), in the loss and where logits are returned.
        temperature: logits are divided by it, in the loss and where logits are returned.
        focal_gamma: exponent of the focal factor, at least 0.
        chunk_rows: how many rows make a block, at least 1; None chooses by classes and features.
        reduction: as in Keras's losses. "sum_over_batch_size" or "mean" divides by the number of rows that are not
            removed, "mean_with_sample_weight" by the sum of their weights; "sum".
        kernel_initializer: of a kernel of shape (features, classes), as ``Dense`` has it; it is kept transposed.
        bias_initializer: of the bias.
        kernel_regularizer: of the kernel. An embedding has its own.
        bias_regularizer: of the bias.
        **kwargs: those of ``keras.layers.Layer``: name, dtype, trainable.

    Called with (hidden, targets=None, sample_weight=None):

    - hidden: floats of shape (..., features). Rows that its mask leaves out are removed.
    - targets: class indices of shape hidden.shape[:-1], perhaps with an axis of size 1 after it, floats cut to whole
      numbers; or probabilities of shape (..., classes).
    - sample_weight: of the shape hidden.shape[:-1], or of the first axes of it.
    - logits: False returns the hidden states without targets too, for a loss from outside.

    The kernel has shape (classes, features), as an embedding's weights do: no step transposes it. The loss is computed
    in float32 (float64 for float64) of variables that are not rounded to the compute dtype, under mixed precision too;
    logits that are returned have the compute dtype.

    ``keras.models.clone_model`` and a model's ``from_config`` copy a tied embedding into the layer, which is then tied
    no more; ``load_model`` keeps them together.

    Raises:
        TypeError: an option of the wrong type, an ``embedding`` that is none.
        ValueError: an option outside its domain, shapes that do not fit, no number of classes, or another one than the
            embedding's.
        IndexError: a class index out of range, where values are known; its row's loss and gradient are NaN elsewhere,
            that is in graphs and in jit.

    Example:
        >>> import numpy as np
        >>> tokens, labels = keras.Input((4,), dtype="int32"), keras.Input((4,), dtype="int32")
        >>> embedding = keras.layers.Embedding(7, 5)
        >>> head = LinearCrossEntropy(embedding=embedding)
        >>> hidden = keras.layers.Dense(5)(embedding(tokens))
        >>> training = keras.Model([tokens, labels], head(hidden, labels))
        >>> training.compile("sgd")
        >>> x = np.array([[1, 2, 3, 4], [2, 3, 4, 5]], dtype="int32")
        >>> history = training.fit([x, x + 1], epochs=2, verbose=0).history["loss"]
        >>> bool(history[1] < history[0])
        True
        >>> predicting = keras.Model(tokens, head(hidden))
        >>> predicting.output_shape
        (None, 4, 7)
    """

    def __init__(
        self,
        classes: int | None = None,
        *,
        use_bias: bool = False,
        embedding: keras.layers.Embedding | None = None,
        ignore_class: int | None = None,
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
        softcap: float | None = None,
        temperature: float = 1.0,
        focal_gamma: float = 0.0,
        chunk_rows: int | None = None,
        reduction: Reduction = "sum_over_batch_size",
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        # Labels may come as floats and weights always do: rounded to bfloat16, class 299 would be class 300.
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True
        self.classes = _classes(classes, embedding)
        self.use_bias = use_bias
        self.embedding = embedding
        self.ignore_class = check_class(ignore_class)
        softmax_options("float32", label_smoothing, True, z_loss, softcap, temperature, focal_gamma)
        self.label_smoothing = label_smoothing
        self.z_loss = z_loss
        self.softcap = softcap
        self.temperature = temperature
        self.focal_gamma = focal_gamma
        self.chunk_rows = check_chunk_rows(chunk_rows)
        if reduction not in _REDUCTIONS:
            raise ValueError(f"reduction must be one of {', '.join(map(repr, _REDUCTIONS))}, got {reduction!r}")
        self.reduction = reduction
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel: Any = None
        self.bias: Any = None

    def build(self, hidden_shape: tuple[int | None, ...]) -> None:
        """Make the variables, for hidden states of this shape."""
        features = hidden_shape[-1]
        if features is None:
            raise ValueError(f"hidden has shape {tuple(hidden_shape)}; the size of its last axis must be known")
        if self.embedding is None:
            self.kernel = self.add_weight(
                name="kernel",
                shape=(self.classes, features),
                initializer=self._initial_kernel,
                regularizer=self.kernel_regularizer,
            )
        else:
            if not self.embedding.built:
                self.embedding.build((None,))
            if self.embedding.output_dim != features:
                raise ValueError(
                    f"hidden has shape {tuple(hidden_shape)}, but for an embedding of {self.embedding.output_dim} "
                    f"features its last axis must have size {self.embedding.output_dim}"
                )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.classes,), initializer=self.bias_initializer, regularizer=self.bias_regularizer
            )
        self.built = True

    def call(
        self,
        hidden: Tensor,
        targets: Tensor | None = None,
        sample_weight: Tensor | None = None,
        hidden_mask: Tensor | None = None,
        logits: bool = True,
    ) -> Tensor:
        """Logits; where there are targets, the hidden states, and the loss is added."""
        if targets is not None:
            self.add_loss(self.loss(hidden, targets, sample_weight, hidden_mask))
            return hidden
        return self.logits(hidden) if logits else hidden

    def loss(
        self,
        hidden: Tensor,
        targets: Tensor,
        sample_weight: Tensor | None = None,
        hidden_mask: Tensor | None = None,
    ) -> Tensor:
        """The reduced loss, for a training loop of one's own; the layer must have been built.

        Args:
            hidden: as in a call of the layer, like all that follow.
            targets: class indices or probabilities.
            sample_weight: what a row counts for.
            hidden_mask: bool, of the rows' shape: False removes a row.

        Returns:
            A tensor without axes: float64 for float64, float32 otherwise.
        """
        given = rows(hidden, targets, sample_weight, hidden_mask, self.classes, self.ignore_class)
        kernel, bias = self._variables()
        loss: Tensor = xentropy.linear_cross_entropy(
            hidden,
            kernel,
            given.targets,
            bias=bias,
            sample_weight=given.weight,
            ignore_index=self.ignore_class,
            reduction="sum" if self.reduction == "sum" else "mean",
            normalizer=self._denominator(hidden, given),
            label_smoothing=self.label_smoothing,
            z_loss=self.z_loss,
            softcap=self.softcap,
            temperature=self.temperature,
            focal_gamma=self.focal_gamma,
            chunk_rows=self.chunk_rows,
        )
        return loss

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits in the compute dtype, capped and divided as the loss has them; the layer must have been built."""
        kernel, bias = self._variables()
        x = ops.matmul(ops.cast(hidden, self.compute_dtype), ops.transpose(ops.cast(kernel, self.compute_dtype)))
        if bias is not None:
            x = x + ops.cast(bias, self.compute_dtype)
        if self.softcap is not None:
            x = self.softcap * ops.tanh(x / self.softcap)
        return x if self.temperature == 1.0 else x / self.temperature

    def compute_output_spec(
        self,
        hidden: Any,
        targets: Any = None,
        sample_weight: Any = None,
        hidden_mask: Any = None,
        logits: bool = True,
    ) -> keras.KerasTensor:
        """Shape and dtype of what ``call`` returns."""
        if targets is not None:
            require_targets(hidden, targets, self.classes)
        if targets is not None or not logits:
            return keras.KerasTensor(hidden.shape, dtype=hidden.dtype)
        return keras.KerasTensor((*hidden.shape[:-1], self.classes), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        serialized = {
            "embedding": None if self.embedding is None else keras.saving.serialize_keras_object(self.embedding),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
        }
        return {**super().get_config(), **{name: getattr(self, name) for name in _PLAIN}, **serialized}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LinearCrossEntropy:
        """A layer with these arguments."""
        embedding = config.get("embedding")
        if isinstance(embedding, dict):
            embedding = keras.saving.deserialize_keras_object(embedding)
        layer = cls(**{**config, "embedding": embedding})
        # For LinearCrossEntropyLoss. Keras's own numbers of shared objects are lost in a functional model's config.
        record_object_after_deserialization(layer, layer.name)
        return layer

    def _initial_kernel(self, shape: tuple[int, int], dtype: str | None = None) -> Tensor:
        # An initializer takes the first axis for what is summed over.
        return ops.transpose(self.kernel_initializer(shape[::-1], dtype=dtype))

    def _variables(self) -> tuple[Tensor, Tensor | None]:
        with AutocastScope(None):
            kernel = self.kernel if self.embedding is None else self.embedding.embeddings
            # Not convert_to_tensor, which with TensorFlow leaves variables unread, to be rounded by who reads them.
            return ops.cast(kernel, kernel.dtype), None if self.bias is None else ops.cast(self.bias, self.bias.dtype)

    def _denominator(self, hidden: Tensor, given: Rows) -> Tensor | None:
        """What Keras divides a mean by; None where the core knows."""
        if self.reduction in ("sum", "mean_with_sample_weight"):
            return None
        return wide(count(hidden, given), hidden)


_PLAIN = (
    "classes",
    "use_bias",
    "ignore_class",
    "label_smoothing",
    "z_loss",
    "softcap",
    "temperature",
    "focal_gamma",
    "chunk_rows",
    "reduction",
)


def _classes(classes: Any, embedding: Any) -> int:
    if embedding is not None and not isinstance(embedding, keras.layers.Embedding):
        raise TypeError(f"embedding must be a keras.layers.Embedding or None, got {embedding!r}")
    own: int | None = None if embedding is None else embedding.input_dim
    if classes is None:
        if own is None:
            raise ValueError("classes must be given where there is no embedding, got None")
        return own
    if isinstance(classes, bool) or not isinstance(classes, int):
        raise TypeError(f"classes must be an integer, got {classes!r}")
    if classes < 1:
        raise ValueError(f"classes must be at least 1, got {classes!r}")
    if own is not None and classes != own:
        raise ValueError(f"classes must be the embedding's {own}, got {classes!r}")
    return classes
