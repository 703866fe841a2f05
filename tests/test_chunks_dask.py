"""Dask arrays in chunks of rows, classes and both: the numbers of the table, lazily, in the memory of a few chunks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
from cases import CLASSES, LABELS, LOGITS, ROWS, Case, floats, with_rows
from dask.callbacks import Callback
from harness import Subject, load
from outside import run
from reference import ulp
from test_matrix import SMALLEST, assert_within, row_bounds
from test_token_statistics import FIELDS, exact

import xentropy
import xentropy_numpy
from xentropy_dask import log_loss

Array = Any
Chunks = tuple[tuple[int, ...], tuple[int, ...]]

INF, NAN = np.inf, np.nan
CHUNKS: dict[str, Chunks] = {
    "rows": ((2, 3), (4,)),
    "classes": ((5,), (2, 2)),
    "both": ((4, 1), (1, 2, 1)),
    "single": ((1,) * 5, (1,) * 4),
    "empty": ((2, 0, 3), (0, 2, 0, 2)),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Chunks are computed here and now: NumPy's complaints about inf and NaN would come from this thread."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(params=CHUNKS.values(), ids=CHUNKS)
def chunks(request: pytest.FixtureRequest) -> Chunks:
    """Of the five rows and four classes of the table."""
    found: Chunks = request.param
    return found


def cut(values: np.ndarray[Any, Any], chunks: Chunks) -> Array:
    """An array in the chunks of its axes, if it has as many along them."""
    if values.shape == (ROWS, CLASSES):
        return da.from_array(values, chunks=chunks)
    return da.from_array(values, chunks=chunks[0]) if values.shape == (ROWS,) else values


def compute(*arrays: Array) -> tuple[np.ndarray[Any, Any], ...]:
    return tuple(map(np.asarray, dask.compute(*arrays)))


# --- the table -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [CHUNKS[name] for name in CHUNKS if name != "empty"], ids=lambda c: f"{c[0]}-{c[1]}")
@pytest.mark.parametrize("table_case", [case for case in Case if not case.value.binary], ids=lambda case: case.id)
def test_table(table_case: Case, chunks: Chunks) -> None:
    """Rows, mean and gradient within the bounds of the matrix."""
    problem, subject = table_case.value, Subject(load("dask"), "eager")
    arrays = {name: cut(array, chunks) for name, array in problem.arrays.items()}
    static = {name: value for name, value in problem.static.items() if name != "normalizer"}
    rows = xentropy.cross_entropy(**arrays, **static, reduction="none")
    mean, gradient = xentropy.value_and_grad(xentropy.cross_entropy)(**arrays, **problem.static)
    assert gradient.chunks == tuple(tuple(size for size in sizes if size) for sizes in chunks)
    values = compute(rows, mean, gradient)
    answer, bounds = problem.exact, row_bounds(subject, table_case)
    tiny = np.abs(answer.rows.high) < SMALLEST
    assert_within(np.where(tiny, 0.0, answer.rows.ulps(values[0], "float32")), bounds, "row")
    assert np.all(np.abs(values[0][tiny]) <= SMALLEST)
    assert_within(answer.mean.ulps(values[1], "float32"), bounds.max() + 2.0, "mean")
    relative = (bounds + 2.0)[:, None] * ulp(answer.gradient.high, "float32") + SMALLEST
    within = np.where(answer.at_label, relative, 4e-7 * answer.scale)
    assert_within(answer.gradient.error(values[2]), within, "gradient")


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ignored": {"ignore_index": 3},
    "smoothing_z": {"label_smoothing": 0.1, "z_loss": 0.01},
    "softcap": {"softcap": 10.0, "temperature": 1.5},
    "focal": {"focal_gamma": 2.0, "label_smoothing": 0.1},
}
WIDE = ((8,), (60,)), ((3, 5), (60,)), ((8,), (1, 29, 30)), ((2, 6), (7,) * 8 + (4,)), ((1,) * 8, (3,) * 20)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "probabilities"])
def test_float64_is_the_same_in_any_chunks(options: dict[str, Any], soft: bool) -> None:
    """Of NumPy, which has no chunks, as well."""
    if soft and "ignore_index" in options:
        options = {}
    random = np.random.default_rng(0)
    logits = (8.0 * random.normal(size=(8, 60))).astype(np.float32)
    targets = random.dirichlet(np.ones(60), 8).astype(np.float32) if soft else random.integers(0, 60, 8)
    loss = xentropy.value_and_grad(lambda x: xentropy.cross_entropy(x, targets, precision="float64", **options))
    whole = loss(logits)
    for chunks in WIDE:
        for found, expected in zip(compute(*loss(da.from_array(logits, chunks=chunks))), whole, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("axis", [-1, 1, 0])
def test_classes_along_any_axis(axis: int) -> None:
    random = np.random.default_rng(1)
    logits = random.normal(size=(6, 7, 8)).astype(np.float32)
    labels = random.integers(0, 6, np.delete(logits.shape, axis))
    chunked = da.from_array(logits, chunks=(2, 3, 5))
    rows = xentropy.cross_entropy(chunked, labels, axis=axis, reduction="none")
    value, gradient = xentropy.value_and_grad(lambda x: xentropy.cross_entropy(x, labels, axis=axis))(chunked)
    expected = xentropy.value_and_grad(lambda x: xentropy.cross_entropy(x, labels, axis=axis))(logits)
    whole = xentropy.cross_entropy(logits, labels, axis=axis, reduction="none")
    np.testing.assert_allclose(rows.compute(), whole, rtol=1e-6)
    np.testing.assert_allclose(value.compute(), expected[0], rtol=1e-6)
    np.testing.assert_allclose(gradient.compute(), expected[1], rtol=1e-5, atol=1e-9)


def test_log_probabilities_and_elements(chunks: Chunks) -> None:
    """The other losses are computed block by block as well."""
    x, y = floats(LOGITS), np.array(LABELS)
    for loss, targets, options in (
        (xentropy.nll_loss, y, {"label_smoothing": 0.1}),
        (xentropy.nll_loss, y, {"ignore_index": 2, "class_weight": [1.0, 2.0, 3.0, 0.5]}),
        (xentropy.binary_cross_entropy, floats(x > 0.0), {"pos_weight": 2.0 + 0.0 * x}),
        (xentropy.binary_cross_entropy, floats(x > 0.0), {"sample_weight": np.abs(x)}),
    ):
        given = {name: cut(v, chunks) if isinstance(v, np.ndarray) else v for name, v in options.items()}
        rows = loss(cut(x, chunks), cut(targets, chunks), **given, reduction="none")
        found = xentropy.value_and_grad(loss)(cut(x, chunks), cut(targets, chunks), **given)
        expected = xentropy.value_and_grad(loss)(x, targets, **options)
        np.testing.assert_allclose(rows.compute(), loss(x, targets, **options, reduction="none"), rtol=1e-6)
        for ours, theirs in zip(compute(*found), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


# --- labels and values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"from_logits": False}], ids=str)
def test_a_label_of_no_class_is_nan(chunks: Chunks, options: dict[str, Any]) -> None:
    labels = cut(np.array([0, 4, 1, -1, 2]), chunks)
    x = cut(floats(np.abs(LOGITS)) / 32.0 if "from_logits" in options else floats(LOGITS), chunks)
    rows = xentropy.cross_entropy(x, labels, **options, reduction="none")
    _, gradient = xentropy.value_and_grad(lambda x: xentropy.cross_entropy(x, labels, **options))(x)
    np.testing.assert_array_equal(np.isnan(rows.compute()), [False, True, False, True, False])
    np.testing.assert_array_equal(np.isnan(gradient.compute()).any(axis=1), [False, True, False, True, False])
    with pytest.raises(IndexError, match=r"targets\[1\] is 4"):
        xentropy.cross_entropy(x, labels, **options, validate=True)


def test_a_row_is_nan_alone(chunks: Chunks) -> None:
    for poison in (NAN, INF):
        x = cut(with_rows(LOGITS, {1: [0.0, poison, 1.0, 2.0]}), chunks)
        rows = xentropy.cross_entropy(x, LABELS, reduction="none")
        _, gradient = xentropy.value_and_grad(lambda x: xentropy.cross_entropy(x, LABELS))(x)
        np.testing.assert_array_equal(np.isnan(rows.compute()), np.arange(5) == 1)
        np.testing.assert_array_equal(np.isnan(gradient.compute()).any(axis=1), np.arange(5) == 1)


def test_one_row_is_not_repeated() -> None:
    """By a weight with a chunk that has no row. (Before the one that has it, it is an error of Dask's own.)"""
    logits = da.zeros((1, 20), chunks=(1, 7), dtype=np.float32)
    weight = da.from_array(np.full(1, 2.0), chunks=1).rechunk(((1, 0),))
    loss = xentropy.cross_entropy(logits, np.zeros(1, np.int64), sample_weight=weight, reduction="none")
    np.testing.assert_allclose(loss.compute(), [2.0 * np.log(20.0)], rtol=1e-6)


def test_sizes_that_are_not_known_are_an_error() -> None:
    x = da.from_array(floats(LOGITS), chunks=2)
    x = x[x[:, 0] > 0.0]
    for call in (xentropy.cross_entropy, xentropy.token_statistics):
        with pytest.raises(ValueError, match="not computed yet"):
            call(x, LABELS)
    with pytest.raises(ValueError, match="not computed yet"):
        log_loss(LABELS, x)


def never(*blocks: Any) -> Any:
    raise AssertionError("somebody has computed this")


def test_nothing_is_computed() -> None:
    """And the same call has the same keys, so that Dask knows it again; graphs can be sent elsewhere."""
    x = da.from_array(floats(LOGITS), chunks=(2, 3)).map_blocks(never, dtype=np.float32, meta=np.empty((0, 0)))
    y = da.from_array(np.array(LABELS), chunks=2).map_blocks(never, dtype=np.int64, meta=np.empty(0, int))
    for _ in range(2):
        xentropy.token_statistics(x, y)
        xentropy.cross_entropy(x, x, focal_gamma=1.0, class_mask=[True] * 4, sample_weight=[1.0] * 5)
        log_loss(y, x, sample_weight=[1.0] * 5)
    first, second = (xentropy.value_and_grad(xentropy.cross_entropy)(x, y, ignore_index=3) for _ in range(2))
    assert [array.name for array in first] == [array.name for array in second]
    given = da.from_array(floats(LOGITS), chunks=(2, 3))
    sent = cloudpickle.loads(cloudpickle.dumps(xentropy.value_and_grad(xentropy.cross_entropy)(given, LABELS)))
    assert float(sent[0]) == float(xentropy.cross_entropy(given, LABELS))


# --- token statistics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_token_statistics(chunks: Chunks, temperature: float) -> None:
    x, y = floats(LOGITS), np.array(LABELS)
    found = xentropy.token_statistics(cut(x, chunks), cut(y, chunks), temperature=temperature)
    values = dict(zip(found._fields, compute(*found), strict=True))
    for name in FIELDS:
        bound = 4.0 + np.ptp(x / temperature, axis=-1).max()
        assert exact(temperature)[name].ulps(values[name], "float32").max() <= bound
    np.testing.assert_array_equal(values["correct"], x.argmax(axis=-1) == y)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_token_statistics_of_what_is_not_finite(chunks: Chunks, temperature: float) -> None:
    """As NumPy has it without chunks; and labels of no class."""
    # Whole chunks of -inf, NaN, a tie, all but one -inf, inf.
    rows = [-INF, -INF, 1, 2], [0, NAN, 1, 2], [3, 3, 3, 3], [-INF, -INF, -INF, 5], [INF, 1, 2, 3]
    x = floats(rows)
    y = np.array([0, 2, 0, 3, 0])
    found = compute(*xentropy.token_statistics(cut(x, chunks), cut(y, chunks), temperature=temperature))
    for ours, theirs in zip(found, xentropy.token_statistics(x, y, temperature=temperature), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2.0**-22)
    lse, log_prob, _, _ = xentropy.token_statistics(cut(floats(LOGITS), chunks), cut(y + 2, chunks))
    assert np.isfinite(lse.compute()).all()
    np.testing.assert_array_equal(np.isnan(log_prob.compute()), y + 2 >= 4)


# --- log loss ------------------------------------------------------------------------------------------------------

P = np.random.default_rng(0).dirichlet(np.ones(4), 5)
P[1] = [1.0, 0.0, 0.0, 0.0]
W = np.array([1.0, 0.5, 2.0, 0.25, 3.0])
Y = np.array([2, 1, 0, 3, 3])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "options", [{}, {"normalize": False}, {"sample_weight": W}, {"labels": [0, 1, 2, 3]}], ids="-".join
)
def test_log_loss(chunks: Chunks, options: dict[str, Any], dtype: Any) -> None:
    p, one_hot = P.astype(dtype), np.eye(4)[Y]
    expected = xentropy_numpy.log_loss(Y, p, **options)
    for y in (Y, Y.tolist(), cut(Y, chunks), cut(Y.astype(float), chunks), cut(Y, chunks)[:, None]):
        loss = log_loss(y, cut(p, chunks), **options)
        assert isinstance(loss, da.Array)
        assert loss.shape == ()
        np.testing.assert_allclose(float(loss), expected, rtol=8 * np.finfo(dtype).eps)
    if "labels" not in options:
        found = log_loss(cut(one_hot, chunks), cut(p, chunks), **options)
        np.testing.assert_allclose(float(found), expected, rtol=8 * np.finfo(dtype).eps)


def test_log_loss_of_two_classes() -> None:
    p, y = P[:, 0].copy(), np.array([0, 1, 1, 0, 1])
    chunked, expected = da.from_array(p, chunks=2), xentropy_numpy.log_loss(y, p)
    indicators = da.from_array(np.eye(2)[y], chunks=2)
    for given in (chunked, chunked[:, None], da.stack([1.0 - chunked, chunked], axis=1)):
        for labels in (y, y == 1, da.from_array(y, chunks=3), da.from_array(y == 1, chunks=3), indicators):
            np.testing.assert_allclose(float(log_loss(labels, given)), expected, rtol=1e-12)
    found = log_loss(y, da.from_array(np.array([0, 1, 1, 0, 1]), chunks=2))
    assert 0.0 < float(found) < 1e-15


@pytest.mark.parametrize("lazy", [False, True])
def test_log_loss_of_named_labels(lazy: bool) -> None:
    names = np.array(["ham", "spam", "eggs"])[[1, 0, 2, 1, 0]]
    y = da.from_array(names, chunks=2) if lazy else names
    p = P[:, :3] / P[:, :3].sum(axis=1, keepdims=True)
    found = log_loss(y, da.from_array(p, chunks=(2, 2)), labels=["eggs", "ham", "spam"])
    np.testing.assert_allclose(float(found), xentropy_numpy.log_loss(names, p), rtol=1e-12)
    with pytest.warns(UserWarning, match=r"order|ordered"):
        log_loss(y, da.from_array(p, chunks=2), labels=["spam", "ham", "eggs"])


def test_what_log_loss_cannot_see_is_nan(chunks: Chunks) -> None:
    for y, p in (
        (Y + 1, P),
        (Y - 1, P),
        (Y + 0.5, P),
        (Y, np.where(np.arange(4) == Y[:, None], 1.5, P)),
        (Y, np.where(np.arange(4) == Y[:, None], NAN, P)),
    ):
        assert np.isnan(float(log_loss(cut(y, chunks), cut(p, chunks))))
    assert np.isnan(float(log_loss(cut(Y, chunks), cut(P, chunks), sample_weight=np.zeros(5))))


@pytest.mark.parametrize(
    ("y", "p", "options", "error"),
    [
        (Y, P, {}, TypeError),
        (Y[:3], da.from_array(P), {}, ValueError),
        (da.from_array(Y[:3]), da.from_array(P), {}, ValueError),
        (Y, da.from_array(P), {"sample_weight": W[:3]}, ValueError),
        (da.from_array(Y), da.from_array(P), {"labels": [0, 1, 2]}, ValueError),
        (Y, da.from_array(P[:, :3]), {}, ValueError),
        (da.from_array(Y.astype(str)), da.from_array(P), {}, TypeError),
        (da.from_array(np.eye(4)[Y]), da.from_array(P), {"labels": [0, 1, 2, 3]}, ValueError),
        (Y, da.from_array(P + 0j), {}, ValueError),
        (Y, da.zeros((5, 4, 2)), {}, ValueError),
        (da.zeros((5, 4, 2)), da.from_array(P), {}, ValueError),
    ],
)
def test_log_loss_errors(y: Any, p: Any, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        log_loss(y, p, **options)


# --- memory --------------------------------------------------------------------------------------------------------


class Largest(Callback):  # type: ignore[misc]
    """How large the results of the tasks are, in bytes."""

    def __init__(self) -> None:
        self.bytes = 0
        super().__init__(posttask=self.look)

    def look(self, key: Any, result: Any, *_: Any) -> None:
        self.bytes = max(self.bytes, bytes_of(result))


def bytes_of(x: Any) -> int:
    return sum(map(bytes_of, x)) if isinstance(x, (list, tuple)) else getattr(x, "nbytes", 0)


def test_nothing_but_numbers_of_rows_is_gathered() -> None:
    """No task has a result that is larger than a chunk."""
    random = np.random.default_rng(0)
    logits, labels = random.random((40, 6000), dtype=np.float32), random.integers(0, 6000, 40)
    chunk = 10 * 1000 * 4
    x = da.map_blocks(lambda block: block, da.from_array(logits, chunks=(10, 1000)), dtype=np.float32)
    shared = {"class_weight": random.random(6000, dtype=np.float32)}
    masked = {"class_mask": da.ones((40, 6000), chunks=(10, 1000), dtype=bool), "softcap": 5.0}
    for targets, options in (
        (labels, {}),
        (labels, {"ignore_index": 3, **shared}),
        (labels, {"label_smoothing": 0.1, "focal_gamma": 1.0, **masked}),
        (x / 3000.0, {"z_loss": 0.1}),
        (labels, {"from_logits": False, "label_smoothing": 0.1, **shared}),
    ):
        with Largest() as seen:
            results = xentropy.value_and_grad(xentropy.cross_entropy)(x, targets, **options)
            dask.compute(results[0], results[1].sum())
        assert 0 < seen.bytes <= chunk
    for results in (xentropy.token_statistics(x, labels), (log_loss(labels, x, labels=np.arange(6000)),)):
        with Largest() as seen:
            dask.compute(*results)
        assert 0 < seen.bytes <= chunk


LARGE = """
import dask, dask.array as da, numpy as np, xentropy

ROWS, CLASSES, HIGH, WIDE = 3000, 131_072, 250, 8192

def block(row, column):
    random = np.random.Generator(np.random.SFC64(1000 * row + column))
    return 16.0 * random.random((HIGH, WIDE), dtype=np.float32)

def of_place(block_info=None):
    return block(*block_info[None]["chunk-location"])

x = da.map_blocks(of_place, chunks=((HIGH,) * 12, (WIDE,) * 16), dtype=np.float32, meta=np.empty((0, 0), np.float32))
assert x.nbytes > 1.5e9
labels = np.random.default_rng(0).integers(0, CLASSES, ROWS)
options = {"ignore_index": int(labels[-1]), "class_weight": np.full(CLASSES, 2.0, np.float32)}
loss, gradient = xentropy.value_and_grad(xentropy.cross_entropy)(x, labels, **options)
rows = xentropy.cross_entropy(x, labels, reduction="none", **options)
with dask.config.set(scheduler="threads", num_workers=2):
    rows, loss, slopes = dask.compute(rows, loss, abs(gradient).sum(dtype=np.float64))
peak = next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak)

few = np.concatenate([block(0, j)[:4] for j in range(16)], axis=1)
np.testing.assert_allclose(rows[:4], xentropy.cross_entropy(few, labels[:4], reduction="none", **options), rtol=1e-6)
count = (labels != labels[-1]).sum()
np.testing.assert_allclose(loss, rows.sum() / (2.0 * count), rtol=1e-6)
# Of each row, 2 (1 - p): the label's slope, and those of all others, which sum to it.
np.testing.assert_allclose(slopes, 2.0 * (1.0 - np.exp(-rows[labels != labels[-1]] / 2.0)).sum() / count, rtol=1e-5)
"""
LIMIT_MB = 400


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no peak of memory to read")
def test_logits_larger_than_memory() -> None:
    """1.5 GB of logits, their loss and their gradient, in a process that never has 400 MB."""
    peak = float(run(f"import sys; sys.path[:0] = {sys.path!r}\n{LARGE}").stdout)
    assert peak < LIMIT_MB
