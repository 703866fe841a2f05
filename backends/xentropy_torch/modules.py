"""The losses of ``torch.nn`` under their own names: PyTorch's classes, whose forward is ours.

Constructors, attributes, state, repr and what a checkpoint holds are inherited.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xentropy_torch import functional
from xentropy_torch.linear_module import Base


class CrossEntropyLoss(torch.nn.CrossEntropyLoss):
    """``torch.nn.CrossEntropyLoss`` by ``xentropy_torch.cross_entropy``, which says shapes, dtypes and differences.

    Example:
        >>> import torch
        >>> from xentropy_torch import CrossEntropyLoss
        >>> loss = CrossEntropyLoss(label_smoothing=0.1)
        >>> isinstance(loss, torch.nn.CrossEntropyLoss)
        True
        >>> print(f"{loss(torch.tensor([[1.2, -0.5, 0.1]]), torch.tensor([0])):.4f}")
        0.5091
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits and class indices or probabilities."""
        return functional.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(torch.nn.NLLLoss):
    """``torch.nn.NLLLoss`` by ``xentropy_torch.nll_loss``, which says shapes, dtypes and differences.

    Example:
        >>> import torch
        >>> from xentropy_torch import NLLLoss
        >>> print(f"{NLLLoss()(torch.tensor([[0.25, 0.75]]).log(), torch.tensor([0])):.4f}")
        1.3863
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of log-probabilities and class indices."""
        return functional.nll_loss(
            input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class LinearCrossEntropyLoss(Base):
    """``torch.nn.LinearCrossEntropyLoss`` by ``xentropy_torch.linear_cross_entropy``, which says the rest.

    In versions of PyTorch without such a class, one of the same constructor, parameters, state and repr.

    Example:
        >>> import torch
        >>> from xentropy_torch import LinearCrossEntropyLoss
        >>> loss = LinearCrossEntropyLoss(in_features=4, num_classes=3)
        >>> [name for name, _ in loss.named_parameters()]
        ['linear.weight']
        >>> value = loss(torch.ones(2, 4), torch.tensor([0, 2]))
        >>> value.shape
        torch.Size([])
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of hidden states and class indices or probabilities."""
        shape = (self.num_classes, *self.out_features)
        bias = self.linear.bias
        return functional.linear_cross_entropy(
            input,
            self.linear.weight.reshape(*shape, self.linear.in_features),
            target,
            linear_bias=None if bias is None else bias.reshape(shape),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )


class BCELoss(torch.nn.BCELoss):
    """``torch.nn.BCELoss`` by ``xentropy_torch.binary_cross_entropy``, which says shapes, dtypes and differences.

    Example:
        >>> import torch
        >>> from xentropy_torch import BCELoss
        >>> print(f"{BCELoss()(torch.tensor([0.8]), torch.tensor([1.0])):.4f}")
        0.2231
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of probabilities and targets."""
        return functional.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(torch.nn.BCEWithLogitsLoss):
    """``torch.nn.BCEWithLogitsLoss`` by ``xentropy_torch.binary_cross_entropy_with_logits``, which says the rest.

    Example:
        >>> import torch
        >>> from xentropy_torch import BCEWithLogitsLoss
        >>> print(f"{BCEWithLogitsLoss()(torch.tensor([0.0]), torch.tensor([1.0])):.4f}")
        0.6931
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits and targets."""
        return functional.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )
