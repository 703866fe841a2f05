"""Next tokens of real text under real weights: loss and gradients of a linear head, and how far they are from exact.

    python examples/sentence_head.py [--count 1024]

The head is the token embedding of a sentence-transformer; a hidden state is the average of the embeddings of the tokens
so far, the last ones weighing most. In every library that is installed, the linear loss stands beside that library's
own loss of the logits; the reference is NumPy's in float64.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import minilm
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import xentropy

RUNS = Path("runs")
DECAY, BLOCK = 0.7, 256


class Found(NamedTuple):
    """A mean loss in nats, and its gradients of hidden, (tokens, 384), and weight, (30522, 384)."""

    value: Any
    of_hidden: Any
    of_weight: Any


Dense = Callable[[Any, Any, Any], Found]


def problem(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hidden states (count, 384), weight (30522, 384) and the next tokens (count,)."""
    weight, tokens = minilm.embeddings(), minilm.tokens(count + 1)
    hidden = np.empty((count, weight.shape[1]), dtype=np.float32)
    average = np.zeros(weight.shape[1])
    for row, token in zip(hidden, tokens[:-1], strict=True):
        average = DECAY * average + (1 - DECAY) * weight[token]
        # As long as a normalised layer's output is.
        row[:] = average * (len(average) ** 0.5 / np.linalg.norm(average))
    return hidden, weight, tokens[1:]


def by_hand(hidden: np.ndarray, weight: np.ndarray, targets: np.ndarray) -> Found:
    """As the textbook has it, in the dtype of the arrays, some rows at a time."""
    value, of_hidden, of_weight = hidden.dtype.type(0), np.empty_like(hidden), np.zeros_like(weight)
    for start in range(0, len(hidden), BLOCK):
        rows = slice(start, start + BLOCK)
        x = hidden[rows] @ weight.T
        x -= x.max(axis=1, keepdims=True)
        label = np.arange(len(x)), targets[rows]
        at_label = x[label]
        np.exp(x, out=x)
        total = x.sum(axis=1, keepdims=True)
        value += (np.log(total[:, 0]) - at_label).sum()
        x /= total
        x[label] -= 1
        of_hidden[rows] = x @ weight / len(hidden)
        of_weight += x.T @ hidden[rows] / len(hidden)
    return Found(value / len(hidden), of_hidden, of_weight)


def with_torch() -> tuple[Callable[[np.ndarray], Any], Dense]:
    """An array as a tensor; PyTorch's own loss of the logits, and autograd's gradients."""
    import torch  # noqa: PLC0415 - only where it is installed

    def dense(hidden: Any, weight: Any, targets: Any) -> Found:
        hidden, weight = hidden.requires_grad_(), weight.requires_grad_()
        loss = torch.nn.functional.cross_entropy(hidden @ weight.T, targets)
        return Found(loss.detach(), *torch.autograd.grad(loss, (hidden, weight)))

    return lambda array: torch.tensor(array, dtype=torch.long if array.dtype.kind == "i" else None), dense


def with_tensorflow() -> tuple[Callable[[np.ndarray], Any], Dense]:
    """An array as a tensor; TensorFlow's own loss of the logits, and a tape's gradients."""
    import tensorflow as tf  # noqa: PLC0415

    def dense(hidden: Any, weight: Any, targets: Any) -> Found:
        with tf.GradientTape() as tape:
            tape.watch((hidden, weight))
            logits = tf.matmul(hidden, weight, transpose_b=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))
        return Found(loss, *tape.gradient(loss, (hidden, weight)))

    return tf.constant, dense


def with_jax() -> tuple[Callable[[np.ndarray], Any], Dense]:
    """An array of JAX's; optax's loss of the logits, and JAX's gradients."""
    import jax  # noqa: PLC0415
    import optax  # noqa: PLC0415

    def loss(hidden: Any, weight: Any, targets: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(hidden @ weight.T, targets).mean()

    def dense(hidden: Any, weight: Any, targets: Any) -> Found:
        value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(hidden, weight, targets)
        return Found(value, *gradients)

    return jax.numpy.asarray, dense


def installed() -> Iterator[tuple[str, Callable[[np.ndarray], Any], Dense]]:
    """Name, conversion and dense loss of every library that is there."""
    yield "numpy", np.asarray, by_hand
    for name, load in (("torch", with_torch), ("tensorflow", with_tensorflow), ("jax", with_jax)):
        if find_spec(name):
            yield name, *load()


def errors(found: Found, exact: Found) -> dict[str, float]:
    """Relative errors: of the loss, and of the worst row of each gradient, which is a token's or a class's, by norm."""
    distances = {"loss": abs(float(found.value) / exact.value - 1)}
    for name, ours, reference in (
        ("hidden", found.of_hidden, exact.of_hidden),
        ("weight", found.of_weight, exact.of_weight),
    ):
        apart = np.linalg.norm(np.asarray(ours) - reference, axis=1)
        distances[name] = float((apart / np.linalg.norm(reference, axis=1)).max())
    return distances


def main(count: int = 1024) -> None:
    """Compute, compare, print, and write runs/sentence_head.json."""
    arrays = problem(count)
    exact = by_hand(*(array.astype(np.float64) for array in arrays[:2]), arrays[2])
    table = Table("", "loss", "its error", "worst row of hidden's gradient", "worst row of weight's gradient")
    table.add_row("float64", f"{exact.value:.9f}")
    results = {"exact": float(exact.value)}
    for name, convert, dense in installed():
        given = [convert(array) for array in arrays]
        value, gradients = xentropy.value_and_grad(xentropy.linear_cross_entropy)(*given)
        for kind, found in (("linear", Found(value, *gradients)), ("dense", dense(*given))):
            results[f"{name} {kind}"] = distances = errors(found, exact)
            cells = [f"{distance:.1e}" for distance in distances.values()]
            table.add_row(f"{name}, {kind}", f"{float(found.value):.9f}", *cells)
    Console().print(table)
    RUNS.mkdir(exist_ok=True)
    (RUNS / "sentence_head.json").write_text(json.dumps(results))


if __name__ == "__main__":
    typer.run(main)
