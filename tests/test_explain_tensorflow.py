"""``xentropy explain --framework tensorflow``: what it finds is what the README says, and it is measured."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
from explaining import EMPTY, NO_OPTION, NO_ROWS, Explained

SPARSE, DENSE = "nn.sparse_softmax_cross_entropy_with_logits", "nn.softmax_cross_entropy_with_logits"
SIGMOID, WEIGHTED = "nn.sigmoid_cross_entropy_with_logits", "nn.weighted_cross_entropy_with_logits"
NAMES = {f"{name} by name": "labels, logits" for name in (SPARSE, DENSE, SIGMOID, WEIGHTED)}
TOLD = {
    "first arguments": ("`labels, logits`", {"": "targets, predictions", **NAMES}),
    "takes": ("logits", {"": "logits", "binary": "logits"}),
    "axis of the classes": (
        "last; `axis` where targets are probabilities",
        {
            "labels": "the last one",
            "probabilities": "the last one",
            "probabilities, axis=0": "axis 0",
            "labels, axis=0": NO_OPTION,
        },
    ),
    "default reduction": ("none", {"labels": "each loss", "probabilities": "each loss"}),
    "probabilities are clipped": ("takes none", {"from_logits": NO_OPTION}),
    "rows of probabilities are divided by their sum": ("takes none", {"from_logits": NO_OPTION}),
    "denominator of a weighted mean": ("none", {"weight": NO_OPTION, "sample_weight": NO_OPTION}),
    "label smoothing": ("none", {"label_smoothing": NO_OPTION}),
    "ignored rows": ("none", {"ignore_index": NO_OPTION, "-100": "-100 is a label out of range"}),
    "nothing to average": ("an empty batch gives an empty array", {"an empty batch": EMPTY, "its mean": NO_ROWS}),
    "a label out of range": (
        "`InvalidArgumentError`; NaN under XLA",
        {
            "3, eagerly": "InvalidArgumentError",
            "-1, eagerly": "InvalidArgumentError",
            "3, under XLA": "NaN",
            "-1, under XLA": "NaN",
        },
    ),
    "dtype of the loss of half-precision logits": (
        "that of the logits",
        {"float16": "that of the logits", "bfloat16": "that of the logits"},
    ),
}
LOST = {
    ("a target of 0 at a logit of -inf", "probabilities"),
    ("targets that do not sum to 1", "probabilities, the gradient"),
    ("a confident row", "labels"),
    ("a confident row", "labels, the gradient"),
    ("a confident row", "probabilities"),
    ("infinite logits of a binary loss", "the right side"),
    ("infinite logits of a binary loss", "the wrong side"),
}


@pytest.fixture(scope="module")
def explained() -> Explained:
    return Explained("tensorflow")


def test_every_probe_is_sound(explained: Explained) -> None:
    explained.assert_sound()


def test_every_call_is_true_of_any_batch(explained: Explained) -> None:
    explained.assert_true_of_any_batch("(lambda arrays: tf.concat(arrays, 0))")


def test_it_finds_what_the_readme_says(explained: Explained) -> None:
    explained.assert_as_in_the_readme("tf.nn", TOLD)


def test_nothing_of_ours_loses_what_theirs_loses_and_the_drop_in_differs_there_alone(explained: Explained) -> None:
    assert explained.unanswered() == explained.differing() == LOST


def test_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A framework that takes the mean where it took none gets another answer."""
    original = tf.nn.sparse_softmax_cross_entropy_with_logits

    def averaging(*args: Any, **options: Any) -> Any:
        return tf.reduce_mean(original(*args, **options))

    monkeypatch.setattr(tf.nn, "sparse_softmax_cross_entropy_with_logits", averaging)
    averaged = Explained("tensorflow")
    assert averaged.answer("default reduction", "labels") == "the mean"
    assert averaged.answer("default reduction", "probabilities") == "each loss"
