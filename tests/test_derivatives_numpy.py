"""value_and_grad on NumPy: what it refuses to differentiate, and who sees what a loss records."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
from derivatives import INDEX, LABELS, LOGITS, SOFT, assert_close, softmax_gradient
from harness import load

from xentropy import binary_cross_entropy, cross_entropy, token_statistics, value_and_grad

Array = np.ndarray[Any, Any]
X, Y = np.array(LOGITS), np.array(LABELS)


NUMPY = load("numpy")


@pytest.mark.parametrize("dtype", [name for name in NUMPY.floats if name != "float64"])
def test_wide_precision_is_rounded_once(dtype: str) -> None:
    """Gradients in the logits' dtype, exactly rounded."""
    x = NUMPY.asarray(np.array(LOGITS), dtype)
    value, gradient = value_and_grad(cross_entropy)(x, np.array(LABELS), reduction="sum", precision="float64")
    assert (value.dtype, gradient.dtype) == (np.float32, x.dtype)
    assert value == np.float32(3.0 * INDEX.exact.value)
    exact = softmax_gradient(LOGITS, np.eye(4)[LABELS]).astype(np.float32)
    np.testing.assert_array_equal(gradient.astype(np.float32), exact.astype(x.dtype).astype(np.float32))


@pytest.mark.parametrize(
    "layout",
    [np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2], lambda x: x[::-1].copy()[::-1]],
    ids=["Fortran", "strided", "reversed"],
)
def test_inputs_are_never_written_to(layout: Callable[[Array], Array]) -> None:
    x, t, weight = (layout(np.array(v)) for v in (LOGITS, SOFT, np.ones((3, 1)) / 3))
    before = [a.copy() for a in (x, t, weight)]
    for array in (x, t, weight):
        array.flags.writeable = False
    _, gradient = value_and_grad(cross_entropy)(x, t, sample_weight=weight[:, 0], reduction="sum")
    assert_close(gradient, softmax_gradient(LOGITS, SOFT) / 3)
    gradient += 1.0
    for array, copy in zip((x, t, weight), before, strict=True):
        np.testing.assert_array_equal(array, copy)


# --- rows that are removed, and limits -----------------------------------------------------------------------------


def test_labels_out_of_range() -> None:
    with pytest.raises(IndexError, match=r"targets\[1\] is 4"):
        value_and_grad(cross_entropy)(np.array(LOGITS), np.array([2, 4, 0]))
    value, gradient = value_and_grad(cross_entropy)(np.array(LOGITS), np.array([2, 4, 0]), validate=False)
    assert math.isnan(value)
    assert np.isnan(gradient).all(axis=-1).tolist() == [False, True, False]
    assert np.isnan(gradient).any(axis=-1).tolist() == [False, True, False]


# --- what a loss may be --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss",
    [
        partial(cross_entropy, targets=Y),
        lambda x: cross_entropy(x, Y),
        lambda x: cross_entropy(targets=Y, logits=x),
    ],
    ids=["partial", "lambda", "keywords"],
)
def test_wrappers_that_change_nothing(loss: Callable[[Array], Any]) -> None:
    value, gradient = value_and_grad(loss)(X)
    assert_close(value, INDEX.exact.value)
    assert_close(gradient, INDEX.exact.gradient[0])


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: 2.0 * cross_entropy(x, Y),
        lambda x: cross_entropy(x, Y) + cross_entropy(x, Y),
        lambda x: cross_entropy(2.0 * x, Y),
        lambda x: cross_entropy(x.copy(), Y),
        lambda x: cross_entropy(x, Y, reduction="none").sum(),
        lambda x: min(cross_entropy(x, Y), cross_entropy(x, Y, temperature=2.0)),
        lambda x: x.sum(),
        lambda x: token_statistics(x, Y).entropy.sum(),
        lambda x: float(cross_entropy(x, Y)),
        lambda x: None,
    ],
    ids=[
        "scaled",
        "sum",
        "other logits",
        "copy",
        "own sum",
        "two calls",
        "no loss",
        "statistics",
        "float",
        "nothing",
    ],
)
def test_anything_else_is_refused(loss: Callable[[Array], Any]) -> None:
    """Silently differentiating only a part of it would be a wrong gradient."""
    with pytest.raises(TypeError):
        value_and_grad(loss)(X)


@pytest.mark.parametrize("logits", [LOGITS, 1.0, None, "logits"])
def test_logits_must_be_an_array(logits: Any) -> None:
    with pytest.raises(TypeError):
        value_and_grad(cross_entropy)(logits, Y)


def test_integer_logits_are_refused() -> None:
    with pytest.raises(TypeError, match="int64"):
        value_and_grad(cross_entropy)(np.arange(12).reshape(3, 4), Y)


# --- recording -----------------------------------------------------------------------------------------------------


def test_nested_recording() -> None:
    """A loss may differentiate another loss on its way, of the same logits even, and each gets its own gradient."""
    inner: list[Array] = []

    def loss(x: Array) -> Any:
        inner.append(value_and_grad(partial(binary_cross_entropy, reduction="sum"))(x, np.ones((3, 4)))[1])
        result = cross_entropy(x, Y)
        inner.append(value_and_grad(cross_entropy)(2.0 * x, Y)[1])
        return result

    _, gradient = value_and_grad(loss)(X)
    assert_close(gradient, INDEX.exact.gradient[0])
    assert_close(inner[0], 1.0 / (1.0 + np.exp(-X)) - 1.0)
    assert_close(inner[1], softmax_gradient(2.0 * X, np.eye(4)[Y]) / 3.0)


def test_a_loss_that_raises_leaves_nothing_behind() -> None:
    def fails(x: Array) -> Any:
        cross_entropy(x, Y)
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        value_and_grad(fails)(X)
    cross_entropy(X, Y)
    assert_close(value_and_grad(cross_entropy)(X, Y)[1], INDEX.exact.gradient[0])


def test_values_are_the_same_with_and_without_recording() -> None:
    value, _ = value_and_grad(cross_entropy)(X, Y)
    assert value == cross_entropy(X, Y)
    assert type(value) is type(cross_entropy(X, Y))


def test_threads_have_their_own_tapes() -> None:
    """All threads are inside their loss at once: whoever shared a tape would see two calls."""
    threads = 4
    together = threading.Barrier(threads)

    def differentiate(scale: int) -> Array:
        def loss(x: Array) -> Any:
            together.wait(timeout=30)
            result = cross_entropy(x, Y)
            together.wait(timeout=30)
            return result

        return value_and_grad(loss)(scale * X)[1]

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(differentiate, range(1, threads + 1)))
    for scale, gradient in enumerate(found, start=1):
        assert_close(gradient, softmax_gradient(scale * X, np.eye(4)[Y]) / 3.0)


def test_tasks_have_their_own_tapes() -> None:
    """A plain loss in a task started by a loss under differentiation is no part of it."""

    async def other() -> None:
        cross_entropy(X, Y)

    def loss(x: Array) -> Any:
        result = cross_entropy(x, Y)
        thread = threading.Thread(target=lambda: asyncio.run(other()))
        thread.start()
        thread.join()
        return result

    assert_close(value_and_grad(loss)(X)[1], INDEX.exact.gradient[0])


def test_plain_losses_are_not_kept_alive() -> None:
    """Outside of value_and_grad nothing remembers the logits."""

    class Tracked(np.ndarray[Any, Any]):
        """An array that can be weakly referenced by name."""

    logits = np.array(LOGITS).view(Tracked)
    gone = weakref.ref(logits)
    cross_entropy(logits, Y)
    value_and_grad(cross_entropy)(logits, Y)
    del logits
    gc.collect()
    assert gone() is None


def test_memory_grows_with_the_block_and_not_with_the_logits() -> None:
    """Beyond the gradient itself: nothing of the logits' size."""
    x = np.random.default_rng(0).standard_normal((2000, 8192), dtype=np.float32)
    y = np.arange(2000)
    for call, gradients in ((cross_entropy, 0), (value_and_grad(cross_entropy), 1)):
        call(x[:2], y[:2])
        tracemalloc.start()
        call(x, y)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < gradients * x.nbytes + x.nbytes // 8
