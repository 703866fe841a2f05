"""Draw the README's picture: relative error against confidence, each framework's own loss and xentropy.

    pip install -e ".[all]" --group peers --group figures && python docs/make_figure.py

Every line is measured here and now, on the installed versions, in this one process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import mpmath
import numpy as np
import optax
import scipy
import tensorflow as tf
import torch
from matplotlib.axes import Axes

import xentropy

FIGURE = Path(__file__).parent / "figures" / "error-against-confidence.svg"
CLASSES = 10
ROWS_PER_LEVEL = 32
LEVELS = np.geomspace(3.0, 1e-36, 80)

Measured = tuple[np.ndarray, np.ndarray]
Measure = Callable[[np.ndarray, np.ndarray], Measured]


def make_rows() -> Measured:
    """float32 logits of shape (levels * rows, classes) whose losses are close to LEVELS, and labels."""
    rng = np.random.default_rng(0)
    others = rng.normal(size=(len(LEVELS), ROWS_PER_LEVEL, CLASSES - 1))
    # loss = log1p(exp(lse(others) - x)), solved for x.
    label = np.log(np.exp(others).sum(axis=-1)) - np.log(np.expm1(LEVELS))[:, None]
    logits = np.concatenate([label[..., None], others], axis=-1).astype(np.float32)
    return logits.reshape(-1, CLASSES), np.zeros(logits.shape[0] * logits.shape[1], dtype=np.int32)


def exact(logits: np.ndarray) -> Measured:
    """Loss and gradient at the label, to float64, of rows with label 0."""
    losses, gradients = [], []
    with mpmath.workdps(60):
        for row in logits.tolist():
            excess = mpmath.fsum(mpmath.exp(mpmath.mpf(x) - row[0]) for x in row[1:])
            losses.append(float(mpmath.log1p(excess)))
            gradients.append(float(-excess / (1 + excess)))
    return np.array(losses), np.array(gradients)


def ours(asarray: Callable[[np.ndarray], object], logits: np.ndarray, labels: np.ndarray) -> Measured:
    """xentropy, on arrays of any library."""
    x, y = asarray(logits), asarray(labels)
    loss = xentropy.cross_entropy(x, y, reduction="none")
    _, gradient = xentropy.value_and_grad(partial(xentropy.cross_entropy, reduction="sum"))(x, y)
    return np.asarray(loss), np.asarray(gradient)[:, 0]


def own_scipy(logits: np.ndarray, labels: np.ndarray) -> Measured:
    """SciPy: the negative log_softmax at the label, and softmax - 1."""
    rows = np.arange(len(labels))
    loss = -scipy.special.log_softmax(logits, axis=-1)[rows, labels]
    return loss, scipy.special.softmax(logits, axis=-1)[rows, labels] - 1


def own_torch(logits: np.ndarray, labels: np.ndarray) -> Measured:
    """torch.nn.functional.cross_entropy."""
    x = torch.tensor(logits, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(x, torch.tensor(labels, dtype=torch.int64), reduction="none")
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    return loss.detach().numpy(), gradient[:, 0].numpy()


def own_tensorflow(logits: np.ndarray, labels: np.ndarray) -> Measured:
    """tf.nn.sparse_softmax_cross_entropy_with_logits."""
    x = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, x)
    return loss.numpy(), tape.gradient(loss, x).numpy()[:, 0]


def own_optax(logits: np.ndarray, labels: np.ndarray) -> Measured:
    """optax.softmax_cross_entropy_with_integer_labels."""
    x, y = jnp.asarray(logits), jnp.asarray(labels)
    loss, pull_back = jax.vjp(lambda x: optax.softmax_cross_entropy_with_integer_labels(x, y), x)
    return np.asarray(loss), np.asarray(pull_back(jnp.ones_like(loss))[0])[:, 0]


# Colours of Okabe and Ito, which stay apart for every kind of colour vision; dashes tell the lines apart in grey.
OWN: dict[str, tuple[Measure, str, str]] = {
    f"PyTorch {torch.__version__.partition('+')[0]}": (own_torch, "#D55E00", "-"),
    f"TensorFlow {tf.__version__}": (own_tensorflow, "#E69F00", "--"),
    f"JAX (optax {optax.__version__})": (own_optax, "#CC79A7", "-."),
    f"NumPy (SciPy {scipy.__version__})": (own_scipy, "#009E73", ":"),
}
OURS: dict[str, tuple[Measure, str, str]] = {
    "xentropy on PyTorch": (partial(ours, torch.tensor), "#0072B2", "-"),
    "xentropy on TensorFlow": (partial(ours, tf.constant), "#0072B2", "--"),
    "xentropy on JAX": (partial(ours, jnp.asarray), "#0072B2", "-."),
    "xentropy on NumPy": (partial(ours, np.asarray), "#0072B2", ":"),
}


def worst(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The largest relative error of every level; at least half a rounding of float32, as zero has no logarithm."""
    error = np.abs(found.astype(np.float64) - truth) / np.abs(truth)
    return np.maximum(error.reshape(len(LEVELS), ROWS_PER_LEVEL).max(axis=1), 2.0**-25)


def draw(axes: Axes, title: str, truth: np.ndarray, found: dict[str, np.ndarray]) -> None:
    """One panel."""
    for name, (_, colour, dashes) in (OWN | OURS).items():
        axes.loglog(LEVELS, worst(found[name], truth), dashes, color=colour, label=name, linewidth=1.8)
    axes.axhline(1.0, color="0.4", linewidth=0.8)
    axes.text(1e-35, 1.4, "error 1: the answer is exactly 0", ha="right", va="bottom", color="0.3", fontsize=9)
    axes.set(xlim=(3.0, 1e-36), ylim=(1e-8, 8.0), title=title, xlabel="exact loss -log p (nats); more confident →")
    axes.grid(color="0.9")


def main() -> None:
    """Measure, draw, save."""
    logits, labels = make_rows()
    truth = exact(logits)
    found = {name: measure(logits, labels) for name, (measure, *_) in (OWN | OURS).items()}
    # The same drawing from the same numbers: no date, no random ids.
    plt.rcParams.update({"svg.hashsalt": "xentropy", "font.size": 11, "axes.axisbelow": True})
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), sharey=True, layout="constrained")
    draw(left, "Loss", truth[0], {name: loss for name, (loss, _) in found.items()})
    draw(right, "Gradient at the label", truth[1], {name: gradient for name, (_, gradient) in found.items()})
    left.set_ylabel("largest relative error (float32)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(FIGURE, facecolor="white", metadata={"Date": None})
    for name, (loss, gradient) in found.items():
        print(f"{name:28}  loss {worst(loss, truth[0]).max():9.2e}  gradient {worst(gradient, truth[1]).max():9.2e}")


if __name__ == "__main__":
    main()
