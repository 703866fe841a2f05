"""TensorFlow's autodiff: nested tapes and forward accumulators, eager, in graphs of unknown sizes and under XLA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from derivatives import (
    BINARY,
    EVERYTHING,
    INDEX,
    LABELS,
    LOGITS,
    PROBLEMS,
    SOFT,
    SOFT_TARGETS,
    Numbers,
    Problem,
    assert_close,
    assert_derivatives,
    softmax_gradient,
    softmax_hessian,
)

import xentropy
from xentropy import binary_cross_entropy, cross_entropy, token_statistics

INF, NAN = float("inf"), float("nan")

Tensor = Any
Tensors = tuple[Tensor, ...]
Function = Callable[..., Any]


def eager(f: Function) -> Function:
    return f


def graph(f: Function) -> Function:
    return tf.function(f, autograph=False)


def xla(f: Function) -> Function:
    return tf.function(f, autograph=False, jit_compile=True)


EVERY_MODE = pytest.mark.parametrize("mode", [eager, graph, xla])
COMPILED = pytest.mark.parametrize("mode", [graph, xla])


def named(*names: str) -> pytest.MarkDecorator:
    """The problems of these names, or all."""
    chosen = [p for p in PROBLEMS if not names or p.name in names]
    return pytest.mark.parametrize("problem", chosen, ids=[p.name for p in chosen])


def inputs(problem: Problem, dtype: str) -> tuple[Tensors, Tensors]:
    """Where to differentiate, and along what."""
    return tuple(tf.constant(a, dtype) for a in problem.arrays), tuple(tf.constant(a, dtype) for a in problem.direction)


def scalar(problem: Problem) -> Function:
    loss, cotangent = problem.bind(tf.constant), problem.cotangent
    return lambda *arrays: tf.reduce_sum(loss(*arrays) * tf.constant(cotangent, arrays[0].dtype))


def grad(f: Function, at: Tensors) -> Tensors:
    with tf.GradientTape() as tape:
        tape.watch(at)
        value = f(*at)
    return tuple(tape.gradient(value, at))


def push(f: Function, at: Tensors, along: Tensors) -> Any:
    """The change of f along a direction, in forward mode."""
    with tf.autodiff.ForwardAccumulator(list(at), list(along)) as accumulator:
        value = f(*at)
    return accumulator.jvp(value)


def nested_tapes(f: Function, at: Tensors, along: Tensors) -> Tensors:
    def slope(*x: Tensor) -> Tensor:
        return tf.add_n([tf.reduce_sum(g * d) for g, d in zip(grad(f, x), along, strict=True)])

    return grad(slope, at)


def forward_over_reverse(f: Function, at: Tensors, along: Tensors) -> Tensors:
    return push(lambda *x: grad(f, x), at, along)


def reverse_over_forward(f: Function, at: Tensors, along: Tensors) -> Tensors:
    return grad(lambda *x: push(f, x, along), at)


def every_derivative(f: Function, at: Tensors, along: Tensors) -> tuple[Any, ...]:
    second = (order(f, at, along) for order in (nested_tapes, forward_over_reverse, reverse_over_forward))
    return f(*at), grad(f, at), push(f, at, along), *second


def assert_every_derivative(problem: Problem, found: tuple[Any, ...], dtype: str = "float64") -> None:
    value, gradient, along, *curves = found
    assert_close(value, problem.exact.value, dtype)
    assert_derivatives(problem, gradient, problem.exact.gradient, dtype)
    assert_close(along, problem.exact.along, dtype)
    for curve in curves:
        assert_derivatives(problem, curve, problem.exact.curve, dtype)


# --- the option table ----------------------------------------------------------------------------------------------


@named()
def test_eager(problem: Problem) -> None:
    at, along = inputs(problem, "float64")
    assert_every_derivative(problem, every_derivative(scalar(problem), at, along))


@named("index_axis", "ignored", "soft", "soft_everything", "probabilities_soft", "binary_focal_soft")
@COMPILED
def test_compiled(problem: Problem, mode: Function) -> None:
    at, along = inputs(problem, "float64")
    f = scalar(problem)
    assert_every_derivative(problem, mode(lambda at, along: every_derivative(f, at, along))(at, along))


@named("everything", "soft", "binary_focal_soft")
@pytest.mark.parametrize("mode", [eager, graph])
def test_float32(problem: Problem, mode: Function) -> None:
    at, along = inputs(problem, "float32")
    f = scalar(problem)
    assert_every_derivative(problem, mode(lambda at, along: every_derivative(f, at, along))(at, along), "float32")


# --- sizes that a graph doesn't know -------------------------------------------------------------------------------


def random_rows(shape: tuple[int, ...], axis: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Numbers]:
    """Logits, labels, and the gradient of the mean."""
    generator = np.random.default_rng(shape)
    x = generator.normal(size=shape)
    classes = shape[axis]
    labels = generator.integers(classes, size=[n for i, n in enumerate(shape) if i != axis % len(shape)])
    rows = np.moveaxis(x, axis, -1)
    gradient = softmax_gradient(rows.reshape(-1, classes), np.eye(classes)[labels.ravel()]) / max(1, labels.size)
    return x, labels, np.moveaxis(gradient.reshape(rows.shape), -1, axis)


@pytest.mark.parametrize(
    ("unknown", "axis", "shapes"),
    [
        ([None, None], -1, [(5, 7), (9, 300), (0, 3)]),
        ([None, 10], -1, [(4, 10), (1, 10)]),
        ([3, None], -1, [(3, 4), (3, 700)]),
        ([None, None, 7], -1, [(2, 3, 7), (4, 1, 7)]),
        ([None, 7, None], 1, [(2, 7, 3), (4, 7, 1)]),
        ([None, None, None], 0, [(7, 2, 3), (300, 1, 2)]),
        ([None], -1, [(5,), (400,)]),
    ],
    ids=str,
)
@COMPILED
def test_unknown_sizes(unknown: list[int | None], axis: int, shapes: list[tuple[int, ...]], mode: Function) -> None:
    def both(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def loss(x: Tensor) -> Tensor:
            return cross_entropy(x, labels, axis=axis)

        direction = tf.ones_like(x) * x
        return loss(x), grad(loss, (x,))[0], nested_tapes(loss, (x,), (direction,))[0]

    of_labels = [size for i, size in enumerate(unknown) if i != axis % len(unknown)]
    signature = [tf.TensorSpec(unknown, tf.float64), tf.TensorSpec(of_labels, tf.int32)]
    compiled = tf.function(both, input_signature=signature, autograph=False, jit_compile=mode is xla)
    for shape in shapes:
        x, labels, expected = random_rows(shape, axis)
        value, gradient, curve = compiled(tf.constant(x), tf.constant(labels.astype(np.int32)))
        rows = np.moveaxis(x, axis, -1).reshape(-1, shape[axis])
        second = np.einsum("rij,rj->ri", softmax_hessian(rows), rows) / max(1, len(rows))
        assert_close(gradient, expected)
        assert_close(np.moveaxis(curve.numpy(), axis, -1).reshape(rows.shape), second)
        np.testing.assert_allclose(value, np.float64(cross_entropy(x, labels, axis=axis)), rtol=1e-13)


@COMPILED
def test_unknown_sizes_of_everything(mode: Function) -> None:
    """All options, their arrays arguments of unknown sizes as well, for soft targets and class indices."""
    weights = {name: tf.constant(v) for name, v in EVERYTHING.items() if isinstance(v, list)}
    options = {name: v for name, v in EVERYTHING.items() if not isinstance(v, list)}
    for name, targets in (("everything", tf.int32), ("soft_everything", tf.float64)):
        (problem,) = (p for p in PROBLEMS if p.name == name)
        shape = [None, None] if problem.soft else [None]
        signature = [
            tf.TensorSpec([None, None], tf.float64),
            tf.TensorSpec(shape, targets),
            {k: tf.TensorSpec([None], tf.as_dtype(w.dtype)) for k, w in weights.items()},
        ]

        def gradient(x: Tensor, t: Tensor, weights: dict[str, Tensor]) -> Tensor:
            return grad(lambda x: cross_entropy(x, t, **weights, **options), (x,))[0]

        compiled = tf.function(gradient, input_signature=signature, autograph=False, jit_compile=mode is xla)
        found = compiled(tf.constant(problem.arrays[0]), tf.constant(np.array(problem.targets), targets), weights)
        assert_close(found, problem.exact.gradient[0])


@COMPILED
def test_unknown_sizes_of_binary(mode: Function) -> None:
    signature = [tf.TensorSpec([None, None], tf.float64), tf.TensorSpec([None, None], tf.int32)]
    compiled = tf.function(
        lambda x, y: grad(lambda x: binary_cross_entropy(x, y), (x,))[0],
        input_signature=signature,
        autograph=False,
        jit_compile=mode is xla,
    )
    assert_close(
        compiled(tf.constant(BINARY.arrays[0]), tf.constant(BINARY.labels, tf.int32)),
        BINARY.exact.gradient[0],
    )


# --- jacobians, hessians, vectorised maps --------------------------------------------------------------------------

TARGETS = pytest.mark.parametrize("targets", [np.array(LABELS), np.array(SOFT)], ids=["index", "soft"])


def masses(targets: np.ndarray[Any, Any]) -> Numbers:
    """The rows' targets as probabilities."""
    return np.eye(4)[targets] if targets.ndim == 1 else targets


@TARGETS
# Not a loop under XLA: TensorFlow's own makes a list whose size XLA cannot bound.
@pytest.mark.parametrize(
    ("mode", "vectorised"), [(eager, True), (eager, False), (graph, True), (graph, False), (xla, True)]
)
def test_jacobian_and_hessian(targets: np.ndarray[Any, Any], vectorised: bool, mode: Function) -> None:
    """Persistent tapes, one inside the other; each Jacobian by a vectorised map, or by a loop."""

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(x)
            with tf.GradientTape(persistent=True) as inner:
                inner.watch(x)
                losses = cross_entropy(x, targets, reduction="none")
                total = tf.reduce_sum(losses)
            gradient = inner.gradient(total, x)
        jacobian = inner.jacobian(losses, x, experimental_use_pfor=vectorised)
        return jacobian, outer.jacobian(gradient, x, experimental_use_pfor=vectorised)

    jacobian, hessian = mode(both)(tf.constant(LOGITS, tf.float64))
    expected = np.zeros((3, 3, 4))
    expected[range(3), range(3)] = softmax_gradient(LOGITS, masses(targets))
    assert_close(jacobian, expected)
    blocks = softmax_hessian(LOGITS) * masses(targets).sum(axis=-1)[:, None, None]
    expected = np.zeros((3, 4, 3, 4))
    for i, block in enumerate(blocks):
        expected[i, :, i, :] = block
    assert_close(hessian, expected)


@TARGETS
@EVERY_MODE
def test_vectorized_map_of_a_gradient(targets: np.ndarray[Any, Any], mode: Function) -> None:
    def of_row(row: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, t = row
        return cross_entropy(x, t), grad(lambda x: cross_entropy(x, t), (x,))[0]

    x, t = tf.constant(LOGITS, tf.float64), tf.constant(targets)
    value, gradient = mode(lambda x, t: tf.vectorized_map(of_row, (x, t)))(x, t)
    mass = masses(targets).sum(axis=-1)
    assert_close(gradient, softmax_gradient(LOGITS, masses(targets)) / mass[:, None])
    assert_close(value, np.asarray(cross_entropy(x, t, reduction="none")) / mass)


@pytest.mark.parametrize("repeat", [tf.map_fn, tf.vectorized_map])
def test_maps_of_batches(repeat: Function) -> None:
    x = tf.stack([k * tf.constant(LOGITS, tf.float64) for k in (0.5, 1.0, 2.0)])
    found = repeat(lambda x: cross_entropy(x, tf.constant(LABELS)), x)
    assert_close(found, np.stack([cross_entropy(part, tf.constant(LABELS)) for part in x]))


@EVERY_MODE
def test_recompute_grad(mode: Function) -> None:
    """The loss's memory given up and recomputed."""
    loss = tf.recompute_grad(lambda x: cross_entropy(x, np.array(LABELS)))
    found = mode(lambda x: grad(loss, (x,))[0])(tf.constant(LOGITS, tf.float64))
    assert_close(found, INDEX.exact.gradient[0])


# --- variables, and what a training loop relies on -----------------------------------------------------------------


@EVERY_MODE
def test_variables(mode: Function) -> None:
    variable = tf.Variable(LOGITS, dtype=tf.float64)

    def derivatives() -> tuple[Tensor, Tensor]:
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                value = cross_entropy(variable, np.array(LABELS))
            gradient = inner.gradient(value, variable)
            slope = tf.reduce_sum(gradient * tf.constant(INDEX.direction[0]))
        return gradient, outer.gradient(slope, variable)

    first, second = mode(derivatives)()
    assert_close(first, INDEX.exact.gradient[0])
    assert_close(second, INDEX.exact.curve[0])


@EVERY_MODE
def test_value_and_grad_of_ours(mode: Function) -> None:
    f = xentropy.value_and_grad(cross_entropy)
    value, gradient = mode(lambda x: f(x, np.array(LABELS)))(tf.constant(LOGITS, tf.float64))
    assert_close(value, INDEX.exact.value)
    assert_close(gradient, INDEX.exact.gradient[0])
    variable = tf.Variable(LOGITS, dtype=tf.float64)
    value, gradient = mode(lambda: f(variable, np.array(LABELS)))()
    assert_close(value, INDEX.exact.value)
    assert_close(gradient, INDEX.exact.gradient[0])


def test_a_training_step() -> None:
    kernel = tf.Variable(np.linspace(-1.0, 1.0, 20).reshape(5, 4))
    inputs = np.linspace(-1.0, 1.0, 15).reshape(3, 5)

    @tf.function
    def step(rows: Tensor, labels: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            loss = cross_entropy(rows @ kernel, labels)
        return tape.gradient(loss, kernel)

    found = step(tf.constant(inputs), tf.constant(LABELS))
    of_logits = softmax_gradient(inputs @ kernel.numpy(), np.eye(4)[LABELS]) / 3.0
    assert_close(found, inputs.T @ of_logits)


@EVERY_MODE
def test_weights_are_constants(mode: Function) -> None:
    x = tf.constant(LOGITS)
    weights = {
        "class_weight": tf.range(1.0, 5.0),
        "sample_weight": tf.range(1.0, 4.0),
        "normalizer": tf.constant(2.0),
    }

    def of_weights(*given: Tensor) -> list[bool]:
        with tf.GradientTape() as tape:
            tape.watch(given)
            value = cross_entropy(x, np.array(LABELS), **dict(zip(weights, given, strict=True)))
        none = [g is None for g in tape.gradient(value, given)]
        with tf.GradientTape() as tape:
            tape.watch(given)
            value = binary_cross_entropy(x, tf.ones((3, 4)), pos_weight=given[0], sample_weight=given[0])
        return [*none, tape.gradient(value, given[0]) is None]

    assert all(bool(flag) for flag in mode(of_weights)(*weights.values()))


def test_targets_alone() -> None:
    x, t = inputs(SOFT_TARGETS, "float64")[0]
    assert_close(grad(lambda t: cross_entropy(x, t), (t,))[0], SOFT_TARGETS.exact.gradient[1])


@EVERY_MODE
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("precision", [None, "float64"])
def test_half_precision(dtype: str, precision: Any, mode: Function) -> None:
    """Gradients of half inputs are rounded once, also those of second order."""

    def f(x: Tensor) -> Tensor:
        return cross_entropy(x, np.array(LABELS), reduction="sum", precision=precision)

    def derivatives(x: Tensor) -> Tensors:
        first = grad(f, (x,))[0]
        return f(x), first, grad(lambda x: tf.reduce_sum(grad(f, (x,))[0][:, 0]), (x,))[0]

    value, first, second = mode(derivatives)(tf.constant(LOGITS, dtype))
    assert (value.dtype, first.dtype, second.dtype) == (tf.float32, tf.as_dtype(dtype), tf.as_dtype(dtype))
    exact = tf.cast(tf.constant(softmax_gradient(LOGITS, np.eye(4)[LABELS]), tf.float32), dtype)
    np.testing.assert_array_equal(tf.cast(first, tf.float32), tf.cast(exact, tf.float32))
    bound = {"float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    np.testing.assert_allclose(tf.cast(second, tf.float32), softmax_hessian(LOGITS)[:, 0], rtol=bound, atol=bound / 8)


@EVERY_MODE
def test_wide_precision(mode: Function) -> None:
    """float32 in and out, computed in float64: rounded once."""

    def f(x: Tensor) -> Tensor:
        return cross_entropy(x, np.array(LABELS), reduction="sum", precision="float64")

    x = tf.constant(LOGITS)
    first, along = mode(lambda x: (grad(f, (x,))[0], push(f, (x,), (tf.constant(INDEX.direction[0], tf.float32),))))(x)
    assert first.dtype == along.dtype == tf.float32
    np.testing.assert_array_equal(first, softmax_gradient(LOGITS, np.eye(4)[LABELS]).astype(np.float32))
    assert_close(along, 3.0 * INDEX.exact.along, "float32")


@EVERY_MODE
@pytest.mark.parametrize("confidence", [8.0, 20.0, 40.0, 80.0])
def test_confident_rows_of_second_order(confidence: float, mode: Function) -> None:
    """p (1 - p) at the label keeps its relative accuracy where 1 - p would have none left."""
    row = np.array([confidence, 0.0, 0.5])
    p = np.exp(row - confidence) / np.exp(row - confidence).sum()
    expected = [p[0] * (p[1] + p[2]), -p[0] * p[1], -p[0] * p[2]]
    first = tf.constant([1.0, 0.0, 0.0])
    found = mode(lambda x: nested_tapes(lambda x: cross_entropy(x, 0), (x,), (first,))[0])(tf.constant(row, tf.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-37)


# --- what is known, and what must not poison a derivative ----------------------------------------------------------


def test_labels_out_of_range_are_known_to_tapes() -> None:
    x, labels = tf.constant(LOGITS), tf.constant([2, 4, 0])
    with pytest.raises(IndexError, match=r"targets\[1\] is 4"):
        grad(lambda x: cross_entropy(x, labels), (x,))
    with pytest.raises(IndexError, match=r"targets\[1\] is 4"):
        push(lambda x: cross_entropy(x, labels), (x,), (x,))


@COMPILED
def test_labels_out_of_range_are_nan_in_graphs(mode: Function) -> None:
    def both(x: Tensor, labels: Tensor) -> Tensors:
        def loss(x: Tensor) -> Tensor:
            return cross_entropy(x, labels, reduction="none")

        return loss(x), grad(lambda x: tf.reduce_sum(loss(x)), (x,))[0]

    losses, gradient = mode(both)(tf.constant(LOGITS), tf.constant([2, 4, -1]))
    assert np.isnan(losses).tolist() == [False, True, True]
    assert np.isnan(gradient).all(axis=-1).tolist() == [False, True, True]
    assert np.isnan(gradient).any(axis=-1).tolist() == [False, True, True]


@EVERY_MODE
def test_ignored_rows_of_nan_have_no_derivative(mode: Function) -> None:
    x = tf.constant([LOGITS[0], [NAN, INF, -INF, NAN], LOGITS[2]], tf.float64)
    labels = np.array([2, -100, 0])
    direction = tf.constant(INDEX.direction[0])

    def f(x: Tensor) -> Tensor:
        return cross_entropy(x, labels, ignore_index=-100)

    first, along, second = mode(
        lambda x: (grad(f, (x,))[0], push(f, (x,), (direction,)), nested_tapes(f, (x,), (direction,))[0])
    )(x)
    rows, kept = softmax_gradient(LOGITS, np.eye(4)[LABELS]) / 2.0, np.array([[1.0], [0.0], [1.0]])
    assert_close(first, rows * kept)
    assert_close(along, np.sum(rows * kept * direction))
    assert_close(second, np.einsum("rij,rj->ri", softmax_hessian(LOGITS), direction) * kept / 2.0)


@EVERY_MODE
def test_targets_of_zero_at_minus_infinity(mode: Function) -> None:
    x = tf.constant([[1.0, -INF, 0.5], [-INF, 2.0, -INF]], tf.float64)
    t = tf.constant([[0.75, 0.0, 0.25], [0.0, 1.0, 0.0]], tf.float64)
    direction = tf.constant([[1.0, -2.0, 0.5], [0.25, 1.0, 4.0]], tf.float64)

    def f(x: Tensor) -> Tensor:
        return cross_entropy(x, t, reduction="sum")

    def everything(x: Tensor) -> Tensors:
        of_targets = grad(lambda t: cross_entropy(x, t, reduction="sum"), (t,))[0]
        return (
            grad(f, (x,))[0],
            push(f, (x,), (direction,)),
            nested_tapes(f, (x,), (direction,))[0],
            of_targets,
        )

    first, along, second, of_targets = mode(everything)(x)
    rows = softmax_gradient(x, t)
    assert_close(first, rows)
    assert_close(along, np.sum(rows * direction))
    assert_close(second, np.einsum("rij,rj->ri", softmax_hessian(x), direction))
    assert np.isfinite(of_targets).all()


@EVERY_MODE
def test_binary_limits(mode: Function) -> None:
    z, y = tf.constant([INF, -INF, INF, -INF]), tf.constant([1.0, 0.0, 0.0, 1.0])

    def f(z: Tensor) -> Tensor:
        return binary_cross_entropy(z, y, reduction="none")

    losses, gradient = mode(lambda z: (f(z), grad(lambda z: tf.reduce_sum(f(z)), (z,))[0]))(z)
    assert losses.numpy().tolist() == [0.0, 0.0, INF, INF]
    assert gradient.numpy().tolist() == [0.0, 0.0, 1.0, -1.0]


# --- token statistics ----------------------------------------------------------------------------------------------


@EVERY_MODE
def test_token_statistics(mode: Function) -> None:
    """Gradients, forward mode and second order of log-sum-exp, log-probability and entropy."""
    x, direction = tf.constant(LOGITS, tf.float64), tf.constant(INDEX.direction[0])
    one_hot = np.eye(4)[LABELS]
    p = softmax_gradient(LOGITS, one_hot) + one_hot
    entropy = -(p * np.log(p)).sum(axis=-1, keepdims=True)
    curve = np.einsum("rij,rj->ri", softmax_hessian(LOGITS), direction)
    expected = {
        "logsumexp": (p, curve),
        "log_prob": (one_hot - p, -curve),
        "entropy": (-p * (np.log(p) + entropy), None),
    }
    for name, (of_first, of_second) in expected.items():

        def f(x: Tensor, name: str = name) -> Tensor:
            return tf.reduce_sum(getattr(token_statistics(x, np.array(LABELS)), name))

        first, along, second = mode(
            lambda x, f=f: (
                grad(f, (x,))[0],
                push(f, (x,), (direction,)),
                nested_tapes(f, (x,), (direction,))[0],
            )
        )(x)
        assert_close(first, of_first)
        assert_close(along, np.sum(of_first * direction))
        if of_second is not None:
            assert_close(second, of_second)
