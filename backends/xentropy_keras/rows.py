"""The rows of a linear loss from what a layer is given: targets, weights and a mask."""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

from keras import ops

from xentropy_keras.arguments import Tensor, agree, labels, wide


class Rows(NamedTuple):
    """What belongs to the rows beside their hidden states.

    Attributes:
        targets: class indices of the rows' shape, or probabilities.
        weight: what each row counts for, 0 where the mask leaves it out; None for 1.
        used: bool, False for a row that is removed by the mask or its label; None where all are used.
    """

    targets: Tensor
    weight: Tensor | None
    used: Tensor | None


def rows(
    hidden: Tensor,
    targets: Tensor,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    classes: int,
    ignore_class: int | None,
) -> Rows:
    """The rows' targets and weights, of shapes and dtypes that the core takes.

    Raises:
        ValueError: shapes that do not fit.
    """
    soft = require_targets(hidden, targets, classes)
    if soft:
        if ignore_class is not None:
            raise ValueError(f"ignore_class={ignore_class} needs class indices; targets are probabilities")
        targets = wide(ops.convert_to_tensor(targets), hidden)
    else:
        targets = labels(_without_last_one(targets, len(hidden.shape) - 1))
    used = None if mask is None else ops.cast(mask, "bool")
    weight = None if sample_weight is None else _weights(hidden, sample_weight)
    if used is not None:
        kept = wide(used, hidden)
        # Not a product: a weight that is no number would stay one.
        weight = kept if weight is None else ops.where(used, weight, ops.zeros_like(weight))
    if ignore_class is not None:
        counted = ops.not_equal(targets, ignore_class)
        used = counted if used is None else ops.logical_and(used, counted)
    return Rows(targets, weight, used)


def count(hidden: Tensor, given: Rows) -> Tensor:
    """How many rows are used."""
    if given.used is not None:
        return ops.sum(wide(given.used, hidden))
    # Sizes may be tensors of a graph.
    sizes = ops.convert_to_tensor(ops.shape(hidden)[:-1] or (1,), dtype="int32")
    return ops.prod(sizes)


def require_targets(hidden: Any, targets: Any, classes: int) -> bool:
    """Whether the targets are probabilities.

    Raises:
        ValueError: their shape is neither that of class indices nor that of probabilities.
    """
    given, expected = tuple(targets.shape), tuple(hidden.shape[:-1])
    if len(given) == len(expected) + 1 and given[-1] is None:
        raise ValueError(f"targets have shape {given}; the size of their last axis must be known")
    if agree(given, expected) or (agree(given, (*expected, 1)) and classes != 1):
        return False
    if agree(given, (*expected, classes)):
        return True
    raise ValueError(
        f"targets have shape {given}, but for hidden of shape {tuple(hidden.shape)} class indices must have shape "
        f"{expected} and probabilities {(*expected, classes)}"
    )


def check_class(ignore_class: Any) -> int | None:
    """ignore_class as an int or None.

    Raises:
        TypeError: it is neither.
    """
    if ignore_class is None:
        return None
    if isinstance(ignore_class, bool) or not isinstance(ignore_class, numbers.Integral):
        raise TypeError(f"ignore_class must be an integer or None, got {ignore_class!r}")
    return int(ignore_class)


def _weights(hidden: Tensor, sample_weight: Tensor) -> Tensor:
    """One weight a row."""
    shape = tuple(hidden.shape[:-1])
    weight = _without_last_one(wide(ops.convert_to_tensor(sample_weight), hidden), len(shape))
    given = tuple(weight.shape)
    if not agree(given, shape[: len(given)]):
        raise ValueError(f"sample_weight has shape {tuple(sample_weight.shape)}; it must be {shape} or its first axes")
    for _ in range(len(shape) - len(given)):
        weight = ops.expand_dims(weight, -1)
    return ops.broadcast_to(weight, ops.shape(hidden)[:-1])


def _without_last_one(x: Tensor, rank: int) -> Tensor:
    return ops.squeeze(x, -1) if len(x.shape) == rank + 1 and x.shape[-1] == 1 else x
