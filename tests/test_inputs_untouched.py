"""Nothing that is passed in is ever written to, however it lies in memory; how it lies changes no number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import Case
from harness import Harness, Subject

import xentropy

Array = Any


def every_second(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Every second element of a larger array."""
    large = np.zeros(tuple(2 * size for size in x.shape), dtype=x.dtype)
    view = large[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def reversed_twice(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same numbers behind negative strided."""
    flip = tuple(slice(None, None, -1) for _ in x.shape)
    return np.ascontiguousarray(x[flip])[flip]


def misaligned(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """At an odd address."""
    buffer = bytearray(x.nbytes + 1)
    view = np.frombuffer(buffer, dtype=x.dtype, count=x.size, offset=1).reshape(x.shape)
    view[...] = x
    return view


LAYOUTS: dict[str, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    "contiguous": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "strided": every_second,
    "negative": reversed_twice,
    "misaligned": misaligned,
}
CASES = [
    Case.INDEX,
    Case.IGNORED,
    Case.EVERYTHING,
    Case.SOFT_EVERYTHING,
    Case.SOFT_MINUS_INF,
    Case.PROBABILITIES_SOFT,
    Case.BINARY_EVERYTHING,
    Case.BINARY_PROBABILITIES,
]
some_cases = pytest.mark.parametrize("problem", [c.value for c in CASES], ids=[c.id for c in CASES])


@some_cases
@pytest.mark.parametrize("writable", [True, False], ids=["writable", "read_only"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_numpy(layout: str, writable: bool, problem: Any) -> None:
    """NumPy arrays of every layout: same bytes after as before, and the answer of contiguous ones."""
    arrays = {name: LAYOUTS[layout](array) for name, array in problem.arrays.items()}
    for array in arrays.values():
        array.flags.writeable = writable
    before = {name: array.tobytes() for name, array in arrays.items()}
    value, gradient = xentropy.value_and_grad(problem.function)(**arrays, **problem.static)
    assert before == {name: array.tobytes() for name, array in arrays.items()}
    expected = xentropy.value_and_grad(problem.function)(**problem.arrays, **problem.static)
    np.testing.assert_array_max_ulp(value, expected[0], maxulp=2)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-6, atol=1e-9)
    assert not any(np.shares_memory(gradient, array) for array in arrays.values())


def test_numpy_broadcast_views() -> None:
    """Rows that share their memory."""
    row = np.array([1.0, 2.0, 0.5], dtype=np.float32)
    logits = np.broadcast_to(row, (4, 3))
    value, gradient = xentropy.value_and_grad(xentropy.cross_entropy)(logits, np.broadcast_to(np.array(1), 4))
    alone = xentropy.value_and_grad(xentropy.cross_entropy)(row[None, :].copy(), np.array([1]))
    np.testing.assert_array_max_ulp(value, alone[0], maxulp=1)
    np.testing.assert_allclose(gradient, np.tile(alone[1] / 4, (4, 1)), rtol=1e-6)
    np.testing.assert_array_equal(row, np.array([1.0, 2.0, 0.5], dtype=np.float32))


def test_numpy_many_blocks() -> None:
    """More rows than a block holds, read-only: the core's scratch is its own."""
    logits = np.random.default_rng(0).normal(size=(700, 1000)).astype(np.float32)
    labels = np.arange(700) % 1000
    logits.flags.writeable = labels.flags.writeable = False
    before = logits.tobytes()
    _, gradient = xentropy.value_and_grad(xentropy.cross_entropy)(logits, labels, label_smoothing=0.1)
    assert logits.tobytes() == before
    one_by_one = xentropy.value_and_grad(xentropy.cross_entropy)(logits[650:651], labels[650:651], label_smoothing=0.1)
    np.testing.assert_allclose(gradient[650], one_by_one[1][0] / 700, rtol=1e-5, atol=1e-10)


@some_cases
def test_values_before_and_after(subject: Subject, problem: Any) -> None:
    """Every array of every library holds what it held."""
    arrays = {name: subject.harness.asarray(array) for name, array in problem.arrays.items()}
    subject.run(problem.function, arrays, **problem.static)
    subject.run_gradient(problem.function, arrays, **problem.static)
    for name, array in arrays.items():
        np.testing.assert_array_equal(subject.harness.to_numpy(array), problem.arrays[name])


def torch_views(x: Array) -> dict[str, Array]:
    """The tensor in other layouts."""
    import torch

    large = torch.zeros([2 * size for size in x.shape], dtype=x.dtype)
    view = large[tuple(slice(None, None, 2) for _ in x.shape)]
    view.copy_(x)
    return {"transposed": x.mT.contiguous().mT, "strided": view}


@some_cases
def test_torch_views(strided: Harness, problem: Any) -> None:
    """Tensors that are not contiguous."""
    subject = Subject(strided, "eager")
    tensors = {name: strided.asarray(array) for name, array in problem.arrays.items()}
    expected = subject.run_gradient(problem.function, tensors, **problem.static)
    for layout in ("transposed", "strided"):
        views = {name: torch_views(t)[layout] if t.ndim == 2 else t for name, t in tensors.items()}
        value, (gradient,) = subject.run_gradient(problem.function, views, **problem.static)
        np.testing.assert_array_max_ulp(strided.to_numpy(value), strided.to_numpy(expected[0]), maxulp=2)
        np.testing.assert_allclose(strided.to_numpy(gradient), strided.to_numpy(expected[1][0]), rtol=1e-6, atol=1e-9)
        for name, view in views.items():
            np.testing.assert_array_equal(strided.to_numpy(view), problem.arrays[name])
