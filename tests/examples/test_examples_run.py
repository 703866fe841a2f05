"""The examples run as a newcomer runs them, and do what examples/README.md says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from running import EXAMPLES, run
from sklearn.datasets import load_digits

# Ten times what was measured; examples/compare.py says what it is.
BOUND = 1e-5


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compare.py has run: curves, figure, a saved model."""
    directory = tmp_path_factory.mktemp("digits")
    run("compare.py", directory, KERAS_BACKEND="tensorflow")
    return directory / "runs"


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """What language_model.py wrote."""
    directory = tmp_path_factory.mktemp("language_model")
    run("language_model.py", directory)
    return json.loads((directory / "runs" / "language_model.json").read_text())


@pytest.fixture(scope="module")
def exact() -> np.ndarray:
    """The same training in float64 by hand: forward, softmax, chain rule, momentum."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(1797)[:1408]
    pixels, one_hot = digits.data[order] / 16, np.eye(10)[digits.target[order]]
    rng = np.random.default_rng(1)
    w1, w2 = (rng.normal(scale=n**-0.5, size=shape).astype(np.float32) for n, shape in ((64, (64, 32)), (32, (32, 10))))
    weights = [w.astype(np.float64) for w in (w1, np.zeros(32), w2, np.zeros(10))]
    velocities = [np.zeros_like(w) for w in weights]
    losses = []
    for step in range(264):
        rows = slice(step % 22 * 64, step % 22 * 64 + 64)
        x, t = pixels[rows], one_hot[rows]
        hidden = np.tanh(x @ weights[0] + weights[1])
        p = np.exp(hidden @ weights[2] + weights[3])
        p /= p.sum(axis=1, keepdims=True)
        losses.append(-np.log((p * t).sum(axis=1)).mean())
        d_logits = (p - t) / 64
        d_hidden = d_logits @ weights[2].T * (1 - hidden**2)
        gradients = (x.T @ d_hidden, d_hidden.sum(axis=0), hidden.T @ d_logits, d_logits.sum(axis=0))
        velocities = [0.9 * velocity + gradient for velocity, gradient in zip(velocities, gradients, strict=True)]
        weights = [weight - 0.1 * velocity for weight, velocity in zip(weights, velocities, strict=True)]
    return np.array(losses)


def curve(directory: Path, name: str) -> np.ndarray:
    return np.array(json.loads((directory / f"{name}.json").read_text())["losses"])


@pytest.mark.parametrize("name", ["torch", "keras", "tensorflow", "jax"])
def test_every_step_of_every_training_has_the_loss_of_the_training_in_float64(name, trained, exact):
    np.testing.assert_allclose(curve(trained, name), exact, rtol=BOUND)


def test_the_four_curves_coincide(trained):
    losses = np.stack([curve(trained, name) for name in ("torch", "keras", "tensorflow", "jax")])
    assert (np.ptp(losses, axis=0) <= BOUND * losses.min(axis=0)).all()


@pytest.mark.parametrize("name", ["torch", "keras", "tensorflow", "jax"])
def test_more_than_95_percent_of_the_held_out_digits_are_right(name, trained):
    assert json.loads((trained / f"{name}.json").read_text())["accuracy"] > 0.95


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_the_keras_example_runs_on_its_other_backends(engine, exact, tmp_path):
    run("digits_keras.py", tmp_path, KERAS_BACKEND=engine)
    np.testing.assert_allclose(curve(tmp_path / "runs", "keras"), exact, rtol=BOUND)


def test_the_same_curves_are_drawn_in_the_same_bytes(trained, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import curves

    curves.draw(curves.read(trained), tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == (trained / "training-curves.svg").read_bytes()


def test_a_patched_language_model_starts_with_the_loss_and_gradients_of_float64(language_model):
    # Measured: 4e-8 and 3e-7, the rounding of the model's own float32; the rest is room for other processors.
    assert language_model["loss_error"] <= 1e-6
    assert language_model["gradient_error"] <= 5e-6


def test_a_patched_language_model_learns(language_model):
    losses = np.array(language_model["losses"])
    assert losses[0] == pytest.approx(np.log(257), rel=0.02)  # random weights: all tokens about as likely
    assert losses[-1] < 0.6 * losses[0]


def test_transformers_uses_ours_inside_the_block_and_its_own_before_and_after(language_model):
    before, inside, after = language_model["used"]
    assert inside.startswith("xentropy_torch")
    assert before == after == "torch.nn.functional"


def test_the_loss_of_transformers_keeps_confident_tokens_only_while_patched():
    import torch
    from transformers.loss.loss_utils import ForCausalLMLoss

    import xentropy_torch

    logits = torch.zeros(1, 3, 257)
    logits[..., 7] = 40.0
    labels = torch.tensor([[7, 7, -100]])
    own = ForCausalLMLoss(logits, labels, vocab_size=257)
    with xentropy_torch.patched():
        ours = ForCausalLMLoss(logits, labels, vocab_size=257)
    assert own == ForCausalLMLoss(logits, labels, vocab_size=257) == 0
    assert ours.item() == pytest.approx(256 * np.exp(-40.0), rel=1e-6)
