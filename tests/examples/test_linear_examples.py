"""The examples of the linear loss: exact under real weights, and decoders that train alike in less memory."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import EXAMPLES, run

FRAMEWORKS = ("torch", "keras", "jax")
BATCH, STEPS = 16, 3
# examples/compare_decoders.py says what it is.
BOUND = 1e-5


@pytest.fixture(scope="module", autouse=True)
def _importable() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What sentence_head.py wrote."""
    directory = tmp_path_factory.mktemp("head")
    run("sentence_head.py", directory, "--count=256")
    return json.loads((directory / "runs" / "sentence_head.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compare_decoders.py has run."""
    directory = tmp_path_factory.mktemp("decoders")
    run("compare_decoders.py", directory, f"--batch={BATCH}", f"--steps={STEPS}", KERAS_BACKEND="tensorflow")
    return directory / "runs"


def decoder_of(directory: Path, name: str, loss: str) -> dict[str, Any]:
    return json.loads((directory / f"decoder_{name}_{loss}.json").read_text())


def normalised(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    x = x - x.mean(axis=1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5) * scale


def attended(x: np.ndarray, query: np.ndarray, key: np.ndarray, value: np.ndarray, output: np.ndarray) -> np.ndarray:
    heads = []
    for columns in np.split(np.arange(384), 6):
        scores = np.exp((x @ query[:, columns]) @ (x @ key[:, columns]).T / 8) * np.tri(len(x))
        heads.append(scores @ (x @ value[:, columns]) / scores.sum(axis=1, keepdims=True))
    return np.concatenate(heads, axis=1) @ output


@cache
def exact_first_loss(batch: int, steps: int) -> float:
    """Of the first step, in float64 by hand, a sequence at a time."""
    import decoder

    weights = decoder.first_weights()
    embedding = weights.embedding.astype(np.float64)
    losses = []
    for tokens, targets in zip(*decoder.batches(batch, steps)[0], strict=True):
        x = embedding[tokens] + weights.positions
        for layer in weights.layers:
            first, query, key, value, output, second, up, down = (array.astype(np.float64) for array in layer)
            x = x + attended(normalised(x, first), query, key, value, output)
            x = x + np.maximum(normalised(x, second) @ up, 0) @ down
        logits = normalised(x, weights.scale) @ embedding.T
        losses.append(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), targets])
    return float(np.mean(losses))


def test_the_reference_of_the_head_is_pytorchs_in_float64():
    import sentence_head
    import torch

    rng = np.random.default_rng(0)
    hidden, weight, targets = rng.normal(size=(300, 5)), rng.normal(size=(11, 5)), rng.integers(0, 11, 300)
    found = sentence_head.by_hand(hidden, weight, targets)
    h, w = (torch.tensor(array, requires_grad=True) for array in (hidden, weight))
    loss = torch.nn.functional.cross_entropy(h @ w.T, torch.tensor(targets))
    loss.backward()
    np.testing.assert_allclose(found.value, loss.item(), rtol=1e-13)
    np.testing.assert_allclose(found.of_hidden, h.grad.numpy(), rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(found.of_weight, w.grad.numpy(), rtol=1e-10, atol=1e-15)


# Measured: 5e-8, 1.4e-5 and 7e-6 at most, JAX's. A matrix product of 384 float32 numbers errs by some 1e-6 in a logit
# of 20, and so does a probability; a row's gradient is what is left of sums of these.
@pytest.mark.parametrize("name", ["numpy", "torch", "tensorflow", "jax"])
def test_loss_and_every_row_of_the_gradients_are_exact_under_real_weights(name, head):
    found = head[f"{name} linear"]
    assert found["loss"] <= 1e-6
    assert found["hidden"] <= 1e-4
    assert found["weight"] <= 1e-4


@pytest.mark.parametrize("name", ["numpy", "torch", "tensorflow", "jax"])
def test_the_dense_loss_of_the_same_library_is_no_closer(name, head):
    linear, dense = head[f"{name} linear"], head[f"{name} dense"]
    assert linear["hidden"] <= dense["hidden"]


@pytest.mark.parametrize("loss", ["dense", "linear"])
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_decoder_starts_with_the_loss_of_float64(name, loss, trained):
    assert decoder_of(trained, name, loss)["losses"][0] == pytest.approx(exact_first_loss(BATCH, STEPS), rel=1e-6)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_every_step_has_the_same_loss_with_and_without_logits(name, trained):
    dense, linear = (decoder_of(trained, name, loss)["losses"] for loss in ("dense", "linear"))
    assert len(linear) == STEPS
    np.testing.assert_allclose(linear, dense, rtol=BOUND)
    assert linear[-1] < 0.8 * linear[0]


# Measured, of logits of 250 MB: 901 and 271 MB in PyTorch, 475 and 257 in Keras on TensorFlow, 776 and 466 in JAX. The
# rest is the decoder's own: gradients, layers, what a compiler takes.
@pytest.mark.parametrize(("name", "factor"), [("torch", 2.0), ("keras", 1.25), ("jax", 1.25)])
def test_training_takes_less_memory_without_logits(name, factor, trained):
    dense, linear = (decoder_of(trained, name, loss)["bytes"] for loss in ("dense", "linear"))
    assert linear * factor <= dense


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_the_keras_decoder_runs_on_its_other_backends(engine, tmp_path):
    run("decoder_keras.py", tmp_path, "--batch=2", "--steps=2", KERAS_BACKEND=engine)
    first, second = decoder_of(tmp_path / "runs", "keras", "linear")["losses"]
    assert first == pytest.approx(exact_first_loss(2, 2), rel=1e-6)
    assert second < first
