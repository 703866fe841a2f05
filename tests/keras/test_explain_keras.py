"""``xentropy explain --framework keras``: what it finds on the framework under Keras is what the README says."""

from __future__ import annotations

import keras
import pytest
from explaining import EMPTY, SMOOTHED, Explained

from xentropy_keras.explain import framework

ENGINE = keras.backend.backend()
JAX, TENSORFLOW = ENGINE == "jax", ENGINE == "tensorflow"
CLIPPED, HALF = "to [1e-7, 1 - 1e-7]", "dtype of the loss of half-precision logits"
OUTSIDE = {"torch": "IndexError", "tensorflow": "InvalidArgumentError", "jax": "0"}[ENGINE]
NAMES = ("losses.sparse_categorical_crossentropy", "losses.categorical_crossentropy", "losses.binary_crossentropy")
TOLD = {
    "first arguments": (
        "`y_true, y_pred`",
        {"": "targets, predictions", **{f"{name} by name": "y_true, y_pred" for name in NAMES}},
    ),
    "takes": (
        "probabilities; `from_logits=True`: logits",
        {"": "probabilities", "from_logits=True": "logits", "binary": "probabilities"},
    ),
    "axis of the classes": ("last; `axis`", {"": "the last one", "axis=1": "axis 1"}),
    "default reduction": ("classes: mean; functions: none", {"class": "the mean", "function": "each loss"}),
    "probabilities are clipped": (
        "to [1e-7, 1 - 1e-7]",
        {"probabilities": CLIPPED, "labels": CLIPPED, "binary": CLIPPED},
    ),
    "rows of probabilities are divided by their sum": (
        "yes",
        {"[0.25, 0.5]": "yes", "[3.0, 1.0]": "yes, once they are clipped" if TENSORFLOW else "yes"},
    ),
    "denominator of a weighted mean": (
        'the number of rows; `"mean_with_sample_weight"`: Σ sample weights',
        {
            "": "the number of rows",
            "probabilities": "the number of rows",
            "mean_with_sample_weight": "the sum of the sample weights",
        },
    ),
    "label smoothing": (
        "(1 - ε) t + ε/C; binary: y (1 - ε) + ε/2",
        {"": SMOOTHED, "binary": "y (1 - ε) + ε/2"},
    ),
    "ignored rows": (
        "`ignore_class`: loss 0, not in the denominator of classes",
        {"ignore_class, class": "not in the denominator", "ignore_class, function": "each loss, 0 of these"},
    ),
    "nothing to average": (
        "0; an empty batch gives an empty array",
        {"all rows ignored": "0", "an empty batch": EMPTY},
    ),
    "a label out of range": (
        "`IndexError`; with TensorFlow's graphs `InvalidArgumentError`; NaN under jit and XLA; its own: with "
        "TensorFlow always `InvalidArgumentError` or NaN, with JAX 0",
        {"3": OUTSIDE, "-1": OUTSIDE},
    ),
    "dtype of the loss of half-precision logits": (
        "classes: float32, the loss's; functions: that of the predictions, but its own with JAX float32",
        {
            f"{dtype}, {case}": answer
            for dtype in ("float16", "bfloat16")
            for case, answer in (("class", "float32"), ("function", "" if JAX else "that of the logits"))
        },
    ),
}
LOST = {
    ("a target of 0 at a logit of -inf", "probabilities"),
    ("a confident row", "labels"),
    ("a confident row", "labels, the gradient"),
    ("a confident row", "probabilities"),
    ("infinite logits of a binary loss", "the right side"),
}
LOST_ON = {
    "torch": {("a confident row", "a binary loss"), ("infinite logits of a binary loss", "the wrong side")},
    "tensorflow": {
        ("targets that do not sum to 1", "probabilities, the gradient"),
        ("infinite logits of a binary loss", "the wrong side"),
    },
    "jax": {
        ("a target of 0 at a logit of -inf", "labels"),
        (HALF, "float16, function"),
        (HALF, "bfloat16, function"),
    },
}
OTHERWISE = {("label smoothing", "axis=1, and a last axis of size 2")}
REFUSED = {("axis of the classes", "labels, axis=1"), ("a label out of range", "3"), ("a label out of range", "-1")}
OTHERWISE_ON = {
    "torch": set(),
    "tensorflow": REFUSED | {("rows of probabilities are divided by their sum", "[3.0, 1.0]")},
    "jax": REFUSED,
}


@pytest.fixture(scope="module")
def explained() -> Explained:
    return Explained("keras")


def test_every_probe_is_sound(explained: Explained) -> None:
    explained.assert_sound()


def test_every_call_is_true_of_any_batch(explained: Explained) -> None:
    explained.assert_true_of_any_batch("ops.concatenate")


def test_it_finds_what_the_readme_says(explained: Explained) -> None:
    explained.assert_as_in_the_readme("Keras", TOLD)


def test_on_jax_half_precision_comes_back_as_float32(explained: Explained) -> None:
    for dtype in ("float16", "bfloat16"):
        assert explained.finding(HALF, f"{dtype}, function").theirs.dtype == ("float32" if JAX else dtype)


def test_where_nothing_of_ours_does_what_theirs_does_and_where_the_drop_in_differs(explained: Explained) -> None:
    lost = LOST | LOST_ON[ENGINE]
    assert explained.unanswered() == lost
    assert explained.differing() == lost | OTHERWISE | OTHERWISE_ON[ENGINE]


def test_it_says_on_which_framework() -> None:
    assert framework.note == f"KERAS_BACKEND={ENGINE}"
    assert framework.modules == ("keras", ENGINE)


def test_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that sums where it took the mean gets another answer."""

    class Summing(keras.losses.SparseCategoricalCrossentropy):
        def __init__(self, **options: object) -> None:
            super().__init__(**{"reduction": "sum", **options})

    monkeypatch.setattr(keras.losses, "SparseCategoricalCrossentropy", Summing)
    assert Explained("keras").answer("default reduction", "class") == "the sum"
