"""value_and_grad in libraries that have no autodiff: every option, every shape, against the exact derivative."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from derivatives import BINARY, LOGITS, PROBLEMS, Problem, assert_close, softmax_gradient
from harness import Harness

from xentropy import binary_cross_entropy, cross_entropy, value_and_grad

INF, NAN = math.inf, math.nan
REDUCED = [problem for problem in PROBLEMS if problem.options.get("reduction") != "none"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("problem", REDUCED, ids=[problem.name for problem in REDUCED])
def test_option_table(plain: Harness, problem: Problem, dtype: str) -> None:
    logits, *targets = (plain.asarray(a, dtype) for a in problem.arrays)
    value, gradient = value_and_grad(problem.bind(plain.asarray))(logits, *targets)
    assert isinstance(gradient, plain.array_type)
    assert (plain.dtype(value), plain.dtype(gradient)) == (dtype, dtype)
    assert_close(plain.to_numpy(value), problem.exact.value, dtype)
    assert_close(plain.to_numpy(gradient), problem.exact.gradient[0], dtype)


@pytest.mark.parametrize("confidence", [8.0, 20.0, 40.0, 80.0])
def test_confident_rows(plain: Harness, confidence: float) -> None:
    """p - 1 at the label keeps its relative accuracy where p itself is 1."""
    x = plain.asarray(np.array([[confidence, 0.0, 0.5]]), "float32")
    value, gradient = value_and_grad(cross_entropy)(x, plain.asarray(np.array([0])))
    excess = math.exp(-confidence) + math.exp(0.5 - confidence)
    np.testing.assert_allclose(plain.to_numpy(value), math.log1p(excess), rtol=4e-7)
    np.testing.assert_allclose(plain.to_numpy(gradient)[0, 0], -excess / (1.0 + excess), rtol=4e-7)


def test_rows_that_make_several_blocks(plain: Harness) -> None:
    generator = np.random.default_rng(0)
    x, labels = generator.normal(size=(600, 1024)), generator.integers(1024, size=600)
    weight = generator.uniform(0.5, 2.0, size=1024)
    arrays = [plain.asarray(a) for a in (x, labels, weight)]
    _, gradient = value_and_grad(lambda x: cross_entropy(x, arrays[1], class_weight=arrays[2]))(arrays[0])
    expected = softmax_gradient(x, np.eye(1024)[labels] * weight) / weight[labels].sum()
    np.testing.assert_allclose(plain.to_numpy(gradient), expected, rtol=1e-11, atol=1e-17)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((4,), 0), ((1, 4), -1), ((2, 4, 3), 1), ((4, 2, 3), 0), ((2, 1, 3, 4), -1), ((0, 4), -1)],
)
def test_shapes(plain: Harness, shape: tuple[int, ...], axis: int) -> None:
    x = np.random.default_rng(1).normal(size=shape)
    rows = np.moveaxis(x, axis, -1)
    labels = np.random.default_rng(2).integers(4, size=rows.shape[:-1])
    _, gradient = value_and_grad(cross_entropy)(plain.asarray(x), plain.asarray(labels), axis=axis)
    expected = softmax_gradient(rows.reshape(-1, 4), np.eye(4)[labels.ravel()]).reshape(rows.shape) / max(
        1, labels.size
    )
    assert_close(plain.to_numpy(gradient), np.moveaxis(expected, -1, axis))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3), (0,)])
def test_binary_shapes(plain: Harness, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).normal(size=shape)
    y = np.random.default_rng(2).integers(2, size=shape)
    x, y = np.asarray(x), np.asarray(y)
    _, gradient = value_and_grad(binary_cross_entropy)(plain.asarray(x), plain.asarray(y), reduction="sum")
    assert_close(plain.to_numpy(gradient), 1.0 / (1.0 + np.exp(-x)) - y)


def test_ignored_rows_of_nan(plain: Harness) -> None:
    x = plain.asarray(np.array([LOGITS[0], [NAN, INF, -INF, NAN], LOGITS[2]]))
    loss = value_and_grad(partial(cross_entropy, ignore_index=-100))
    value, gradient = loss(x, plain.asarray(np.array([2, -100, 0])))
    kept = softmax_gradient([LOGITS[0], LOGITS[2]], np.eye(4)[[2, 0]]) / 2.0
    assert math.isfinite(float(plain.to_numpy(value)))
    assert_close(plain.to_numpy(gradient), np.stack([kept[0], np.zeros(4), kept[1]]))


def test_all_rows_ignored(plain: Harness) -> None:
    x = plain.asarray(np.full((2, 3), NAN))
    value, gradient = value_and_grad(cross_entropy)(x, plain.asarray(np.array([7, 7])), ignore_index=7)
    assert float(plain.to_numpy(value)) == 0.0
    assert not plain.to_numpy(gradient).any()


def test_targets_of_zero_at_minus_infinity(plain: Harness) -> None:
    x = np.array([[1.0, -INF, 0.5], [-INF, 2.0, -INF]])
    t = np.array([[0.75, 0.0, 0.25], [0.0, 1.0, 0.0]])
    _, gradient = value_and_grad(cross_entropy)(plain.asarray(x), plain.asarray(t), reduction="sum")
    assert_close(plain.to_numpy(gradient), softmax_gradient(x, t))


def test_binary_limits(plain: Harness) -> None:
    z, y = plain.asarray(np.array([INF, -INF, INF, -INF])), plain.asarray(np.array([1.0, 0.0, 0.0, 1.0]))
    value, gradient = value_and_grad(binary_cross_entropy)(z, y, reduction="sum")
    assert float(plain.to_numpy(value)) == INF
    assert plain.to_numpy(gradient).tolist() == [0.0, 0.0, 1.0, -1.0]


@pytest.mark.parametrize("loss", [cross_entropy, binary_cross_entropy])
def test_no_reduction_is_refused(plain: Harness, loss: Callable[..., Any]) -> None:
    x, t = plain.asarray(np.array(BINARY.logits)), plain.asarray(np.array(BINARY.targets, dtype=float))
    with pytest.raises(ValueError, match=r"reduction='none'"):
        value_and_grad(partial(loss, reduction="none"))(x, t)
