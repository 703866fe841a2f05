"""tf.nn's losses as xentropy_tensorflow offers them: its signatures, dtypes, shapes and errors, and better numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from mpmath import mp, mpf

import xentropy_tensorflow as ours

Array = Any

NAMES = (
    "sigmoid_cross_entropy_with_logits",
    "softmax_cross_entropy_with_logits",
    "sparse_softmax_cross_entropy_with_logits",
    "weighted_cross_entropy_with_logits",
)
DENSE, SPARSE = "softmax_cross_entropy_with_logits", "sparse_softmax_cross_entropy_with_logits"
BINARY, WEIGHTED = "sigmoid_cross_entropy_with_logits", "weighted_cross_entropy_with_logits"
EPS = 2.0**-24


def draw(*shape: int) -> Array:
    return (3.0 * np.random.default_rng(1).standard_normal(shape)).astype(np.float32)


def simplex(*shape: int, axis: int = -1) -> Array:
    p = np.random.default_rng(2).random(shape) ** 3
    return (p / p.sum(axis=axis, keepdims=True)).astype(np.float32)


def indices(high: int, *shape: int) -> Array:
    return np.random.default_rng(3).integers(0, high, shape, dtype=np.int32)


X, T, Y = draw(2, 3, 4), simplex(2, 3, 4), indices(4, 2, 3)
WEIGHTS = np.float32([0.5, 1.0, 2.0, 4.0])
# Labels, logits, and what comes after them.
CALLS: dict[str, tuple[str, tuple[Array, ...], dict[str, Any]]] = {
    "dense": (DENSE, (T, X), {}),
    "dense, one row": (DENSE, (T[0, 0], X[0, 0]), {}),
    "dense, axis 0": (DENSE, (simplex(2, 3, 4, axis=0), X), {"axis": 0}),
    "dense, axis 1": (DENSE, (simplex(2, 3, 4, axis=1), X), {"axis": 1}),
    "dense, one label row": (DENSE, (T[0, 0], X), {}),
    "dense, one label matrix row": (DENSE, (T[:1, :1], X), {}),
    "dense, integer labels": (DENSE, (np.eye(4, dtype=np.int32)[Y], X), {}),
    "dense, bool labels": (DENSE, (np.eye(4, dtype=bool)[Y], X), {}),
    "dense, one logit": (DENSE, (T, X[..., :1]), {}),
    "dense, no rows": (DENSE, (T[:0], X[:0]), {}),
    "dense, no classes": (DENSE, (T[..., :0], X[..., :0]), {}),
    "sparse": (SPARSE, (Y, X), {}),
    "sparse, matrix": (SPARSE, (Y[0], X[0]), {}),
    "sparse, int64": (SPARSE, (Y.astype(np.int64), X), {}),
    "sparse, one row": (SPARSE, (Y[0, 0], X[0, 0]), {}),
    "sparse, no rows": (SPARSE, (Y[:0], X[:0]), {}),
    "binary": (BINARY, (T, X), {}),
    "binary, one element": (BINARY, (T[0, 0, 0], X[0, 0, 0]), {}),
    "binary, none": (BINARY, (T[:0], X[:0]), {}),
    "weighted": (WEIGHTED, (T, X, np.float32(3.0)), {}),
    "weighted by class": (WEIGHTED, (T, X, WEIGHTS), {}),
    "weighted, broadcast": (WEIGHTED, (T[0], X[0], WEIGHTS.reshape(4, 1, 1)), {}),
}
each_call = pytest.mark.parametrize("what", CALLS)
MODES = ("eager", "graph", "xla", "sizes", "rank")


def theirs(name: str) -> Callable[..., Array]:
    function: Callable[..., Array] = getattr(tf.nn, name)
    return function


def with_gradients(function: Callable[..., Array], options: dict[str, Any]) -> Callable[..., Any]:
    """The loss and, for a weighted sum of it, the gradients by every float."""

    def both(*args: Array) -> Any:
        floats = [a for a in args if a.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(floats)
            loss = function(*args, **options)
            weights = tf.reshape(tf.range(1, tf.size(loss, tf.int32) + 1), tf.shape(loss))
            total = tf.reduce_sum(loss * tf.cast(weights, loss.dtype))
        return loss, tape.gradient(total, floats)

    return both


def run(function: Callable[..., Any], args: tuple[Array, ...], mode: str) -> Any:
    tensors = [tf.convert_to_tensor(a) for a in args]
    if mode == "eager":
        return function(*tensors)
    if mode in ("graph", "xla"):
        return tf.function(function, jit_compile=mode == "xla")(*tensors)
    shapes = [None if mode == "rank" else [None] * t.shape.rank for t in tensors]
    specs = [tf.TensorSpec(shape, t.dtype) for shape, t in zip(shapes, tensors, strict=True)]
    return tf.function(function, input_signature=specs)(*tensors)


def wide(args: tuple[Array, ...]) -> tuple[Array, ...]:
    return tuple(np.asarray(a, np.float64) if np.asarray(a).dtype == np.float32 else a for a in args)


def in_one_shape(name: str) -> Callable[..., Array]:
    """tf.nn's function, whose own gradient fails where labels or logits broadcast."""
    if name != DENSE:
        return theirs(name)

    def dense(labels: Array, logits: Array, **options: Any) -> Array:
        labels = tf.cast(labels, logits.dtype)
        return theirs(name)(labels + tf.zeros_like(logits), logits + tf.zeros_like(labels), **options)

    return dense


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_tf_nns(name: str) -> None:
    found, expected = (inspect.signature(f).parameters.values() for f in (getattr(ours, name), theirs(name)))
    assert [(p.name, p.kind, p.default) for p in found] == [(p.name, p.kind, p.default) for p in expected]


@pytest.mark.parametrize("mode", MODES)
@each_call
def test_values_and_gradients_are_tf_nns(what: str, mode: str) -> None:
    """By logits, by labels and by the weight, against tf.nn in float64."""
    name, args, options = CALLS[what]
    if mode == "rank" and name == DENSE and "axis" in options:
        mode = "sizes"  # tf.nn moves no axis of an unknown rank
    if what == "dense, no classes" and mode in ("sizes", "rank"):
        mode = "graph"  # that there are none has to be known
    loss, gradients = run(with_gradients(getattr(ours, name), options), args, mode)
    native = theirs(name)(*args, **options)
    assert (loss.dtype, loss.shape) == (native.dtype, native.shape)
    exact, wanted = run(with_gradients(in_one_shape(name), options), wide(args), "eager")
    np.testing.assert_allclose(loss, exact, rtol=16 * EPS, atol=1e-30)
    assert len(gradients) == len(wanted)
    for found, right in zip(gradients, wanted, strict=True):
        assert found.dtype == tf.float32
        exact_gradient = np.asarray(tf.convert_to_tensor(right))
        scale = np.max(np.abs(exact_gradient), initial=0.0)
        np.testing.assert_allclose(found, exact_gradient, rtol=64 * EPS, atol=16 * EPS * max(scale, 1.0))


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
@pytest.mark.parametrize("name", NAMES)
def test_the_loss_has_the_logits_dtype_and_is_rounded_once(name: str, dtype: Any) -> None:
    x = tf.cast(X, dtype)
    labels = Y if name == SPARSE else tf.cast(T, dtype)
    args = (labels, x, tf.constant(2.0, dtype)) if name == WEIGHTED else (labels, x)
    loss = getattr(ours, name)(*args)
    assert loss.dtype == dtype
    exact = theirs(name)(*(a if a is Y else tf.cast(a, tf.float64) for a in args))
    unit = {tf.float16: 2.0**-11, tf.bfloat16: 2.0**-8, tf.float32: 8 * EPS, tf.float64: 2.0**-46}[dtype]
    np.testing.assert_allclose(tf.cast(loss, tf.float64), exact, rtol=1.01 * unit)


@pytest.mark.parametrize("name", NAMES)
def test_hessian(name: str) -> None:
    def second(function: Callable[..., Array]) -> Callable[..., Array]:
        def hessian(labels: Array, x: Array, *rest: Array) -> Array:
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    loss = tf.reduce_sum(function(labels, x, *rest))
                gradient = inner.gradient(loss, x)
            return outer.jacobian(gradient, x)

        return hessian

    args = (Y[0] if name == SPARSE else T[0], X[0], *([WEIGHTS] if name == WEIGHTED else []))
    exact = run(second(theirs(name)), wide(args), "eager")
    for mode in ("eager", "graph"):
        found = run(second(getattr(ours, name)), args, mode)
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("margin", [5.0, 17.0, 40.0, 80.0])
def test_confident_rows_keep_their_digits(margin: float) -> None:
    x = tf.constant([margin, 0.0, 0.0])
    miss = 2 * mp.exp(-mpf(margin)) / (1 + 2 * mp.exp(-mpf(margin)))
    for labels in (tf.constant(0), tf.constant([1.0, 0.0, 0.0])):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = getattr(ours, SPARSE if labels.dtype == tf.int32 else DENSE)(labels, x)
        np.testing.assert_allclose(float(loss), float(-mp.log1p(-miss)), rtol=8 * EPS)
        np.testing.assert_allclose(float(tape.gradient(loss, x)[0]), float(-miss), rtol=8 * EPS)


BAD: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "dense shapes": (DENSE, (T[..., :3], X), {}),
    "dense rows": (DENSE, (T[:, :2], X), {}),
    "dense axis": (DENSE, (T, X), {"axis": 3}),
    "dense integer logits": (DENSE, (T, X.astype(np.int32)), {}),
    "dense one row of logits": (DENSE, (T[0], X[0, :1]), {}),
    "sparse shapes": (SPARSE, (Y[:, :2], X), {}),
    "sparse rank": (SPARSE, (Y[..., None], X), {}),
    "sparse number": (SPARSE, (Y[0, 0], X[0, 0, 0]), {}),
    "sparse no classes": (SPARSE, (Y, X[..., :0]), {}),
    "sparse int8": (SPARSE, (Y.astype(np.int8), X), {}),
    "sparse floats": (SPARSE, (T[..., 0], X), {}),
    "sparse integer logits": (SPARSE, (Y, X.astype(np.int32)), {}),
    "sparse label 4 of 4": (SPARSE, (Y + 4, X), {}),
    "sparse label -1": (SPARSE, (Y - 4, X), {}),
    "binary missing": (BINARY, (None, X), {}),
    "binary shapes": (BINARY, (T[0], X), {}),
    "binary float64": (BINARY, (T.astype(np.float64), X), {}),
    "binary integers": (BINARY, (Y, X[..., 0]), {}),
    "binary integer logits": (BINARY, (Y, Y), {}),
    "weighted shapes": (WEIGHTED, (T[0], X, 1.0), {}),
    "weighted list": (WEIGHTED, (T, X, [1.0, 2.0, 3.0, 4.0]), {}),
    "weighted weights": (WEIGHTED, (T, X, WEIGHTS[:3]), {}),
}


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("what", BAD)
def test_errors_are_of_tf_nns_types(what: str, graph: bool) -> None:
    name, args, options = BAD[what]

    def call(function: Callable[..., Array]) -> Array:
        def inner() -> Array:
            return function(*args, **options)

        return tf.function(inner, autograph=False)() if graph else inner()

    with pytest.raises((tf.errors.OpError, TypeError, ValueError)) as expected:
        call(theirs(name))
    with pytest.raises(expected.type):
        call(getattr(ours, name))


@pytest.mark.parametrize("labels", [[0], [0, 1, 1], [[0, 1]]])
def test_sizes_that_turn_out_not_to_fit_are_an_error(labels: Any) -> None:
    signature = [tf.TensorSpec(None, tf.int32), tf.TensorSpec(None, tf.float32)]
    function = tf.function(getattr(ours, SPARSE), input_signature=signature)
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels"):
        function(labels, X[0, :2])


def test_the_error_names_the_label() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"label value of 7 which is outside .* \[0, 4\)"):
        getattr(ours, SPARSE)([1, 7], X[0, :2])


@pytest.mark.parametrize("bad", [7, -1])
def test_the_error_of_a_graph_names_the_label_too(bad: int) -> None:
    labels = tf.constant([0, 1, 2, 0, 1, bad, 0, 1])
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"label value of\] \[{bad}\] \[which is outside"):
        tf.function(getattr(ours, SPARSE))(labels, tf.zeros((8, 3)))


def test_under_xla_a_bad_label_is_nan() -> None:
    def both(x: Array) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = getattr(ours, SPARSE)(tf.constant([1, 4, -1]), x)
        return loss, tape.gradient(loss, x)

    loss, gradient = tf.function(both, jit_compile=True)(tf.constant(X[0]))
    np.testing.assert_array_equal(np.isnan(loss), [False, True, True])
    np.testing.assert_array_equal(np.isnan(gradient).all(axis=-1), [False, True, True])


def test_names_are_scopes_of_the_graph() -> None:
    for name in NAMES:
        args = (Y if name == SPARSE else T, X, *([2.0] if name == WEIGHTED else []))

        def call(name: str = name, args: tuple[Any, ...] = args) -> Array:
            return getattr(ours, name)(*args, name="mine")

        operations = tf.function(call, autograph=False).get_concrete_function().graph.get_operations()
        assert any(operation.name.startswith("mine/") for operation in operations)


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_of_tensorflow_1(name: str) -> None:
    args = (Y if name == SPARSE else T, X, *([WEIGHTS] if name == WEIGHTED else []))
    exact, wanted = run(with_gradients(theirs(name), {}), wide(args), "eager")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tensors = [tf.constant(a) for a in args]
        floats = [t for t in tensors if t.dtype.is_floating]
        loss = getattr(ours, name)(*tensors)
        order = tf.reshape(tf.range(1.0, tf.size(loss) + 1), tf.shape(loss))
        found, gradients = session.run([loss, tf.gradients(tf.reduce_sum(loss * order), floats)])
    np.testing.assert_allclose(found, exact, rtol=16 * EPS)
    for gradient, right in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(gradient, right, rtol=64 * EPS, atol=1e-5)


def test_the_core_refuses_a_graph_of_tensorflow_1() -> None:
    """== of tensors compares identities there, and every loss would be wrong."""
    import xentropy

    with tf.Graph().as_default(), pytest.raises(NotImplementedError, match="TensorFlow 1"):
        xentropy.cross_entropy(tf.constant(X[0]), tf.constant(Y[0]))


# --- where ours differ ------------------------------------------------------------------------------------------------


def test_the_gradient_of_labels_that_do_not_sum_to_1_is_that_of_the_loss() -> None:
    x, t = tf.constant([[1.0, 2.0, 3.0]], tf.float64), tf.constant([[1.0, 0.2, 0.8]], tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        found, native = getattr(ours, DENSE)(t, x), tf.nn.softmax_cross_entropy_with_logits(t, x)
        definition = -tf.reduce_sum(t * tf.nn.log_softmax(x), axis=-1)
    right = tape.gradient(definition, x)
    np.testing.assert_allclose(found, definition, rtol=1e-13)
    np.testing.assert_allclose(tape.gradient(found, x), right, rtol=1e-13)
    assert np.max(np.abs(tape.gradient(native, x) - right)) > 0.05


def test_a_label_of_0_counts_for_nothing_at_minus_infinity() -> None:
    x, t = tf.constant([-np.inf, 0.0, 1.0], tf.float32), tf.constant([0.0, 0.5, 0.5])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = getattr(ours, DENSE)(t, x)
    np.testing.assert_allclose(loss, tf.nn.softmax_cross_entropy_with_logits(t[1:], x[1:]), rtol=4 * EPS)
    assert np.isfinite(tape.gradient(loss, x)).all()
    assert np.isnan(tf.nn.softmax_cross_entropy_with_logits(t, x))


@pytest.mark.parametrize("name", [BINARY, WEIGHTED])
def test_infinite_logits_have_limits(name: str) -> None:
    x, y = tf.constant([np.inf, -np.inf, np.inf, -np.inf], tf.float32), tf.constant([1.0, 0.0, 0.0, 1.0])
    weight = [tf.constant(2.0)] if name == WEIGHTED else []
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = getattr(ours, name)(y, x, *weight)
    np.testing.assert_array_equal(loss, [0.0, 0.0, np.inf, np.inf])
    np.testing.assert_array_equal(tape.gradient(loss, x), [0.0, 0.0, 1.0, -2.0 if weight else -1.0])


def test_an_axis_may_be_counted_from_the_end() -> None:
    t = simplex(2, 3, 4, axis=1)
    np.testing.assert_array_equal(getattr(ours, DENSE)(t, X, axis=-2), getattr(ours, DENSE)(t, X, axis=1))


@pytest.mark.parametrize("name", [BINARY, WEIGHTED])
@pytest.mark.parametrize("sizes", [[None, None], None])
@pytest.mark.parametrize("shapes", [((4, 3), (4, 1)), ((4, 1), (1, 3))])
def test_labels_broadcast_where_the_graph_knows_no_sizes(name: str, sizes: Any, shapes: Any) -> None:
    logits, labels = (tf.reshape(tf.range(float(np.prod(shape))) % 2.0, shape) for shape in shapes)
    more = (tf.constant([2.0, 1.0, 3.0]),) if name == WEIGHTED else ()
    signature = [tf.TensorSpec(sizes, tf.float32)] * 2
    found, expected = (
        tf.function(lambda y, z, losses=losses: getattr(losses, name)(y, z, *more), input_signature=signature)(
            labels, logits
        )
        for losses in (ours, tf.nn)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", [BINARY, WEIGHTED])
def test_sizes_that_turn_out_to_differ_are_an_error(name: str) -> None:
    """As many labels as logits, in another order of axes, are not paired in silence."""
    more = (2.0,) if name == WEIGHTED else ()
    loss = tf.function(
        lambda y, z: getattr(ours, name)(y, z, *more), input_signature=[tf.TensorSpec([None] * 4, tf.float32)] * 2
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        loss(tf.zeros((2, 3, 4, 5)), tf.zeros((2, 4, 5, 3)))


@pytest.mark.parametrize("label", [0.0, 0.5, 1.0])
def test_gradients_at_infinite_logits_are_no_nan_whatever_the_weight_is(label: float) -> None:
    y, z, weight = tf.constant([label] * 2), tf.constant([-np.inf, np.inf]), tf.constant(2.0)
    with tf.GradientTape() as tape:
        tape.watch((y, z, weight))
        losses = ours.weighted_cross_entropy_with_logits(y, z, weight)
    assert not any(np.isnan(part).any() for part in (losses, *tape.gradient(losses, (y, z, weight))))
