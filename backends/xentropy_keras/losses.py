"""Keras's five cross-entropy losses as classes: subclasses of Keras's own that compute with this package's functions.

Keras's classes do the rest: squeezing, masks, sample weights, reduction, ``get_config``.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
from keras import ops, tree

from xentropy_keras.arguments import Tensor
from xentropy_keras.binary import binary_crossentropy, binary_focal_crossentropy
from xentropy_keras.categorical import categorical_crossentropy, categorical_focal_crossentropy
from xentropy_keras.sparse import sparse_categorical_crossentropy

Reduction = Literal["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"] | None


class _StandIn(abc.ABCMeta):
    """While a class stands in the place of Keras's own, instances and subclasses of Keras's count as its own."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return super().__instancecheck__(instance) or (_stands_in(cls) and isinstance(instance, cls.__mro__[1]))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return super().__subclasscheck__(subclass) or (_stands_in(cls) and issubclass(subclass, cls.__mro__[1]))


def _stands_in(cls: type) -> bool:
    return getattr(keras.losses, cls.__name__, None) is cls


class BinaryCrossentropy(keras.losses.BinaryCrossentropy, metaclass=_StandIn):
    """``keras.losses.BinaryCrossentropy`` with the loss of ``xentropy_keras.binary_crossentropy``.

    Args:
        from_logits: True if predictions are logits, False if they are probabilities.
        label_smoothing: epsilon in [0, 1].
        axis: the axis, or axes, of the mean inside one sample.
        reduction: "sum_over_batch_size" or "mean" (over all entries), "sum", "mean_with_sample_weight" (over the sum of
            the weights), or "none" or None.
        name: the loss's name.
        dtype: dtype or ``keras.DTypePolicy`` that inputs are brought to; ``keras.config.floatx()`` by default.

    Called with (y_true, y_pred, sample_weight=None), returns the loss in nats: without axes, unless reduction is none.

    Raises:
        ValueError: shapes that differ, or an option outside its domain.

    Where it differs from Keras's: see ``xentropy_keras.binary_crossentropy``.

    Example:
        >>> print(round(float(BinaryCrossentropy()([1.0], [0.8])), 4))
        0.2231
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int | tuple[int, ...] | None = -1,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)
        self.fn = binary_crossentropy


class BinaryFocalCrossentropy(keras.losses.BinaryFocalCrossentropy, metaclass=_StandIn):
    """``keras.losses.BinaryFocalCrossentropy`` with the loss of ``xentropy_keras.binary_focal_crossentropy``.

    Args:
        apply_class_balancing: whether to weight the classes by alpha and 1 - alpha.
        alpha: weight of class 1.
        gamma: exponent of the focal factor, at least 0.
        from_logits: True if predictions are logits, False if they are probabilities.
        label_smoothing: epsilon in [0, 1].
        axis: the axis, or axes, of the mean inside one sample.
        reduction: as in ``BinaryCrossentropy``.
        name: the loss's name.
        dtype: as in ``BinaryCrossentropy``.

    Called with (y_true, y_pred, sample_weight=None), returns the loss in nats: without axes, unless reduction is none.

    Raises:
        ValueError: shapes that differ, or an option outside its domain.

    Where it differs from Keras's: see ``xentropy_keras.binary_focal_crossentropy``.

    Example:
        >>> loss = BinaryFocalCrossentropy(gamma=2, from_logits=True)
        >>> print(round(float(loss([0.0, 1.0, 0.0, 0.0], [-18.6, 0.51, 2.94, -12.8])), 4))
        0.6912
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int | tuple[int, ...] | None = -1,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "binary_focal_crossentropy",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(
            apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis, reduction, name, dtype
        )
        self.fn = binary_focal_crossentropy


class CategoricalCrossentropy(keras.losses.CategoricalCrossentropy, metaclass=_StandIn):
    """``keras.losses.CategoricalCrossentropy`` with the loss of ``xentropy_keras.categorical_crossentropy``.

    Args:
        from_logits: True if predictions are logits, False if they are probabilities.
        label_smoothing: epsilon in [0, 1].
        axis: the axis of the classes.
        reduction: as in ``BinaryCrossentropy``.
        name: the loss's name.
        dtype: as in ``BinaryCrossentropy``.

    Called with (y_true, y_pred, sample_weight=None), returns the loss in nats: without axes, unless reduction is none.

    Raises:
        ValueError: shapes that differ, or an option outside its domain.

    Where it differs from Keras's: see ``xentropy_keras.categorical_crossentropy``.

    Example:
        >>> print(round(float(CategoricalCrossentropy()([1, 0, 0], [0.7, 0.2, 0.1])), 4))
        0.3567
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)
        self.fn = categorical_crossentropy


class CategoricalFocalCrossentropy(keras.losses.CategoricalFocalCrossentropy, metaclass=_StandIn):
    """``keras.losses.CategoricalFocalCrossentropy`` with the loss of ``xentropy_keras.categorical_focal_crossentropy``.

    Args:
        alpha: one weight, or one for every class.
        gamma: exponent of the focal factor, at least 0.
        from_logits: True if predictions are logits, False if they are probabilities.
        label_smoothing: epsilon in [0, 1].
        axis: the axis of the classes.
        reduction: as in ``BinaryCrossentropy``.
        name: the loss's name.
        dtype: as in ``BinaryCrossentropy``.

    Called with (y_true, y_pred, sample_weight=None), returns the loss in nats: without axes, unless reduction is none.

    Raises:
        ValueError: shapes that differ, or an option outside its domain.

    Where it differs from Keras's: see ``xentropy_keras.categorical_focal_crossentropy``.

    Example:
        >>> loss = CategoricalFocalCrossentropy()
        >>> print(round(float(loss([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]])), 4))
        0.2332
    """

    def __init__(
        self,
        alpha: float | Sequence[float] | Tensor = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "categorical_focal_crossentropy",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(alpha, gamma, from_logits, label_smoothing, axis, reduction, name, dtype)
        self.fn = categorical_focal_crossentropy


class SparseCategoricalCrossentropy(keras.losses.SparseCategoricalCrossentropy, metaclass=_StandIn):
    """``keras.losses.SparseCategoricalCrossentropy`` with ``xentropy_keras.sparse_categorical_crossentropy``.

    Args:
        from_logits: True if predictions are logits, False if they are probabilities.
        ignore_class: rows with this label are left out.
        reduction: as in ``BinaryCrossentropy``.
        axis: the axis of the classes.
        name: the loss's name.
        dtype: as in ``BinaryCrossentropy``, of predictions and sample weights.

    Called with (y_true, y_pred, sample_weight=None), returns the loss in nats: without axes, unless reduction is none.

    Raises:
        ValueError: shapes that do not fit.
        IndexError: a label out of range, where values are known.

    Where it differs from Keras's: integer labels stay integers, where Keras brings them to ``dtype`` (as bfloat16,
    class 299 is class 300); ``get_config`` has the axis; and as in ``xentropy_keras.sparse_categorical_crossentropy``.

    Example:
        >>> import numpy as np
        >>> loss = SparseCategoricalCrossentropy()
        >>> print(round(float(loss(np.array([1, 2]), np.array([[0.05, 0.95, 0], [0.1, 0.8, 0.1]]))), 4))
        1.1769
    """

    _labels: Tensor = None

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: Reduction = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(from_logits, ignore_class, reduction, axis, name, dtype)
        self.fn = sparse_categorical_crossentropy
        self.axis = axis

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """The loss of labels and predictions, weighted and reduced."""
        call: Callable[..., Tensor] = super().__call__
        # A subclass's own call must get its labels from Keras, and write on self.
        unchanged = type(self).call is SparseCategoricalCrossentropy.call
        if unchanged and all(_holds_integers(label) for label in tree.flatten(y_true)):
            # One call's labels, so not on self: a loss may be called from several threads.
            own = object.__new__(type(self))
            own.__dict__.update(self.__dict__, _labels=tree.map_structure(ops.convert_to_tensor, y_true))
            call = super(SparseCategoricalCrossentropy, own).__call__
        return call(y_true, y_pred, sample_weight)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The losses of labels and predictions."""
        return super().call(y_true if self._labels is None else self._labels, y_pred)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "axis": self.axis}


def _holds_integers(x: Any) -> bool:
    if not hasattr(x, "dtype"):
        return isinstance(x, int) and not isinstance(x, bool)
    return bool(keras.backend.is_int_dtype(keras.backend.standardize_dtype(x.dtype)))
