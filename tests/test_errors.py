"""What is refused, by which exception, and in which words: also inside jit and graphs, where shapes are known."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from cases import floats
from harness import Harness, Subject

import xentropy

CE, BCE, STATISTICS = xentropy.cross_entropy, xentropy.binary_cross_entropy, xentropy.token_statistics
X = np.zeros((5, 4), np.float32)
CUBE = np.zeros((2, 4, 3), np.float32)
Y = np.zeros(5, np.int32)


def f(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


def i(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape, np.int32)


def b(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, bool)


# name: function, arrays, options, what the message says (both shapes)
SHAPES = {
    "fewer labels": (CE, {"logits": X, "targets": i(4)}, {}, ["targets", "(4,)", "(5,)"]),
    "labels with a class axis": (CE, {"logits": X, "targets": i(5, 1)}, {}, ["targets", "(5, 1)", "(5,)"]),
    "labels of the logits' shape": (CE, {"logits": X, "targets": i(5, 4)}, {}, ["targets", "(5, 4)", "(5,)"]),
    "labels on the wrong axis": (CE, {"logits": CUBE, "targets": i(2, 3)}, {}, ["targets", "(2, 3)", "(2, 4)"]),
    "labels of other axis": (CE, {"logits": CUBE, "targets": i(2, 4)}, {"axis": 1}, ["targets", "(2, 4)", "(2, 3)"]),
    "label of one row": (CE, {"logits": f(4), "targets": i(4)}, {}, ["targets", "(4,)", "()"]),
    "fewer probabilities": (CE, {"logits": X, "targets": f(5, 3)}, {}, ["targets", "(5, 3)", "(5, 4)"]),
    "probabilities without rows": (CE, {"logits": X, "targets": f(4)}, {}, ["targets", "(4,)", "(5, 4)"]),
    "class_weight": (CE, {"logits": X, "targets": Y, "class_weight": f(5)}, {}, ["class_weight", "(5,)", "(4,)"]),
    "class_weight scalar": (CE, {"logits": X, "targets": Y, "class_weight": f()}, {}, ["class_weight", "()", "(4,)"]),
    "class_weight rows": (
        CE,
        {"logits": X, "targets": Y, "class_weight": f(5, 4)},
        {},
        ["class_weight", "(5, 4)", "(4,)"],
    ),
    "sample_weight": (CE, {"logits": X, "targets": Y, "sample_weight": f(4)}, {}, ["sample_weight", "(4,)", "(5,)"]),
    "sample_weight of more axes": (
        CE,
        {"logits": X, "targets": Y, "sample_weight": f(5, 1)},
        {},
        ["sample_weight", "(5, 1)", "(5,)"],
    ),
    "class_mask": (CE, {"logits": X, "targets": Y, "class_mask": b(5)}, {}, ["class_mask", "(5,)", "(4,)"]),
    "class_mask rows": (CE, {"logits": X, "targets": Y, "class_mask": b(1, 4)}, {}, ["class_mask", "(1, 4)", "(5, 4)"]),
    "normalizer": (CE, {"logits": X, "targets": Y, "normalizer": f(1)}, {}, ["normalizer", "(1,)", "()"]),
    "binary targets": (BCE, {"logits": X, "targets": f(5)}, {}, ["targets", "(5,)", "(5, 4)"]),
    "binary labels": (BCE, {"logits": X, "targets": i(5, 1)}, {}, ["targets", "(5, 1)", "(5, 4)"]),
    "pos_weight": (BCE, {"logits": X, "targets": f(5, 4), "pos_weight": f(5)}, {}, ["pos_weight", "(5,)", "(5, 4)"]),
    "binary sample_weight": (
        BCE,
        {"logits": X, "targets": f(5, 4), "sample_weight": f(2, 5, 4)},
        {},
        ["sample_weight", "(2, 5, 4)", "(5, 4)"],
    ),
    "binary normalizer": (BCE, {"logits": X, "targets": f(5, 4), "normalizer": f(2)}, {}, ["normalizer", "(2,)", "()"]),
    "statistics": (STATISTICS, {"logits": X, "targets": i(4)}, {}, ["targets", "(4,)", "(5,)"]),
    "no classes": (CE, {"logits": f(5, 0), "targets": Y}, {}, ["logits", "(5, 0)"]),
    "no classes, soft": (CE, {"logits": f(5, 0), "targets": f(5, 0)}, {}, ["logits", "(5, 0)"]),
    "no classes on axis 0": (CE, {"logits": f(0, 5), "targets": Y}, {"axis": 0}, ["logits", "(0, 5)"]),
    "no classes, statistics": (STATISTICS, {"logits": f(5, 0), "targets": Y}, {}, ["logits", "(5, 0)"]),
    "no axes": (CE, {"logits": f(), "targets": i()}, {}, ["axis", "()"]),
    "axis too high": (CE, {"logits": X, "targets": Y}, {"axis": 2}, ["axis", "2", "(5, 4)"]),
    "axis too low": (CE, {"logits": X, "targets": Y}, {"axis": -3}, ["axis", "-3", "(5, 4)"]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(subject: Subject, name: str) -> None:
    """ValueError that says which argument, its shape and the shape it should have."""
    function, arrays, options, said = SHAPES[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (four parts are looked for below)
        subject.run(function, arrays, **options)
    assert all(part in str(caught.value) for part in said), str(caught.value)


# argument, values outside the domain; the message names argument and value
DOMAINS = {
    CE: [
        ("label_smoothing", [-0.1, 1.5, float("nan"), float("inf")]),
        ("temperature", [0.0, -1.0, 1e-30, float("nan"), float("inf"), 10**400]),
        ("softcap", [0.0, -2.0, 1e39, float("nan"), float("inf")]),
        ("z_loss", [-1e-4, float("nan"), float("inf")]),
        ("focal_gamma", [-0.5, float("nan"), float("inf")]),
        ("normalizer", [-1.0, float("nan"), float("inf")]),
        ("reduction", ["average", "", "Mean"]),
        ("precision", ["float32", "double"]),
        ("validate", ["yes", "never"]),
    ],
    BCE: [
        ("label_smoothing", [-0.1, 1.5, float("nan")]),
        ("focal_alpha", [-0.25, 1.25, float("nan")]),
        ("focal_gamma", [-2.0, float("inf")]),
        ("reduction", ["average"]),
        ("precision", ["float16"]),
        ("validate", ["yes"]),
    ],
    STATISTICS: [("temperature", [0.0, -3.0, float("nan")])],
}
# argument, values of another type
TYPES = {
    CE: [
        ("label_smoothing", ["0.1", None, [0.1], True, 0.1j]),
        ("temperature", ["1", None]),
        ("softcap", ["30", [30.0]]),
        ("z_loss", [None, "0"]),
        ("focal_gamma", [None, "2"]),
        ("ignore_index", [1.0, "1", True]),
        ("from_logits", [1, None, "yes"]),
        ("axis", [1.0, None, "last", True]),
        ("normalizer", ["8", True, 1j]),
        ("class_mask", [[1.0, 1.0, 0.0, 1.0], [1, 1, 0, 1]]),
        ("class_weight", [[True, True, True, True], "1234"]),
        ("sample_weight", ["1", [True] * 5]),
    ],
    BCE: [
        ("label_smoothing", ["0.1", None]),
        ("focal_alpha", ["0.25"]),
        ("focal_gamma", [None]),
        ("from_logits", [0]),
        ("pos_weight", ["1", [[True] * 4]]),
        ("sample_weight", ["1"]),
    ],
    STATISTICS: [("temperature", ["1", None]), ("axis", ["last"])],
}


def flat(table: Any) -> list[Any]:
    return [
        pytest.param(function, argument, value, id=f"{function.__name__}-{argument}-{value!r}")
        for function, rules in table.items()
        for argument, values in rules
        for value in values
    ]


def call(backend: Harness, function: Any, **options: Any) -> None:
    function(backend.asarray(X), np.zeros((5, 4), np.int32) if function is BCE else Y, **options)


@pytest.mark.parametrize(("function", "argument", "value"), flat(DOMAINS))
def test_option_outside_its_domain(backend: Harness, function: Any, argument: str, value: Any) -> None:
    """ValueError that names the argument, the value and the rule."""
    with pytest.raises(ValueError, match=rf"{argument}.*must be.*{re.escape(repr(value))}"):
        call(backend, function, **{argument: value})


@pytest.mark.parametrize(("function", "argument", "value"), flat(TYPES))
def test_option_of_another_type(backend: Harness, function: Any, argument: str, value: Any) -> None:
    with pytest.raises(TypeError, match=argument):
        call(backend, function, **{argument: value})


@pytest.mark.parametrize(
    "option", [("softcap", 30.0), ("temperature", 2.0), ("z_loss", 1e-4), ("class_mask", [True] * 4)]
)
def test_options_that_need_logits(backend: Harness, option: tuple[str, Any]) -> None:
    """Probabilities can't take what acts on logits."""
    with pytest.raises(ValueError, match=rf"{option[0]}.*from_logits"):
        call(backend, CE, from_logits=False, **dict([option]))


@pytest.mark.parametrize("reduction", ["none", "sum"])
@pytest.mark.parametrize("function", [CE, BCE])
def test_normalizer_needs_the_mean(backend: Harness, function: Any, reduction: str) -> None:
    with pytest.raises(ValueError, match=rf"normalizer.*{reduction}"):
        call(backend, function, normalizer=3.0, reduction=reduction)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("function", [CE, BCE])
def test_normalizer_array_outside_its_domain(backend: Harness, function: Any, value: float) -> None:
    with pytest.raises(ValueError, match=rf"normalizer is {value}.*finite"):
        call(backend, function, normalizer=backend.asarray(floats(value)), validate=True)


@pytest.mark.parametrize("kind", [np.ma.MaskedArray, np.matrix])
def test_arrays_that_are_none(backend: Harness, kind: type) -> None:
    """NumPy's masked arrays would lose their mask, its matrices never lose an axis."""
    odd = np.ones((1, 4), np.float32).view(kind)
    for arrays in ((odd, Y[:1]), (backend.asarray(X[:1]), odd)):
        with pytest.raises(TypeError, match=kind.__name__):
            CE(*arrays)
    with pytest.raises(TypeError, match=kind.__name__):
        call(backend, CE, class_weight=odd)


def test_numpy_numbers_are_numbers(backend: Harness) -> None:
    """Options may come from NumPy, and at the ends of their domains."""
    call(
        backend,
        CE,
        label_smoothing=np.float32(0.5),
        temperature=np.int64(2),
        ignore_index=np.int8(-1),
        axis=np.int64(1),
    )
    call(backend, CE, label_smoothing=0, z_loss=0, focal_gamma=0, precision=None, validate=True)
    call(backend, CE, label_smoothing=1, softcap=1)
    call(backend, BCE, focal_alpha=0, focal_gamma=1)
    call(backend, BCE, focal_alpha=1.0)


@pytest.mark.parametrize("function", [CE, BCE])
def test_options_are_keywords(backend: Harness, function: Any) -> None:
    with pytest.raises(TypeError, match="positional"):
        function(backend.asarray(X), i(5, 4), floats([1.0]))


def test_ragged_lists(backend: Harness) -> None:
    with pytest.raises(ValueError, match="targets"):
        CE(backend.asarray(X), [[0], [1, 2]])
