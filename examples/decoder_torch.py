"""Train a small decoder in PyTorch, with PyTorch's own loss of the logits or with xentropy's linear loss.

Without an argument, the linear one: python examples/decoder_torch.py [--loss dense]
"""

from __future__ import annotations

import decoder
import numpy as np
import torch
import typer
from torch import nn
from torch.nn import functional

import xentropy


class Decoder(nn.Module):
    """Tokens (batch, length) to hidden states (batch, length, width); the head is the embedding."""

    def __init__(self, weights: decoder.Weights) -> None:
        super().__init__()
        length, width = weights.positions.shape
        self.embedding = nn.Embedding.from_pretrained(torch.from_numpy(weights.embedding), freeze=False)
        layer = nn.TransformerEncoderLayer(
            width, decoder.HEADS, 4 * width, dropout=0.0, batch_first=True, norm_first=True, bias=False
        )
        norm = nn.LayerNorm(width, eps=decoder.EPSILON, bias=False)
        # An encoder with a causal mask: PyTorch's decoder looks at an encoder's output besides.
        self.layers = nn.TransformerEncoder(layer, decoder.LAYERS, norm, enable_nested_tensor=False)
        self.register_buffer("positions", torch.from_numpy(weights.positions))
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))
        for module, first in zip(self.layers.layers, weights.layers, strict=True):
            copy(module, first)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """See above."""
        return self.layers(self.embedding(tokens) + self.positions, mask=self.mask, is_causal=True)


def copy(layer: nn.TransformerEncoderLayer, weights: list[np.ndarray]) -> None:
    """Write these weights into the layer; PyTorch keeps a matrix as (out, in), and three of them in one."""
    first, *attention, second, up, down = weights
    query_key_value = np.concatenate(attention[:3], axis=1)
    with torch.no_grad():
        layer.norm1.weight.copy_(torch.from_numpy(first))
        layer.self_attn.in_proj_weight.copy_(torch.from_numpy(query_key_value).T)
        layer.self_attn.out_proj.weight.copy_(torch.from_numpy(attention[3]).T)
        layer.norm2.weight.copy_(torch.from_numpy(second))
        layer.linear1.weight.copy_(torch.from_numpy(up).T)
        layer.linear2.weight.copy_(torch.from_numpy(down).T)


def mean_loss(hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, loss: decoder.Loss) -> torch.Tensor:
    """In nats a token."""
    if loss == "linear":
        return xentropy.linear_cross_entropy(hidden, head, targets)
    return functional.cross_entropy((hidden @ head.T).flatten(0, 1), targets.flatten())


def main(loss: decoder.Loss = "linear", batch: int = decoder.BATCH, steps: int = decoder.STEPS) -> None:
    """Train, print, write."""
    model = Decoder(decoder.first_weights())
    optimizer = torch.optim.SGD(model.parameters(), lr=decoder.LEARNING_RATE)

    def step(tokens: np.ndarray, targets: np.ndarray) -> float:
        hidden = model(torch.from_numpy(tokens))
        value = mean_loss(hidden, model.embedding.weight, torch.from_numpy(targets).long(), loss)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.item()

    decoder.train("torch", loss, batch, steps, step)


if __name__ == "__main__":
    typer.run(main)
