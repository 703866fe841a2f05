"""``xentropy explain --framework numpy``: scikit-learn's log_loss, as the README has it, and measured."""

from __future__ import annotations

from typing import Any

import pytest
import sklearn.metrics
from explaining import NO_OPTION, Explained

TOLD = {
    "first arguments": ("`y_true, y_proba`", {"": "targets, predictions", "by name": "y_true, y_proba"}),
    "takes": ("probabilities", {"": "probabilities"}),
    "axis of the classes": ("1", {"": "axis 1"}),
    "default reduction": ("mean", {"": "the mean", "normalize=False": "the sum"}),
    "probabilities are clipped": (
        "to the dtype's [eps, 1 - eps]",
        {"float32": "to [eps, 1 - eps] of their dtype", "float64": "to [eps, 1 - eps] of their dtype"},
    ),
    "rows of probabilities are divided by their sum": ("no, but it warns", {"": "no"}),
    "denominator of a weighted mean": ("Σ sample weights", {"": "the sum of the sample weights"}),
    "label smoothing": ("none", {"label_smoothing": NO_OPTION}),
    "ignored rows": ("none", {"ignore_index": NO_OPTION}),
    "nothing to average": ("`ValueError`", {"": "ValueError"}),
    "a label out of range": ("`ValueError`", {"3": "ValueError", "-1": "ValueError"}),
    "dtype of the loss of half-precision logits": ("a Python float", {"": "a Python float"}),
}
OF_LOGITS = {
    "NaN logits in an ignored row",
    "infinite logits of a binary loss",
    "pos_weight",
    "targets that do not sum to 1",
}


@pytest.fixture(scope="module")
def explained() -> Explained:
    return Explained("numpy")


def test_every_probe_is_sound(explained: Explained) -> None:
    explained.assert_sound(without=OF_LOGITS)


def test_every_call_is_true_of_any_batch(explained: Explained) -> None:
    explained.assert_true_of_any_batch("np.concatenate")


def test_it_finds_what_the_readme_says(explained: Explained) -> None:
    explained.assert_as_in_the_readme("scikit-learn", TOLD)


def test_warnings_are_seen(explained: Explained) -> None:
    (warned,) = explained.finding("rows of probabilities are divided by their sum").theirs.warned
    assert warned.startswith("UserWarning: ")
    assert "sum to one" in warned


def test_one_column_of_float32_loses_digits(explained: Explained) -> None:
    lost = explained.finding("a confident row", "label 0 and one column of float32")
    assert (lost.answer, lost.drop_in_ulp) == ("", None)


def test_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A framework that sums where it took the mean gets another answer."""
    original = sklearn.metrics.log_loss

    def summing(*args: Any, **options: Any) -> float:
        return original(*args, **{"normalize": False, **options})

    monkeypatch.setattr(sklearn.metrics, "log_loss", summing)
    assert Explained("numpy").answer("default reduction") == "the sum"
