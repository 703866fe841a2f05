"""A user of the PyTorch drop-ins, as a strict type checker sees them; every ignored error must be there."""

from typing import assert_type

import torch

import xentropy_torch

logits, labels = torch.zeros(2, 3), torch.tensor([0, 1])
assert_type(xentropy_torch.cross_entropy(logits, labels, label_smoothing=0.1), torch.Tensor)
assert_type(xentropy_torch.nll_loss(logits, labels, ignore_index=-1, reduction="sum"), torch.Tensor)
assert_type(xentropy_torch.binary_cross_entropy(logits, logits, weight=None), torch.Tensor)
assert_type(xentropy_torch.binary_cross_entropy_with_logits(logits, logits, pos_weight=logits), torch.Tensor)

module: torch.nn.CrossEntropyLoss = xentropy_torch.CrossEntropyLoss(weight=torch.ones(3), reduction="none")
assert_type(module.forward(logits, labels), torch.Tensor)
xentropy_torch.BCEWithLogitsLoss(pos_weight=torch.ones(3))

hidden, head = torch.zeros(2, 4), torch.zeros(3, 4)
assert_type(
    xentropy_torch.linear_cross_entropy(hidden, head, labels, linear_bias=None, ignore_index=None), torch.Tensor
)
chunks = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=1)
linear: torch.nn.LinearCrossEntropyLoss = xentropy_torch.LinearCrossEntropyLoss(4, 3, bias=True, options=chunks)
assert_type(linear.forward(hidden, labels), torch.Tensor)

with xentropy_torch.patched():
    pass

xentropy_torch.cross_entropy(logits, labels, smoothing=0.1)  # type: ignore[call-arg]
xentropy_torch.cross_entropy(logits, [0, 1])  # type: ignore[arg-type]
xentropy_torch.NLLLoss(label_smoothing=0.1)  # type: ignore[call-arg]
xentropy_torch.linear_cross_entropy(hidden, head, labels, None)  # type: ignore[call-arg]
xentropy_torch.LinearCrossEntropyLoss(4)  # type: ignore[call-arg]
