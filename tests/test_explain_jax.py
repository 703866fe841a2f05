"""``xentropy explain --framework jax``: optax's losses, as the README has them, and measured."""

from __future__ import annotations

from typing import Any

import optax
import pytest
from explaining import EMPTY, NO_OPTION, NO_ROWS, SMOOTHED, Explained
from typer.testing import CliRunner

from xentropy.conventions import discovery
from xentropy.parity.cli import app

LAST = "the loss of the class so far from the end"
SPARSE, DENSE = "losses.softmax_cross_entropy_with_integer_labels", "losses.softmax_cross_entropy"
NAMES = {f"{name} by name": "logits, labels" for name in (SPARSE, DENSE, "losses.sigmoid_binary_cross_entropy")}
AXES = {
    f"{kind}{axis}": answer
    for kind in ("labels", "probabilities")
    for axis, answer in (("", "the last one"), (", axis=0", "axis 0"))
}
TOLD = {
    "first arguments": ("`logits, labels`", {"": "predictions, targets", **NAMES}),
    "takes": ("logits", {"": "logits", "binary": "logits"}),
    "axis of the classes": ("last; `axis`", AXES),
    "default reduction": ("none", {"labels": "each loss", "probabilities": "each loss"}),
    "probabilities are clipped": ("takes none", {"from_logits": NO_OPTION}),
    "rows of probabilities are divided by their sum": ("takes none", {"from_logits": NO_OPTION}),
    "denominator of a weighted mean": ("none", {"weight": NO_OPTION, "sample_weight": NO_OPTION}),
    "label smoothing": (
        "none; `optax.smooth_labels`",
        {"label_smoothing": NO_OPTION, "optax.losses.smooth_labels": SMOOTHED},
    ),
    "ignored rows": (
        "none; `where` leaves classes out",
        {"ignore_index": NO_OPTION, "where": "`where` leaves classes out"},
    ),
    "nothing to average": ("an empty batch gives an empty array", {"an empty batch": EMPTY, "its mean": NO_ROWS}),
    "a label out of range": ("NaN", {"3": "NaN", "-1": LAST}),
    "dtype of the loss of half-precision logits": (
        "that of the logits",
        {"float16": "that of the logits", "bfloat16": "that of the logits"},
    ),
}
LOST = {
    ("a label out of range", "3, its gradient"),
    ("dtype of the loss of half-precision logits", "bfloat16, probabilities in float32"),
    ("a target of 0 at a logit of -inf", "probabilities"),
    ("a confident row", "labels"),
    ("a confident row", "labels, the gradient"),
    ("a confident row", "probabilities"),
    ("infinite logits of a binary loss", "the right side"),
}
WRAPPED = {("a label out of range", "-1"), ("a label out of range", "-1, its gradient")}


@pytest.fixture(scope="module")
def explained() -> Explained:
    return Explained("jax")


def test_every_probe_is_sound(explained: Explained) -> None:
    explained.assert_sound()


def test_every_call_is_true_of_any_batch(explained: Explained) -> None:
    explained.assert_true_of_any_batch("jnp.concatenate")


def test_it_finds_what_the_readme_says(explained: Explained) -> None:
    explained.assert_as_in_the_readme("optax", TOLD)


def test_nothing_of_ours_loses_what_theirs_loses_and_the_drop_in_differs_there_alone(explained: Explained) -> None:
    assert explained.unanswered() == LOST
    assert explained.differing() == LOST | WRAPPED


def test_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A framework that takes the mean where it took none gets another answer."""
    original = optax.losses.softmax_cross_entropy_with_integer_labels

    def averaging(*args: Any, **options: Any) -> Any:
        return original(*args, **options).mean()

    monkeypatch.setattr(optax.losses, "softmax_cross_entropy_with_integer_labels", averaging)
    averaged = Explained("jax")
    assert averaged.answer("default reduction", "labels") == "the mean"
    assert averaged.answer("default reduction", "probabilities") == "each loss"


def test_without_optax_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "is_installed", lambda name: name != "optax")
    result = CliRunner().invoke(app, ["explain", "--framework", "jax"])
    assert result.exit_code == 2
    assert "pip install optax" in " ".join(result.stderr.replace("│", " ").split())
