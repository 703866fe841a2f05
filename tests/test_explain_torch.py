"""``xentropy explain --framework torch``: what it finds is what the README says, and it is measured."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from explaining import NO_ROWS, SMOOTHED, Explained

TOLD = {
    "first arguments": ("`input, target`", {"": "predictions, targets", "by name": "input, target"}),
    "takes": (
        "logits; `BCELoss`: probabilities",
        {"": "logits", "nn.BCELoss": "probabilities", "nn.BCEWithLogitsLoss": "logits"},
    ),
    "axis of the classes": ("1", {"": "axis 1"}),
    "default reduction": ("mean", {"function": "the mean", "class": "the mean"}),
    "probabilities are clipped": (
        "`BCELoss`: log p and log(1 - p) to -100",
        {"": "log p and log(1 - p) to -100"},
    ),
    "rows of probabilities are divided by their sum": ("no", {"": "no"}),
    "denominator of a weighted mean": (
        "labels: Σ class weights; probabilities, and `BCELoss`: the number of rows",
        {
            "class weights, labels": "the sum of the labels' class weights",
            "class weights, probabilities": "the number of rows",
            "weights of elements": "the number of elements",
        },
    ),
    "label smoothing": (
        "(1 - ε) t + ε/C",
        {"": SMOOTHED, "binary": "there is no such option"},
    ),
    "ignored rows": (
        "`ignore_index=-100`: loss 0, not in the denominator",
        {"the mean": "those of label -100; not in the denominator", "each loss": "0, of any label that is named"},
    ),
    "nothing to average": ("NaN", {"all rows ignored": NO_ROWS, "an empty batch": NO_ROWS}),
    "a label out of range": ("`IndexError`", {"3 of 3 classes": "IndexError", "-1": "IndexError"}),
    "dtype of the loss of half-precision logits": (
        "that of the logits",
        {"float16": "that of the logits", "bfloat16": "that of the logits"},
    ),
}
LOST = {
    ("NaN logits in an ignored row", "its gradient"),
    ("a target of 0 at a logit of -inf", "probabilities"),
    ("a confident row", "labels"),
    ("a confident row", "probabilities"),
    ("a confident row", "labels, the gradient"),
    ("a confident row", "a binary loss"),
    ("infinite logits of a binary loss", "the right side"),
    ("infinite logits of a binary loss", "the wrong side"),
}


@pytest.fixture(scope="module")
def explained() -> Explained:
    return Explained("torch")


def test_every_probe_is_sound(explained: Explained) -> None:
    explained.assert_sound()


def test_every_call_is_true_of_any_batch(explained: Explained) -> None:
    explained.assert_true_of_any_batch("torch.cat")


def test_it_finds_what_the_readme_says(explained: Explained) -> None:
    explained.assert_as_in_the_readme("torch.nn", TOLD)


def test_nothing_of_ours_loses_what_theirs_loses_and_the_drop_in_differs_there_alone(explained: Explained) -> None:
    assert explained.unanswered() == explained.differing() == LOST
    lost = explained.finding("a confident row", "labels")
    assert lost.theirs.text() == "0"
    assert lost.nearest is not None
    assert lost.nearest.outcome is not None
    np.testing.assert_allclose(lost.nearest.outcome.values, math.log1p(2 * math.exp(-25.0)), rtol=1e-6)


def test_the_gradient_of_an_ignored_row_is_seen(explained: Explained) -> None:
    found = explained.finding("NaN logits in an ignored row", "its gradient").theirs.values
    assert found is not None
    np.testing.assert_array_equal(np.isnan(found), [[True, True], [False, False]])


def test_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A framework that sums where it took the mean gets another answer."""
    original = torch.nn.functional.cross_entropy
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", partial(original, reduction="sum"))
    summing = Explained("torch")
    assert summing.answer("default reduction", "function") == "the sum"
    assert summing.answer("denominator of a weighted mean", "class weights, labels") == ""
    with pytest.raises(AssertionError):
        summing.assert_as_in_the_readme("torch.nn", TOLD)
