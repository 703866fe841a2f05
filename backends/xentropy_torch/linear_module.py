"""``torch.nn.LinearCrossEntropyLoss``, or what stands for it in versions of PyTorch that have none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.nn.modules.loss import _WeightedLoss

if TYPE_CHECKING:
    from torch.nn import LinearCrossEntropyLoss as Base
    from torch.nn import LinearCrossEntropyOptions

__all__ = ["Base", "Older"]


class Older(_WeightedLoss):
    """The constructor, attributes, state and repr of PyTorch's class.

    Args:
        in_features: size of the hidden states.
        num_classes: number of classes.
        out_features: (d1, ..., dK) for losses of K dimensions.
        bias: whether there is one.
        device: of the parameters.
        dtype: of the parameters.
        reduction: as in ``linear_cross_entropy``, like all that follow.
        weight: of shape (num_classes,).
        ignore_index: None stands for -100.
        label_smoothing: in [0, 1].
        options: None, or an object with a ``batch_chunk_size``.

    Raises:
        RuntimeError: a weight of another shape, a label smoothing outside its domain.
    """

    __constants__: ClassVar[list[str]] = ["num_classes", "out_features", "reduction", "ignore_index", "label_smoothing"]

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
    ) -> None:
        if weight is not None and weight.shape != (num_classes,):
            raise RuntimeError(f"expected weight shape to be {(num_classes,)}, got {tuple(weight.shape)}")
        if label_smoothing < 0 or label_smoothing > 1.0:
            raise RuntimeError(f"expected label_smoothing to be in range [0, 1], got {label_smoothing}")
        super().__init__(weight=weight, size_average=None, reduce=None, reduction=reduction)
        self.num_classes = num_classes
        self.out_features = out_features
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        # Two-dimensional whatever out_features is, as in PyTorch's checkpoints.
        outputs = math.prod(out_features, start=num_classes)
        self.linear = torch.nn.Linear(in_features, outputs, bias=bias, device=device, dtype=dtype)
        self.options = options

    def extra_repr(self) -> str:
        """PyTorch's."""
        shown = {
            "in_features": self.linear.in_features,
            "num_classes": self.num_classes,
            "out_features": self.out_features,
            "bias": self.linear.bias is not None,
            "reduction": self.reduction,
            "ignore_index": self.ignore_index,
            "label_smoothing": self.label_smoothing,
            "options": self.options,
        }
        return ", ".join(f"{name}={value}" for name, value in shown.items())


if not TYPE_CHECKING:
    Base = getattr(torch.nn, "LinearCrossEntropyLoss", Older)
