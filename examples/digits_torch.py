"""Train a small classifier of handwritten digits in PyTorch, with xentropy's CrossEntropyLoss."""

from __future__ import annotations

import digits
import torch
from torch import nn

from xentropy_torch import CrossEntropyLoss


def build() -> nn.Sequential:
    """64 pixels, one hidden layer, 10 logits; PyTorch keeps a weight as (out, in)."""
    model = nn.Sequential(nn.Linear(64, digits.HIDDEN), nn.Tanh(), nn.Linear(digits.HIDDEN, digits.CLASSES))
    with torch.no_grad():
        for parameter, first in zip(model.parameters(), digits.first_weights(), strict=True):
            parameter.copy_(torch.from_numpy(first).T if first.ndim == 2 else torch.from_numpy(first))
    return model


def main() -> None:
    """Train, evaluate, write the curve."""
    training, (pixels, labels) = digits.load()
    model = build()
    loss_function = CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=digits.LEARNING_RATE, momentum=digits.MOMENTUM)

    losses = []
    for x, y in digits.batches(*training):
        loss = loss_function(model(torch.from_numpy(x)), torch.from_numpy(y).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    with torch.no_grad():
        guesses = model(torch.from_numpy(pixels)).argmax(dim=1).numpy()
    digits.report("torch", f"PyTorch {torch.__version__.partition('+')[0]}", losses, float((guesses == labels).mean()))


if __name__ == "__main__":
    main()
