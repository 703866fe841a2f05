"""The linear loss: cases of the one table as hidden @ weight.T + bias, on every backend, in every mode, in blocks.

Hidden states and weights are chosen so that no product is rounded: the logits are the table's to the bit, and so the
exact losses and gradients of the logits are known. What follows from these, G W, G^T h and the sum of G, is computed in
float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from cases import CLASSES, LABELS, LOGITS, ROWS, SAMPLE_WEIGHTS, Case, Problem
from harness import Harness, Subject
from test_matrix import SMALLEST, assert_within, row_bounds

import xentropy
from xentropy import cross_entropy, linear_cross_entropy, value_and_grad
from xentropy.linear import Head

Array = np.ndarray[Any, Any]

# The classes in another order, times powers of two, and a feature that no class looks at.
ORDER, SCALE = [2, 0, 3, 1], [2.0, 0.5, 1.0, 4.0]
BIAS = np.array([0.5, -1.0, 0.25, 2.0], dtype=np.float32)

# Every option alone or in company, in both kinds of targets; a case takes seconds where it is compiled.
CASES = [
    Case.INDEX,
    Case.BOTH_WEIGHTS,
    Case.IGNORED,
    Case.IGNORED_ALL,
    Case.REMOVED_SOFT,
    Case.SMOOTHING_ROW_MASKED,
    Case.NORMALIZER,
    Case.Z_LOSS_WEIGHTED,
    Case.EVERYTHING,
    Case.SOFT_WEIGHTED,
    Case.SOFT_EVERYTHING,
]
some_cases = pytest.mark.parametrize("linear", CASES, ids=[case.id for case in CASES])


def head() -> Array:
    """The weight, (classes, features), whose product with ``hidden_for(x)`` is x."""
    weight = np.zeros((CLASSES, CLASSES + 1), dtype=np.float32)
    weight[range(CLASSES), ORDER] = SCALE
    return weight


def hidden_for(logits: Array) -> Array:
    hidden = np.full((len(logits), CLASSES + 1), 0.75, dtype=np.float32)
    hidden[:, ORDER] = logits / np.array(SCALE, dtype=np.float32)
    return hidden


def both(hidden: Any, **options: Any) -> tuple[Any, tuple[Any, ...]]:
    """The value and all gradients by the public function."""
    value, gradients = value_and_grad(linear_cross_entropy)(hidden, **options)
    return value, gradients


@dataclass(frozen=True)
class Found:
    rows: Array
    mean: Array
    gradients: tuple[Array, ...]


def arrays_of(problem: Problem, *, bias: bool = True) -> dict[str, Any]:
    """The arguments of the linear loss whose logits are the problem's, in the same order."""
    arrays = dict(problem.arrays)
    logits = arrays.pop("logits") - BIAS if bias else arrays.pop("logits")
    given = {"hidden": hidden_for(logits), "weight": head(), "targets": arrays.pop("targets")}
    return {**given, **({"bias": BIAS} if bias else {}), **arrays}


@cache
def evaluate(subject: Subject, case: Case) -> Found:
    problem = case.value
    arrays = arrays_of(problem)
    static = {name: value for name, value in problem.static.items() if name != "normalizer"}
    rows = subject.value(linear_cross_entropy, arrays, **static, reduction="none", chunk_rows=2)
    if subject.harness.autodiff:
        wrt = ("hidden", "weight", "bias", *(["targets"] if problem.soft else []))
        mean, found = subject.run_gradient(linear_cross_entropy, arrays, wrt, **problem.static, chunk_rows=2)
    else:
        given = {name: subject.harness.asarray(value) for name, value in arrays.items()}
        mean, found = both(**given, **problem.static, chunk_rows=2)
    to_numpy = subject.harness.to_numpy
    return Found(rows, to_numpy(mean), tuple(map(to_numpy, found)))


@some_cases
def test_rows(subject: Subject, linear: Case) -> None:
    """As accurate as where the logits are given."""
    exact, found = linear.value.exact.rows, evaluate(subject, linear).rows
    tiny = np.abs(exact.high) < SMALLEST
    assert_within(np.where(tiny, 0.0, exact.ulps(found, "float32")), row_bounds(subject, linear), "row")


@some_cases
def test_mean_and_gradients(subject: Subject, linear: Case) -> None:
    answer, found = linear.value.exact, evaluate(subject, linear)
    assert_within(answer.mean.ulps(found.mean, "float32"), row_bounds(subject, linear).max() + 2.0, "mean")
    arrays = arrays_of(linear.value)
    h = np.where(np.isfinite(arrays["hidden"]), arrays["hidden"], 0.0).astype(np.float64)
    w, g = arrays["weight"].astype(np.float64), answer.gradient.high
    # Each entry of G is within 4e-7 of its row's scale; float32 products and sums add a few roundings of their terms.
    slack = np.broadcast_to(4e-7 * answer.scale, g.shape) + 4.0 * np.finfo(np.float32).eps * np.abs(g)
    expected = (g @ w, g.T @ h, g.sum(axis=0))
    bounds = (slack @ np.abs(w), slack.T @ np.abs(h), slack.sum(axis=0))
    names = ("hidden", "weight", "bias")
    for name, one, exact, bound in zip(names, found.gradients, expected, bounds, strict=False):
        assert one.shape == exact.shape
        assert_within(np.abs(one - exact), bound, name)


@pytest.mark.soft_gradient
@pytest.mark.parametrize("linear", [case for case in CASES if case.value.soft], ids=lambda case: case.id)
def test_gradient_of_targets(subject: Subject, linear: Case) -> None:
    exact, found = linear.value.exact.target_gradient, evaluate(subject, linear).gradients[3]
    largest = np.max(np.abs(exact.high), axis=-1, keepdims=True)
    bounds = (row_bounds(subject, linear) + 4.0)[:, None] * np.spacing(largest.astype(np.float32))
    assert_within(exact.error(found), bounds, "targets")


@pytest.mark.parametrize("chunk_rows", [1, 3, 5, 100, None])
def test_the_size_of_blocks_changes_nothing_but_roundings(backend: Harness, chunk_rows: int | None) -> None:
    given = {name: backend.asarray(a) for name, a in arrays_of(Case.INDEX.value).items()}
    value, found = both(**given, chunk_rows=chunk_rows)
    expected = evaluate(Subject(backend, "eager"), Case.INDEX)
    np.testing.assert_allclose(backend.to_numpy(value), expected.mean, rtol=3e-7)
    for one, other in zip(found, expected.gradients, strict=True):
        np.testing.assert_allclose(backend.to_numpy(one), other, rtol=1e-6, atol=1e-7)


def test_without_a_bias(backend: Harness) -> None:
    given = {name: backend.asarray(a) for name, a in arrays_of(Case.INDEX.value, bias=False).items()}
    value, found = both(**given, chunk_rows=2)
    exact = Case.INDEX.value.exact
    assert exact.mean.ulps(backend.to_numpy(value), "float32") <= 12.0
    of_hidden, of_weight = map(backend.to_numpy, found)
    np.testing.assert_allclose(of_hidden, exact.gradient.high @ head(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(of_weight, exact.gradient.high.T @ hidden_for(np.array(LOGITS)), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 1, 3)])
def test_shapes(eager: Subject, shape: tuple[int, ...]) -> None:
    """Hidden states of (features,), (rows, features), (batch, time, features): losses and gradients have theirs."""
    backend = eager.harness
    random = np.random.default_rng(3)
    hidden = random.standard_normal((*shape, 6)).astype(np.float32)
    weight, labels = random.standard_normal((5, 6)).astype(np.float32), random.integers(0, 5, shape)
    arrays = {"hidden": hidden, "weight": weight, "targets": labels}
    losses = eager.value(linear_cross_entropy, arrays, reduction="none", chunk_rows=2)
    expected = eager.value(cross_entropy, {"logits": hidden @ weight.T, "targets": labels}, reduction="none")
    assert losses.shape == shape
    np.testing.assert_allclose(losses, expected, rtol=2e-6)
    given = [backend.asarray(a) for a in arrays.values()]
    _, (of_hidden, of_weight) = value_and_grad(linear_cross_entropy)(*given, chunk_rows=2)
    assert backend.to_numpy(of_hidden).shape == hidden.shape
    assert backend.to_numpy(of_weight).shape == weight.shape


def test_soft_targets_of_more_axes(eager: Subject) -> None:
    random = np.random.default_rng(4)
    hidden, weight = (
        random.standard_normal((2, 3, 6), dtype=np.float32),
        random.standard_normal((5, 6), dtype=np.float32),
    )
    targets = random.random((2, 3, 5), dtype=np.float32)
    found = eager.value(linear_cross_entropy, {"hidden": hidden, "weight": weight, "targets": targets}, chunk_rows=4)
    expected = eager.value(cross_entropy, {"logits": hidden @ weight.T, "targets": targets})
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(0, 6), (2, 0, 6)])
def test_no_rows(eager: Subject, shape: tuple[int, ...]) -> None:
    backend = eager.harness
    hidden, weight = np.zeros(shape, dtype=np.float32), np.ones((5, 6), dtype=np.float32)
    labels = np.zeros(shape[:-1], dtype=np.int64)
    arrays = {"hidden": hidden, "weight": weight, "targets": labels}
    assert eager.value(linear_cross_entropy, arrays, reduction="none").shape == shape[:-1]
    value, found = value_and_grad(linear_cross_entropy)(*map(backend.asarray, arrays.values()))
    assert backend.to_numpy(value) == 0.0
    assert backend.to_numpy(found[0]).shape == shape
    assert not backend.to_numpy(found[1]).any()


def test_micro_batches_add_up(backend: Harness) -> None:
    """With the global count as the normalizer, k micro-batches give the gradient of the whole batch."""
    random = np.random.default_rng(5)
    hidden, weight = random.standard_normal((12, 6), dtype=np.float32), random.standard_normal((9, 6), dtype=np.float32)
    labels = random.integers(0, 9, 12)
    labels[[1, 2, 3, 7]] = -100
    options = {"ignore_index": -100, "chunk_rows": 2}
    call = value_and_grad(linear_cross_entropy)
    whole, (of_hidden, of_weight) = call(*map(backend.asarray, (hidden, weight, labels)), **options)
    parts = [
        call(*map(backend.asarray, (hidden[i : i + 4], weight, labels[i : i + 4])), normalizer=8, **options)
        for i in range(0, 12, 4)
    ]
    np.testing.assert_allclose(sum(backend.to_numpy(v) for v, _ in parts), backend.to_numpy(whole), rtol=3e-7)
    added = sum(backend.to_numpy(g[1]) for _, g in parts)
    np.testing.assert_allclose(added, backend.to_numpy(of_weight), rtol=1e-5, atol=1e-7)
    rows = np.concatenate([backend.to_numpy(g[0]) for _, g in parts])
    np.testing.assert_allclose(rows, backend.to_numpy(of_hidden), rtol=1e-5, atol=1e-7)


def test_half_precision(subject: Subject, half: str) -> None:
    """Products and sums in float32: a loss in float32 of what the inputs are, gradients rounded once."""
    random = np.random.default_rng(6)
    backend = subject.harness
    drawn = random.standard_normal((6, 32)), random.standard_normal((40, 32)), random.standard_normal(40)
    narrow = [backend.asarray(a.astype(np.float32), half) for a in drawn]
    hidden, weight, bias = (backend.to_numpy(a).astype(np.float64) for a in narrow)
    labels = random.integers(0, 40, 6)
    x = hidden @ weight.T + bias
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    loss = -np.log(p[range(6), labels]).mean()
    p[range(6), labels] -= 1.0

    def call(hidden: Any, weight: Any, bias: Any, targets: Any) -> Any:
        return linear_cross_entropy(hidden, weight, targets, bias=bias, chunk_rows=4)

    given = [*narrow, backend.asarray(labels)]
    if backend.autodiff:
        value, found = backend.value_and_grad(subject.mode, call, given, (0, 1, 2))
    else:
        value, found = value_and_grad(linear_cross_entropy)(*narrow[:2], given[3], bias=narrow[2], chunk_rows=4)
    assert backend.dtype(value) == "float32"
    np.testing.assert_allclose(backend.to_numpy(value), loss, rtol=2e-6)
    unit = 2.0**-11 if half == "float16" else 2.0**-8
    for one, expected in zip(found, (p @ weight / 6, p.T @ hidden / 6, p.sum(axis=0) / 6), strict=True):
        assert backend.dtype(one) == half
        bound = unit * np.abs(expected) + 1e-6 * np.abs(expected).max() + (6e-8 if half == "float16" else 0.0)
        assert_within(np.abs(backend.to_numpy(one) - expected), bound, "gradient")


def test_float64_inside(subject: Subject) -> None:
    """``precision="float64"``: matrix products too, so that losses are the exact ones, rounded once."""
    random = np.random.default_rng(7)
    hidden, weight = (random.standard_normal(s).astype(np.float32) for s in ((5, 300), (50, 300)))
    labels = random.integers(0, 50, 5)
    arrays = {"hidden": hidden, "weight": weight, "targets": labels}
    found = subject.value(linear_cross_entropy, arrays, reduction="none", precision="float64", chunk_rows=2)
    x = hidden.astype(np.float64) @ weight.T.astype(np.float64)
    top = x.max(axis=1)
    exact = top + np.log(np.exp(x - top[:, None]).sum(axis=1)) - x[range(5), labels]
    assert found.dtype == np.float32
    assert_within(np.abs(found - exact) / np.spacing(exact.astype(np.float32)), 1.0, "row")


# --- what is removed ------------------------------------------------------------------------------------------------


def test_removed_rows_take_no_part_in_a_product(backend: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the rows ignored: half of the rows multiplied, where they are known and memory can be written to."""
    multiplied: list[int] = []
    original = Head.logits

    def counting(self: Head, served: Any, hidden: Any, *memory: Any) -> Any:
        multiplied.append(int(hidden.shape[0]))
        return original(self, served, hidden, *memory)

    monkeypatch.setattr(Head, "logits", counting)
    hidden, weight = np.ones((64, 8), dtype=np.float32), np.ones((10, 8), dtype=np.float32)
    labels = np.where(np.arange(64) % 2 == 0, -100, 3)
    given = map(backend.asarray, (hidden, weight, labels))
    value, _ = value_and_grad(linear_cross_entropy)(*given, ignore_index=-100, chunk_rows=16)
    np.testing.assert_allclose(backend.to_numpy(value), np.log(10.0), rtol=1e-6)
    if backend.name == "jax":
        # A block is traced, once, with the one that is left out in its place; the benchmark shows that it is.
        assert set(multiplied) == {16}
    else:
        assert sum(multiplied) == (32 if backend.name in ("numpy", "torch", "tensorflow") else 64)


def test_ignored_rows_may_hold_anything(subject: Subject) -> None:
    """NaN and infinities in hidden states of removed rows reach neither the loss nor any gradient."""
    arrays = arrays_of(Case.INDEX.value)
    arrays["hidden"][[1, 3]] = [[np.nan], [np.inf]]
    arrays["targets"] = np.where(np.arange(ROWS) % 2 == 1, 77, LABELS)
    weights = np.where(np.arange(ROWS) % 2 == 1, 0.0, SAMPLE_WEIGHTS).astype(np.float32)
    for options in ({"ignore_index": 77}, {"sample_weight": weights}):
        array_options = {k: v for k, v in options.items() if isinstance(v, np.ndarray)}
        static = {k: v for k, v in options.items() if k not in array_options}
        given = {**arrays, **array_options}
        value = subject.value(linear_cross_entropy, given, **static, chunk_rows=2)
        assert np.isfinite(value)
        if subject.harness.autodiff:
            _, found = subject.run_gradient(
                linear_cross_entropy, given, ("hidden", "weight", "bias"), **static, chunk_rows=2
            )
            for one in map(subject.harness.to_numpy, found):
                assert np.all(np.isfinite(one))
            assert not subject.harness.to_numpy(found[0])[[1, 3]].any()


# --- errors ---------------------------------------------------------------------------------------------------------


HIDDEN, WEIGHT = np.ones((4, 3), dtype=np.float32), np.ones((5, 3), dtype=np.float32)
GOOD = {"hidden": HIDDEN, "weight": WEIGHT, "targets": np.zeros(4, dtype=np.int64)}
BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"weight": np.ones((5, 4), dtype=np.float32)}, ValueError, r"weight has shape \(5, 4\).*hidden.*\(4, 3\)"),
    ({"weight": np.ones(3, dtype=np.float32)}, ValueError, r"weight has shape \(3,\)"),
    ({"weight": np.ones((0, 3), dtype=np.float32)}, ValueError, r"no classes"),
    ({"weight": np.ones((5, 3), dtype=np.int32)}, TypeError, r"weight has dtype int32"),
    ({"hidden": np.ones((4, 3), dtype=np.int32)}, TypeError, r"hidden has dtype int32"),
    ({"hidden": np.ones((), dtype=np.float32)}, ValueError, r"hidden has shape \(\)"),
    ({"bias": np.ones(4, dtype=np.float32)}, ValueError, r"bias has shape \(4,\).*\(5,\)"),
    ({"bias": np.ones(5, dtype=np.int32)}, TypeError, r"bias has dtype int32"),
    ({"targets": np.zeros(3, dtype=np.int64)}, ValueError, r"targets has shape \(3,\).*hidden of shape.*\(4,\)"),
    ({"targets": np.zeros((4, 3), dtype=np.float32)}, ValueError, r"probabilities.*\(4, 5\)"),
    ({"targets": np.zeros(4, dtype=bool)}, TypeError, r"bool"),
    ({"chunk_rows": 0}, ValueError, r"chunk_rows must be at least 1, got 0"),
    ({"chunk_rows": 2.0}, TypeError, r"chunk_rows must be an integer or None, got 2.0"),
    ({"chunk_rows": True}, TypeError, r"chunk_rows"),
    ({"class_weight": np.ones(4, dtype=np.float32)}, ValueError, r"class_weight has shape \(4,\)"),
    ({"class_mask": np.ones((4, 4), dtype=bool)}, ValueError, r"class_mask has shape"),
    ({"label_smoothing": 1.5}, ValueError, r"label_smoothing must be in \[0, 1\], got 1.5"),
    ({"reduction": "avg"}, ValueError, r"reduction"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD, ids=[m for _, _, m in BAD])
def test_bad_arguments(subject: Subject, changed: dict[str, Any], error: type[Exception], message: str) -> None:
    """Named, with the value and the rule; where a compiler is tracing as well."""
    given = {**GOOD, **changed}
    arrays = {k: v for k, v in given.items() if isinstance(v, np.ndarray)}
    with pytest.raises(Exception, match=message) as raised:
        subject.run(linear_cross_entropy, arrays, **{k: v for k, v in given.items() if k not in arrays})
    assert isinstance(raised.value, error) or subject.mode == "compile"


def test_a_label_out_of_range(subject: Subject) -> None:
    arrays = {**GOOD, "targets": np.array([0, 5, 1, 2])}
    if subject.knows_values:
        with pytest.raises(IndexError, match=r"targets\[1\] is 5"):
            subject.run(linear_cross_entropy, arrays)
    else:
        rows = subject.value(linear_cross_entropy, arrays, reduction="none", chunk_rows=2)
        assert np.array_equal(np.isnan(rows), [False, True, False, False])


def test_arrays_of_two_libraries(backend: Harness) -> None:
    """NumPy's are taken along; its own are not mixed with anybody else's."""
    hidden = backend.asarray(HIDDEN)
    found = linear_cross_entropy(hidden, WEIGHT, GOOD["targets"])
    np.testing.assert_allclose(backend.to_numpy(found), np.log(5.0), rtol=1e-6)
    if backend.name != "numpy":
        with pytest.raises(TypeError, match="weight is a"):
            linear_cross_entropy(HIDDEN, backend.asarray(WEIGHT), GOOD["targets"])


def test_widths_mixed(eager: Subject) -> None:
    """float64 where any of the three is; each gradient in the dtype of its array."""
    backend = eager.harness
    with backend.float64():
        hidden, weight = backend.asarray(HIDDEN), backend.asarray(WEIGHT.astype(np.float64))
        value, found = value_and_grad(linear_cross_entropy)(hidden, weight, backend.asarray(GOOD["targets"]))
        assert backend.dtype(value) == "float64"
        assert [backend.dtype(g) for g in found] == ["float32", "float64"]


def test_a_normalizer_as_wide_as_the_loss(eager: Subject) -> None:
    backend = eager.harness
    with backend.float64():
        given = [backend.asarray(a) for a in (HIDDEN, WEIGHT.astype(np.float64), GOOD["targets"])]
        found = linear_cross_entropy(*given, normalizer=0.1)
        assert backend.to_numpy(found) == pytest.approx(4.0 * np.log(5.0) / 0.1, rel=1e-14)


@pytest.mark.parametrize("weight", [np.inf, np.nan])
def test_removed_rows_under_any_weight(backend: Harness, weight: float) -> None:
    """0 times what is not finite is not 0: the gradient of a removed row is, all the same."""
    weights = np.full_like(WEIGHT, weight)
    given = map(backend.asarray, (HIDDEN, weights, np.array([0, -1, 1, -1])))
    _, (of_hidden, _) = value_and_grad(linear_cross_entropy)(*given, ignore_index=-1, chunk_rows=4)
    assert not backend.to_numpy(of_hidden)[[1, 3]].any()


def test_gradients_that_overflow_say_nothing(backend: Harness) -> None:
    """They are inf in half precision, as documented; warnings are errors here."""
    if "float16" not in backend.floats:
        return
    given = [backend.asarray(a, "float16") for a in (100.0 * HIDDEN, WEIGHT)]
    _, (_, of_weight) = value_and_grad(linear_cross_entropy)(*given, backend.asarray(GOOD["targets"]), normalizer=1e-4)
    assert np.isinf(backend.to_numpy(of_weight)).any()


# --- value_and_grad -------------------------------------------------------------------------------------------------


def test_gradient_of_partial_and_of_a_function(backend: Harness) -> None:
    """A partial of the loss has all gradients; a function of one's own that of its first argument."""
    given = {name: backend.asarray(a) for name, a in arrays_of(Case.INDEX.value).items()}
    bias = given.pop("bias")
    _, of_all = value_and_grad(partial(linear_cross_entropy, bias=bias, chunk_rows=2))(*given.values())
    _, again = value_and_grad(linear_cross_entropy)(*given.values(), bias=bias, chunk_rows=2)
    assert len(of_all) == len(again) == 3
    _, of_hidden = value_and_grad(lambda h: linear_cross_entropy(h, *list(given.values())[1:], bias=bias))(
        given["hidden"]
    )
    np.testing.assert_allclose(backend.to_numpy(of_hidden), backend.to_numpy(of_all[0]), rtol=1e-6, atol=1e-7)
    with pytest.raises(ValueError, match="scalar"):
        value_and_grad(linear_cross_entropy)(*given.values(), reduction="none")
    with pytest.raises(TypeError, match="weight"):
        value_and_grad(linear_cross_entropy)(given["hidden"])
    # As the loss itself: nothing beyond these three is taken by position.
    with pytest.raises(TypeError, match="positional"):
        value_and_grad(linear_cross_entropy)(*given.values(), bias)
    with pytest.raises(TypeError, match="weight"):
        value_and_grad(linear_cross_entropy)(*given.values(), weight=given["weight"])


def test_inputs_stay_as_they_are(backend: Harness) -> None:
    arrays = arrays_of(Case.EVERYTHING.value)
    given = {name: backend.asarray(a) for name, a in arrays.items()}
    both(**given, **Case.EVERYTHING.value.static, chunk_rows=2)
    for name, array in given.items():
        np.testing.assert_array_equal(backend.to_numpy(array), arrays[name])


def test_exported() -> None:
    assert "linear_cross_entropy" in xentropy.__all__
