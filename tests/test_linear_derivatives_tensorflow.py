"""The linear loss under TensorFlow's autodiff: tapes and accumulators, eager, in graphs of unknown sizes, under XLA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from derivatives import assert_close
from linear_problems import PROBLEMS, Problem, assert_derivatives
from test_derivatives_tensorflow import COMPILED, EVERY_MODE, eager, graph, xla

from xentropy import linear_cross_entropy

Tensor = Any
Tensors = tuple[Tensor, ...]
Function = Callable[..., Any]


def named(*names: str) -> pytest.MarkDecorator:
    """The problems of these names, or all."""
    chosen = [p for p in PROBLEMS if not names or p.name in names]
    return pytest.mark.parametrize("problem", chosen, ids=[p.name for p in chosen])


def dot(found: Tensor, cotangent: Tensor) -> Tensor:
    return tf.reduce_sum(found * tf.cast(cotangent, found.dtype))


def scalar(problem: Problem, **more: Any) -> Function:
    return problem.bind(tf.constant, dot, **more)


def at(problem: Problem, dtype: str = "float64") -> Tensors:
    return tuple(tf.constant(a, dtype) for a in problem.arrays)


def along(problem: Problem, dtype: str = "float64") -> Tensors:
    return tuple(tf.constant(a, dtype) for a in problem.direction)


def grad(f: Function) -> Function:
    def gradient(*x: Tensor) -> Tensors:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = f(*x)
        return tuple(tape.gradient(value, x))

    return gradient


def push(f: Function, v: Tensors) -> Function:
    def pushed(*x: Tensor) -> Any:
        with tf.autodiff.ForwardAccumulator(list(x), list(v)) as accumulator:
            value = f(*x)
        return accumulator.jvp(value)

    return pushed


def inner(f: Function, v: Tensors) -> Function:
    return lambda *x: tf.add_n([tf.reduce_sum(a * b) for a, b in zip(f(*x), v, strict=True)])


@named()
@EVERY_MODE
def test_first_order(problem: Problem, mode: Function) -> None:
    f = scalar(problem)
    assert_close(mode(f)(*at(problem)), problem.exact.value)
    assert_derivatives(problem, mode(grad(f))(*at(problem)), problem.exact.gradient, "float64")


@named()
@pytest.mark.parametrize("chunk_rows", [1, 3])
def test_other_blocks_in_float32(problem: Problem, chunk_rows: int) -> None:
    found = grad(scalar(problem, chunk_rows=chunk_rows))(*at(problem, "float32"))
    assert all(g.dtype == tf.float32 for g in found)
    assert_derivatives(problem, found, problem.exact.gradient, "float32")


@named("index", "ignored", "weights_none", "soft")
@COMPILED
def test_a_graph_differentiated_from_outside(problem: Problem, mode: Function) -> None:
    found = grad(mode(scalar(problem)))(*at(problem))
    assert_derivatives(problem, found, problem.exact.gradient, "float64")


@named("index", "weights_none", "everything", "soft")
@EVERY_MODE
def test_second_order(problem: Problem, mode: Function) -> None:
    f, v = scalar(problem), along(problem)
    for order in (grad(inner(grad(f), v)), push(grad(f), v)):
        assert_derivatives(problem, mode(order)(*at(problem)), problem.exact.curve, "float64")


@named("index", "ignored", "everything", "soft_none")
@EVERY_MODE
def test_forward_mode(problem: Problem, mode: Function) -> None:
    f, v = scalar(problem), along(problem)
    assert_close(mode(push(f, v))(*at(problem)), problem.exact.along)
    # Around a function that was traced without it.
    assert_close(push(mode(f), v)(*at(problem)), problem.exact.along)


def test_a_persistent_tape_gives_the_same_gradients_again() -> None:
    problem = PROBLEMS[0]
    inputs = at(problem, "float32")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        value = scalar(problem)(*inputs)
        twice = 2.0 * value
    for _ in range(2):
        assert_derivatives(problem, tape.gradient(value, inputs), problem.exact.gradient, "float32")
    doubled = tuple(2.0 * g for g in problem.exact.gradient)
    assert_derivatives(problem, tape.gradient(twice, inputs), doubled, "float32")


@pytest.mark.parametrize("watched", [(0,), (1,), (2,), (0, 2)])
@pytest.mark.parametrize("mode", [eager, graph])
def test_only_what_is_watched(watched: tuple[int, ...], mode: Function) -> None:
    problem = PROBLEMS[0]

    def gradients(*x: Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([x[i] for i in watched])
            value = scalar(problem)(*x)
        return tape.gradient(value, [x[i] for i in watched])

    for i, found in zip(watched, mode(gradients)(*at(problem)), strict=True):
        assert_close(found, problem.exact.gradient[i])


@pytest.mark.parametrize("rows", [0, 1, 4, 5, 9])
@pytest.mark.parametrize("ignored", [False, True])
def test_a_number_of_rows_that_the_graph_does_not_know(rows: int, ignored: bool) -> None:
    random = np.random.default_rng(rows)
    weight = tf.constant(random.standard_normal((7, 3)))
    hidden, labels = random.standard_normal((rows, 3)), random.integers(0, 7, rows)
    labels = np.where(np.arange(rows) % 2 == 0, -100, labels) if ignored else labels

    def both(h: Tensor, t: Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((h, weight))
            value = linear_cross_entropy(h, weight, t, ignore_index=-100, chunk_rows=4)
        return value, *tape.gradient(value, (h, weight))

    signature = [tf.TensorSpec([None, 3], tf.float64), tf.TensorSpec([None], tf.int64)]
    found = tf.function(both, input_signature=signature, autograph=False)(hidden, labels)
    kept = labels != -100
    x = hidden @ weight.numpy().T
    odds = np.exp(x)
    p = odds / odds.sum(axis=1, keepdims=True)
    count = max(int(kept.sum()), 1)
    own = x[np.arange(rows), np.maximum(labels, 0)] - np.log(odds.sum(axis=1))
    p[np.arange(rows), np.maximum(labels, 0)] -= 1.0
    p *= kept[:, None] / count
    assert_close(found[0], -np.sum(own * kept) / count)
    assert_close(found[1], p @ weight.numpy())
    assert_close(found[2], p.T @ hidden)


@COMPILED
def test_features_or_classes_that_the_graph_does_not_know(mode: Function) -> None:
    random = np.random.default_rng(0)
    arrays = random.standard_normal((5, 3)), random.standard_normal((7, 3))
    labels = np.arange(5)

    def loss(h: Tensor, w: Tensor) -> Tensor:
        return linear_cross_entropy(h, w, labels, chunk_rows=2)

    expected = grad(loss)(*map(tf.constant, arrays))
    for sizes in ([5, 3], [None, 3]), ([5, None], [7, None]):
        signature = [tf.TensorSpec(size, tf.float64) for size in sizes]
        options = {"input_signature": signature, "autograph": False, "jit_compile": mode is xla}
        for one, other in zip(tf.function(grad(loss), **options)(*arrays), expected, strict=True):
            assert_close(one, other)


def test_variables() -> None:
    """Layers hold these; their values are read when the loss is computed."""
    problem = PROBLEMS[0]
    variables = [tf.Variable(x) for x in at(problem)]
    for mode in (eager, graph):
        with tf.GradientTape() as tape:
            value = mode(scalar(problem))(*variables)
        assert_derivatives(problem, tape.gradient(value, variables), problem.exact.gradient, "float64")


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_no_tensor_of_a_graph_has_the_size_of_the_logits(reduction: str) -> None:
    rows, classes, chunk = 64, 100, 8
    labels = tf.constant(np.arange(rows) % classes)

    def loss(h: Tensor, w: Tensor) -> Tensor:
        return tf.reduce_sum(linear_cross_entropy(h, w, labels, reduction=reduction, chunk_rows=chunk))

    signature = [tf.TensorSpec((n, 4), tf.float32) for n in (rows, classes)]
    graph = tf.function(grad(loss), input_signature=signature, autograph=False).get_concrete_function().graph
    nodes = [*graph.as_graph_def(add_shapes=True).node]
    for function in graph.as_graph_def(add_shapes=True).library.function:
        nodes += function.node_def
    sizes = set()
    for node in nodes:
        for shape in node.attr["_output_shapes"].list.shape:
            if not shape.unknown_rank:
                sizes.add(int(np.prod([max(d.size, 1) for d in shape.dim])))
    assert chunk * classes in sizes
    assert max(sizes) < rows * classes


@COMPILED
def test_a_tape_outside_sees_what_one_inside_does_not(mode: Function) -> None:
    """A graph that captures a variable, watched from outside by its argument as well."""
    problem = PROBLEMS[0]
    hidden, *others = at(problem)
    variables = [tf.Variable(x) for x in others]
    f = mode(lambda h: scalar(problem)(h, *variables))
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        value = f(hidden)
    assert_derivatives(problem, tape.gradient(value, [hidden, *variables]), problem.exact.gradient, "float64")


@pytest.mark.parametrize("rows", [1, 3, 9])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_xla_of_a_number_of_rows_that_the_graph_does_not_know(rows: int, reduction: str) -> None:
    random = np.random.default_rng(rows)
    weight = tf.constant(random.standard_normal((7, 3)))
    hidden, labels = random.standard_normal((rows, 3)), random.integers(0, 7, rows)

    def both(h: Tensor, t: Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((h, weight))
            found = linear_cross_entropy(h, weight, t, ignore_index=-100, chunk_rows=4, reduction=reduction)
            value = tf.reduce_sum(found)
        return value, *tape.gradient(value, (h, weight))

    signature = [tf.TensorSpec([None, 3], tf.float64), tf.TensorSpec([None], tf.int64)]
    found = tf.function(both, input_signature=signature, autograph=False, jit_compile=True)(hidden, labels)
    for one, expected in zip(found, both(tf.constant(hidden), tf.constant(labels)), strict=True):
        assert_close(one, expected)


@pytest.mark.parametrize("kind", ["labels", "probabilities", "mask"])
def test_rows_known_of_one_array_and_not_of_another(kind: str) -> None:
    random = np.random.default_rng(0)
    hidden, weight = random.standard_normal((9, 3)), random.standard_normal((7, 3))
    labels, soft = random.integers(0, 7, 9), random.random((9, 7))
    mask = np.where(np.arange(7) == labels[:, None], True, random.random((9, 7)) < 0.5)
    given = {"labels": labels, "probabilities": soft, "mask": mask}[kind]
    known = tf.constant(labels)

    def loss(h: Tensor, x: Tensor) -> Tensor:
        if kind == "mask":
            return linear_cross_entropy(h, weight, known, class_mask=x, chunk_rows=4)
        return linear_cross_entropy(h, weight, x, chunk_rows=4)

    unknown = tf.TensorSpec([None, *given.shape[1:]], tf.constant(given).dtype)
    signature = [tf.TensorSpec([9, 3], tf.float64), unknown]
    found = tf.function(loss, input_signature=signature, autograph=False)(hidden, given)
    assert_close(found, loss(tf.constant(hidden), tf.constant(given)))


def test_gathered_losses() -> None:
    """The gradient of a gather is slices of an array, not an array."""
    problem = PROBLEMS[0]
    inputs = at(problem)
    gradients = []
    for pick in (lambda x: tf.gather(x, [0, 2]), lambda x: tf.stack([x[0], x[2]])):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            rows = linear_cross_entropy(*inputs[:2], problem.targets, bias=inputs[2], reduction="none", chunk_rows=2)
            value = tf.reduce_sum(pick(rows))
        gradients.append(tape.gradient(value, inputs))
    for one, other in zip(*gradients, strict=True):
        assert_close(one, other)
