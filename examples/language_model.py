"""Train a tiny Hugging Face language model on the Zen of Python, with xentropy in PyTorch's place."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from pathlib import Path

import torch
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

import xentropy_torch

PADDING, IGNORED, STEPS = 256, -100, 40


def read_text() -> tuple[torch.Tensor, torch.Tensor]:
    """Token and label of every byte, (lines, longest line); transformers leaves labels of -100 out of the mean."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        import this  # noqa: F401, PLC0415 - importing it prints it
    lines = [torch.tensor(list(line.encode())) for line in text.getvalue().splitlines() if line]
    tokens = torch.nn.utils.rnn.pad_sequence(lines, batch_first=True, padding_value=PADDING)
    return tokens, tokens.where(tokens != PADDING, IGNORED)


def build() -> GPT2LMHeadModel:
    """A GPT-2 of 2 layers and 257 tokens (256 bytes and padding), the same random weights each time."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 257, "n_positions": 128, "n_embd": 64, "n_layer": 2, "n_head": 2}
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    model = GPT2LMHeadModel(GPT2Config(**sizes, **no_dropout, bos_token_id=PADDING, eos_token_id=PADDING))
    model.loss_type = "ForCausalLM"  # transformers reads it from the class's name, which for GPT-2 doesn't say so
    return model


def exact_step(model: GPT2LMHeadModel, tokens: torch.Tensor, labels: torch.Tensor) -> tuple[float, list[torch.Tensor]]:
    """Loss and gradients of the same model in float64 with PyTorch's own loss, which transformers gives float32."""
    model = copy.deepcopy(model).double()
    logits = model(tokens).logits[:, :-1].flatten(0, 1)
    loss = functional.cross_entropy(logits, labels[:, 1:].flatten(), ignore_index=IGNORED)
    return loss.item(), list(torch.autograd.grad(loss, list(model.parameters())))


def main() -> None:
    """Train with ``patched()``, compare the first step with float64, write the curve to runs/language_model.json."""
    tokens, labels = read_text()
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    exact_loss, exact_gradients = exact_step(model, tokens, labels)

    losses, used = [], [functional.cross_entropy.__module__]
    with xentropy_torch.patched():
        used.append(functional.cross_entropy.__module__)
        for step in range(STEPS):
            loss = model(tokens, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            losses.append(loss.item())
            if step == 0:
                gradients = zip((p.grad for p in model.parameters()), exact_gradients, strict=True)
                gradient_error = max(float((found - exact).norm() / exact.norm()) for found, exact in gradients)
            optimizer.step()
    used.append(functional.cross_entropy.__module__)

    loss_error = abs(losses[0] - exact_loss) / exact_loss
    print(f"cross_entropy before, inside and after the block: {', '.join(used)}")
    print(f"first step, relative to float64: loss {loss_error:.1e}, gradients {gradient_error:.1e}")
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f} nats a byte")
    Path("runs").mkdir(exist_ok=True)
    result = {"losses": losses, "loss_error": loss_error, "gradient_error": gradient_error, "used": used}
    Path("runs/language_model.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
