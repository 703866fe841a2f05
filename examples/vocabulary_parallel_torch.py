"""A language model's head whose vocabulary is split over processes.

Start it with torchrun:

    torchrun --standalone --nproc-per-node=2 examples/vocabulary_parallel_torch.py

Every process has its own slice of the weights. It never sees the logits of another, or any of them all at once: the
processes exchange four numbers a token, and add up the gradient of the hidden states.
"""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor

import xentropy

TOKENS, FEATURES, VOCABULARY, STEPS = 64, 16, 1001, 5


def trained(hidden: Tensor, weight: Tensor, targets: Tensor, group: dist.ProcessGroup | None) -> list[float]:
    """The loss of every step of training."""
    weight = weight.clone().requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=5.0)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = xentropy.linear_cross_entropy(hidden, weight, targets, label_smoothing=0.1, group=group)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main() -> None:
    """Train in parts, and in one process for comparison."""
    # Without an accelerator, over this machine's loopback.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    hidden, weight = torch.randn(TOKENS, FEATURES), torch.randn(VOCABULARY, FEATURES)
    targets = torch.randint(0, VOCABULARY, (TOKENS,))
    own = weight.tensor_split(dist.get_world_size())[dist.get_rank()]
    losses = trained(hidden, own, targets, dist.group.WORLD)
    if dist.get_rank() == 0:
        whole = trained(hidden, weight, targets, None)
        print(f"losses: {', '.join(f'{loss:.4f}' for loss in losses)}")
        print(f"the same as in one process: {all(abs(a - b) <= 1e-5 * b for a, b in zip(losses, whole, strict=True))}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
