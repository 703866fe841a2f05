"""JAX's autodiff: the option table in every mode and order, eager and jitted, with and without x64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
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
from jax import grad, hessian, jacfwd, jacrev, jit, jvp, vmap
from jax.test_util import check_grads

import xentropy
from xentropy import binary_cross_entropy, cross_entropy, token_statistics

INF, NAN = float("inf"), float("nan")

Array = jax.Array
Arrays = tuple[Array, ...]
Function = Callable[..., Any]
Scalar = Callable[..., Array]


def named(*names: str) -> pytest.MarkDecorator:
    """The problems of these names, or all."""
    chosen = [p for p in PROBLEMS if not names or p.name in names]
    return pytest.mark.parametrize("problem", chosen, ids=[p.name for p in chosen])


EAGER_AND_JITTED = pytest.mark.parametrize("compiled", [lambda f: f, jit], ids=["eager", "jit"])


@pytest.fixture
def _x64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


double = pytest.mark.usefixtures("_x64")


def inputs(problem: Problem, dtype: str) -> tuple[Arrays, Arrays]:
    """Where to differentiate, and along what."""
    return tuple(jnp.asarray(a, dtype) for a in problem.arrays), tuple(jnp.asarray(a, dtype) for a in problem.direction)


def scalar(problem: Problem) -> Scalar:
    loss, cotangent = problem.bind(jnp.asarray), problem.cotangent
    return lambda *arrays: (loss(*arrays) * jnp.asarray(cotangent)).sum()


def first_order(f: Scalar, at: Arrays, along: Arrays) -> tuple[Any, ...]:
    """Value, gradient, the value's change along a direction and the gradient's."""
    which = tuple(range(len(at)))
    value, gradient = jax.value_and_grad(f, which)(*at)
    return value, gradient, jvp(f, at, along)[1], jvp(grad(f, which), at, along)[1]


def other_orders(f: Scalar, at: Arrays, along: Arrays) -> tuple[Any, ...]:
    """Reverse over forward, reverse over reverse, and forward over forward."""
    which = tuple(range(len(at)))

    def pushed(*x: Array) -> Array:
        return jvp(f, x, along)[1]

    def slope(*x: Array) -> Array:
        return sum((jnp.vdot(g, d) for g, d in zip(grad(f, which)(*x), along, strict=True)), jnp.zeros(()))

    return grad(pushed, which)(*at), grad(slope, which)(*at), jvp(pushed, at, along)[1]


def assert_first_order(problem: Problem, found: tuple[Any, ...], dtype: str = "float64") -> None:
    value, gradient, along, curve = found
    assert_close(value, problem.exact.value, dtype)
    assert_derivatives(problem, gradient, problem.exact.gradient, dtype)
    assert_close(along, problem.exact.along, dtype)
    assert_derivatives(problem, curve, problem.exact.curve, dtype)


def assert_other_orders(problem: Problem, found: tuple[Any, ...], dtype: str = "float64") -> None:
    *curves, twice = found
    for curve in curves:
        assert_derivatives(problem, curve, problem.exact.curve, dtype)
    terms = [c * d for c, d in zip(problem.exact.curve, problem.direction, strict=False)]
    bound = 64.0 * np.finfo(dtype).eps * sum(np.abs(term).sum() for term in terms)
    assert abs(float(twice) - sum(term.sum() for term in terms)) <= bound


# --- the option table ----------------------------------------------------------------------------------------------


@named()
@double
def test_jitted(problem: Problem) -> None:
    at, along = inputs(problem, "float64")
    f = scalar(problem)
    assert_first_order(problem, jit(lambda at, along: first_order(f, at, along))(at, along))


@named("ignored", "soft", "binary_focal_soft")
@double
def test_eager(problem: Problem) -> None:
    at, along = inputs(problem, "float64")
    assert_first_order(problem, first_order(scalar(problem), at, along))


@named("everything", "soft_everything", "probabilities_soft", "binary_focal_soft")
@double
def test_other_orders(problem: Problem) -> None:
    at, along = inputs(problem, "float64")
    f = scalar(problem)
    assert_other_orders(problem, jit(lambda at, along: other_orders(f, at, along))(at, along))


@named("index_axis", "everything", "soft", "probabilities_soft", "binary_focal_soft")
def test_float32(problem: Problem) -> None:
    at, along = inputs(problem, "float32")
    f = scalar(problem)
    assert_first_order(problem, jit(lambda at, along: first_order(f, at, along))(at, along), "float32")


def checked(problem: Problem) -> Scalar:
    """JAX's check calls with NumPy arrays; here those would be NumPy's loss."""
    f = jit(problem.bind(jnp.asarray, validate=False))
    return lambda *arrays: f(*map(jnp.asarray, arrays))


@named("ignored", "soft", "binary_focal_soft")
@double
def test_check_grads(problem: Problem) -> None:
    at, _ = inputs(problem, "float64")
    check_grads(checked(problem), at, order=2, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6)


@named("index", "binary")
def test_check_grads_in_float32(problem: Problem) -> None:
    at, _ = inputs(problem, "float32")
    check_grads(checked(problem), at, order=2, modes=("fwd", "rev"), atol=3e-2, rtol=3e-2)


# --- transforms ----------------------------------------------------------------------------------------------------

TARGETS = pytest.mark.parametrize("targets", [np.array(LABELS), np.array(SOFT)], ids=["index", "soft"])


def masses(targets: np.ndarray[Any, Any]) -> Numbers:
    """The rows' targets as probabilities."""
    return np.eye(4)[targets] if targets.ndim == 1 else targets


def block_hessian(targets: np.ndarray[Any, Any]) -> Numbers:
    """Of the sum over rows."""
    expected = np.zeros((3, 4, 3, 4))
    for i, block in enumerate(softmax_hessian(LOGITS) * masses(targets).sum(axis=-1)[:, None, None]):
        expected[i, :, i, :] = block
    return expected


@TARGETS
@EAGER_AND_JITTED
@pytest.mark.parametrize(
    "transform",
    [hessian, lambda f: jacrev(jacfwd(f)), lambda f: jacrev(jacrev(f)), lambda f: jacfwd(jacfwd(f))],
    ids=["forward-reverse", "reverse-forward", "reverse-reverse", "forward-forward"],
)
@double
def test_hessian(targets: np.ndarray[Any, Any], transform: Function, compiled: Function) -> None:
    found = compiled(transform(lambda x: cross_entropy(x, targets, reduction="sum")))(jnp.asarray(LOGITS))
    assert_close(found, block_hessian(targets))


@TARGETS
@EAGER_AND_JITTED
@pytest.mark.parametrize("transform", [jacrev, jacfwd])
@double
def test_jacobian_of_rows(targets: np.ndarray[Any, Any], transform: Function, compiled: Function) -> None:
    found = compiled(transform(lambda x: cross_entropy(x, targets, reduction="none")))(jnp.asarray(LOGITS))
    expected = np.zeros((3, 3, 4))
    expected[range(3), range(3)] = softmax_gradient(LOGITS, masses(targets))
    assert_close(found, expected)


@TARGETS
@EAGER_AND_JITTED
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_vmap_of_value_and_grad(targets: np.ndarray[Any, Any], compiled: Function, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        x = jnp.asarray(LOGITS, dtype)
        value, gradient = compiled(vmap(jax.value_and_grad(cross_entropy)))(x, jnp.asarray(targets))
        assert gradient.dtype == dtype
        t = masses(targets)
        mass = t.sum(axis=-1)
        assert_close(gradient, softmax_gradient(LOGITS, t) / mass[:, None], dtype)
        assert_close(value, cross_entropy(x, targets, reduction="none") / mass, dtype)


@TARGETS
@EAGER_AND_JITTED
@double
def test_vmap_of_hessian(targets: np.ndarray[Any, Any], compiled: Function) -> None:
    found = compiled(vmap(hessian(cross_entropy)))(jnp.asarray(LOGITS), jnp.asarray(targets))
    assert_close(found, softmax_hessian(LOGITS))


@double
def test_vmap_of_batches() -> None:
    x = jnp.stack([k * jnp.asarray(LOGITS) for k in (0.5, 1.0, 2.0)])
    one_by_one = np.stack([cross_entropy(part, np.array(LABELS)) for part in x])
    assert_close(vmap(lambda x: cross_entropy(x, np.array(LABELS)))(x), one_by_one)
    found = vmap(cross_entropy, in_axes=(1, None))(jnp.moveaxis(x, 0, 1), jnp.asarray(LABELS))
    assert_close(found, one_by_one)
    weights = jnp.asarray([[1.0, 1.0, 1.0], [1.0, 0.0, 2.0]])
    of_weights = vmap(grad(lambda x, w: cross_entropy(x, np.array(LABELS), sample_weight=w)), (None, 0))(x[1], weights)
    rows = softmax_gradient(LOGITS, np.eye(4)[LABELS])
    assert_close(of_weights, np.stack([rows * (np.array(w) / w.sum())[:, None] for w in weights]))


@double
def test_vmap_of_binary() -> None:
    x, y = jnp.asarray(BINARY.logits), jnp.asarray(BINARY.targets)
    found = vmap(vmap(grad(binary_cross_entropy)))(x, y)
    assert_close(found, 1.0 / (1.0 + np.exp(-np.array(BINARY.logits))) - np.array(BINARY.targets))


@double
def test_vjp_and_linearize() -> None:
    def f(x: Array) -> Array:
        return cross_entropy(x, np.array(LABELS), reduction="none")

    rows = softmax_gradient(LOGITS, np.eye(4)[LABELS])
    _, pull = jax.vjp(f, jnp.asarray(LOGITS))
    cotangent = np.array([1.0, -2.0, 0.5])
    assert_close(pull(jnp.asarray(cotangent))[0], rows * cotangent[:, None])
    _, push = jax.linearize(f, jnp.asarray(LOGITS))
    (along,) = INDEX.direction
    assert_close(push(jnp.asarray(along)), (rows * along).sum(axis=-1))


@EAGER_AND_JITTED
@pytest.mark.parametrize("soft", [False, True], ids=["index", "soft"])
@double
def test_derivatives_of_vmap(soft: bool, compiled: Function) -> None:
    """The derivative itself is mapped: forward, backward, transposed, and differentiated again."""
    x = jnp.stack([k * jnp.asarray(LOGITS) for k in (0.5, 1.0, 2.0)])
    (direction,) = INDEX.direction
    along = jnp.stack([k * jnp.asarray(direction) for k in (1.0, -1.0, 2.0)])

    targets = np.array(SOFT if soft else LABELS)

    def total(x: Array) -> Array:
        return jnp.sum(vmap(lambda part: cross_entropy(part, targets))(x))

    t = targets if soft else np.eye(4)[targets]
    mass = t.sum()
    expected = np.stack([softmax_gradient(part, t) for part in x]) / mass
    assert_close(compiled(grad(total))(x), expected)
    assert_close(compiled(lambda x: jvp(total, (x,), (along,))[1])(x), (expected * along).sum())
    _, push = jax.linearize(total, x)
    assert_close(compiled(jax.linear_transpose(push, x))(1.0)[0], expected)
    of_second_order = compiled(lambda x: jvp(grad(total), (x,), (along,))[1])(x)
    hessians = [t.sum(axis=-1)[:, None, None] * softmax_hessian(part) / mass for part in x]
    for found, matrix, direction in zip(of_second_order, hessians, along, strict=True):
        assert_close(found, np.einsum("icd,id->ic", matrix, direction))


@EAGER_AND_JITTED
def test_shard_map(compiled: Function) -> None:
    """Inside of a mapped program, whose arrays vary from device to device."""
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("rows")

    def losses(x: Array) -> Array:
        mapped = jax.shard_map(
            lambda x, y: cross_entropy(x, y, reduction="none"), mesh=mesh, in_specs=(spec, spec), out_specs=spec
        )
        return mapped(x, jnp.asarray(LABELS))

    def replicated(x: Array) -> Array:
        mapped = jax.shard_map(
            lambda x, y: cross_entropy(x, y)[None],
            mesh=mesh,
            in_specs=(jax.sharding.PartitionSpec(), spec),
            out_specs=spec,
        )
        return mapped(x, jnp.asarray(LABELS)).sum()

    x = jnp.asarray(LOGITS, jnp.float32)
    rows = softmax_gradient(LOGITS, np.eye(4)[LABELS])
    assert_close(compiled(grad(replicated))(x), rows / 3.0, "float32")
    assert_close(compiled(grad(lambda x: losses(x).sum()))(x), rows, "float32")
    assert_close(compiled(lambda x: jvp(losses, (x,), (x,))[1])(x), (rows * x).sum(axis=-1), "float32")


@EAGER_AND_JITTED
@double
def test_checkpoint_and_scan(compiled: Function) -> None:
    """The loss of micro-batches, its memory given up and recomputed."""
    x = jnp.stack([jnp.asarray(LOGITS), 2.0 * jnp.asarray(LOGITS)])
    labels = jnp.asarray([LABELS, LABELS[::-1]])

    def total(x: Array) -> Array:
        def step(carry: Array, batch: tuple[Array, Array]) -> tuple[Array, None]:
            return carry + jax.checkpoint(cross_entropy)(*batch), None

        return jax.lax.scan(step, jnp.zeros(()), (x, labels))[0]

    expected = [softmax_gradient(part, np.eye(4)[own]) / 3.0 for part, own in zip(x, labels, strict=True)]
    assert_close(compiled(grad(total))(x), np.stack(expected))


@EAGER_AND_JITTED
@double
def test_value_and_grad_of_ours_is_a_transform_too(compiled: Function) -> None:
    value, gradient = compiled(xentropy.value_and_grad(cross_entropy))(jnp.asarray(LOGITS), np.array(LABELS))
    assert_close(value, INDEX.exact.value)
    assert_close(gradient, INDEX.exact.gradient[0])
    found = compiled(vmap(xentropy.value_and_grad(cross_entropy)))(jnp.asarray(LOGITS), jnp.asarray(LABELS))[1]
    assert_close(found, softmax_gradient(LOGITS, np.eye(4)[LABELS]))


# --- what is known, and what is not --------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", [grad, jax.value_and_grad, jacrev, jacfwd, hessian, lambda f: grad(grad_norm(f))])
def test_eager_transforms_know_labels(transform: Function) -> None:
    x, labels = jnp.asarray(LOGITS), np.array([2, 4, 0])
    with pytest.raises(IndexError, match=r"targets\[1\] is 4"):
        transform(lambda x: cross_entropy(x, labels))(x)
    with pytest.raises(IndexError, match=r"targets\[1\] is 4"):
        jvp(lambda x: cross_entropy(x, jnp.asarray(labels)), (x,), (x,))


def grad_norm(f: Scalar) -> Scalar:
    return lambda x: jnp.sum(grad(f)(x) ** 2)


@pytest.mark.parametrize("transform", [jit, lambda f: jit(vmap(f)), vmap], ids=["jit", "jit of vmap", "vmap"])
def test_unknown_labels_are_nan(transform: Function) -> None:
    rows = jnp.asarray(LOGITS)[:, None]
    labels = jnp.asarray([[2], [4], [0]])
    f = jax.value_and_grad(cross_entropy)
    if transform is jit:
        f = vmap(f)
    value, gradient = transform(f)(rows, labels)
    unusable = np.array([False, True, False])
    np.testing.assert_array_equal(np.isnan(value), unusable)
    np.testing.assert_array_equal(np.isnan(gradient).all(axis=(1, 2)), unusable)
    np.testing.assert_array_equal(np.isnan(gradient).any(axis=(1, 2)), unusable)


def test_negative_labels_are_not_wrapped() -> None:
    gradient = jit(grad(cross_entropy))(jnp.asarray(LOGITS), jnp.asarray([2, -1, 0]))
    assert np.isnan(gradient).any(axis=-1).tolist() == [False, True, False]


def compilations(caplog: pytest.LogCaptureFixture, f: Callable[[], Any]) -> int:
    caplog.clear()
    with jax.log_compiles(True):
        jax.block_until_ready(f())
    return sum("Compiling" in record.message for record in caplog.records)


@pytest.mark.filterwarnings("ignore:.*Compiling:UserWarning")
def test_nothing_is_compiled_twice(caplog: pytest.LogCaptureFixture) -> None:
    """Calls without jit keep their programs: same shapes and options, no compilation; the counter does count."""
    labels = np.array(LABELS)

    def calls(x: Array) -> list[Any]:
        options = {"label_smoothing": 0.37, "class_weight": np.arange(1.0, 5.0, dtype=np.float32)}
        return [
            cross_entropy(x, labels, **options),
            jax.value_and_grad(lambda x: cross_entropy(x, labels, **options))(x),
            cross_entropy(x, labels, precision="float64", **options),
            binary_cross_entropy(x, jnp.ones_like(x), label_smoothing=0.37),
            *token_statistics(x, labels, temperature=1.37),
        ]

    x = jnp.asarray(LOGITS)
    other = x + 1.0
    assert compilations(caplog, lambda: calls(x)) > 0
    assert compilations(caplog, lambda: calls(other)) == 0


# --- float64 without x64 -------------------------------------------------------------------------------------------


WIDE_EXACT = softmax_gradient(LOGITS, np.eye(4)[LABELS]).astype(np.float32)


def wide(x: Array, labels: Any = tuple(LABELS), **options: Any) -> Array:
    return cross_entropy(x, jnp.asarray(labels), precision="float64", **options)


@EAGER_AND_JITTED
def test_wide_gradient_is_rounded_once(compiled: Function) -> None:
    x = jnp.asarray(LOGITS, "float32")
    value, gradient = compiled(jax.value_and_grad(lambda x: wide(x, reduction="sum")))(x)
    assert value.dtype == gradient.dtype == np.float32
    np.testing.assert_array_equal(value, np.float32(3.0 * INDEX.exact.value))
    np.testing.assert_array_equal(gradient, WIDE_EXACT)
    assert not jax.config.jax_enable_x64


@EAGER_AND_JITTED
def test_wide_in_every_transform(compiled: Function) -> None:
    x, labels = jnp.asarray(LOGITS, "float32"), jnp.asarray(LABELS)
    rows = softmax_gradient(LOGITS, np.eye(4)[LABELS])
    np.testing.assert_array_equal(compiled(vmap(grad(wide)))(x, labels), WIDE_EXACT)
    (along,) = INDEX.direction
    pushed = compiled(lambda x, v: jvp(wide, (x,), (v,))[1])(x, jnp.asarray(along, "float32"))
    assert_close(pushed, INDEX.exact.along, "float32")
    for jacobian in (jacfwd, jacrev):
        found = np.asarray(compiled(jacobian(lambda x: wide(x, reduction="none")))(x))
        assert_close(found[range(3), range(3)], rows, "float32")
    for second in (hessian, lambda f: jacrev(jacrev(f)), lambda f: jacfwd(jacfwd(f))):
        found = compiled(second(lambda x: wide(x, reduction="sum")))(x)
        assert_close(found, block_hessian(np.array(LABELS)), "float32")
    assert_close(compiled(vmap(hessian(wide)))(x, labels), softmax_hessian(LOGITS), "float32")


@named("everything", "soft", "binary_focal_soft")
@EAGER_AND_JITTED
def test_wide_options(problem: Problem, compiled: Function) -> None:
    at, along = inputs(problem, "float32")
    loss, cotangent = problem.bind(np.asarray, precision="float64"), problem.cotangent

    def f(*arrays: Array) -> Array:
        return (loss(*arrays) * jnp.asarray(cotangent)).sum()

    which = tuple(range(len(at)))
    value, first = compiled(jax.value_and_grad(f, which))(*at)
    assert_close(value, problem.exact.value, "float32")
    assert_derivatives(problem, first, problem.exact.gradient, "float32")
    second = compiled(lambda *x: jvp(grad(f, which), x, along)[1])(*at)
    assert_derivatives(problem, second, problem.exact.curve, "float32")


def test_wide_with_half_inputs() -> None:
    x = jnp.asarray(LOGITS, jnp.bfloat16)
    value, gradient = jax.value_and_grad(wide)(x)
    assert (value.dtype, gradient.dtype) == (np.float32, jnp.bfloat16)
    exact = jnp.asarray(softmax_gradient(LOGITS, np.eye(4)[LABELS]) / 3.0, "float32").astype(jnp.bfloat16)
    np.testing.assert_array_equal(gradient.astype("float32"), exact.astype("float32"))


# --- what is not differentiated, and what must not poison a derivative ---------------------------------------------


@double
def test_weights_are_constants() -> None:
    x = jnp.asarray(LOGITS)
    weights = {
        "class_weight": jnp.arange(1.0, 5.0),
        "sample_weight": jnp.arange(1.0, 4.0),
        "normalizer": jnp.asarray(2.0),
    }
    found = grad(lambda weights: cross_entropy(x, np.array(LABELS), **weights))(weights)
    for gradient in found.values():
        assert not gradient.any()
    binary = grad(lambda w: binary_cross_entropy(x, jnp.ones((3, 4)), pos_weight=w, sample_weight=w))(
        jnp.arange(1.0, 5.0)
    )
    assert not binary.any()


@double
def test_targets_alone() -> None:
    x, t = inputs(SOFT_TARGETS, "float64")[0]
    assert_close(grad(cross_entropy, argnums=1)(x, t), SOFT_TARGETS.exact.gradient[1])
    tangent = jnp.asarray(SOFT_TARGETS.direction[1])
    found = jvp(lambda t: cross_entropy(x, t), (t,), (tangent,))[1]
    assert_close(found, np.vdot(SOFT_TARGETS.exact.gradient[1], tangent))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype: str) -> None:
    """Gradients of half inputs are rounded once, also those of second order."""
    x = jnp.asarray(LOGITS, dtype)

    def f(x: Array) -> Array:
        return cross_entropy(x, np.array(LABELS), reduction="sum")

    first, second = grad(f)(x), grad(lambda x: grad(f)(x)[:, 0].sum())(x)
    assert (f(x).dtype, first.dtype, second.dtype) == (np.float32, dtype, dtype)
    exact = jnp.asarray(softmax_gradient(LOGITS, np.eye(4)[LABELS]), "float32").astype(dtype)
    np.testing.assert_array_equal(first.astype("float32"), exact.astype("float32"))
    bound = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(second.astype("float32"), softmax_hessian(LOGITS)[:, 0], rtol=bound, atol=bound / 8)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_scaled_loss_of_half_precision(dtype: str) -> None:
    """A factor meets the gradient before that is rounded to half precision, in which it would be 0."""
    x = jnp.asarray([[20.0, 0.0, 0.5]], dtype)
    exact = 65536.0 * softmax_gradient(np.asarray(x, np.float64), np.eye(3)[[0]])
    for precision in (None, "float64"):
        found = grad(lambda x, p=precision: 65536.0 * cross_entropy(x, np.array([0]), precision=p))(x)
        np.testing.assert_allclose(found.astype("float32"), exact, rtol=float(jnp.finfo(dtype).eps))


@EAGER_AND_JITTED
@pytest.mark.parametrize("confidence", [8.0, 20.0, 40.0, 80.0])
def test_confident_rows_of_second_order(confidence: float, compiled: Function) -> None:
    """p (1 - p) at the label keeps its relative accuracy where 1 - p would have none left."""
    row = np.array([confidence, 0.0, 0.5])
    p = np.exp(row - confidence) / np.exp(row - confidence).sum()
    expected = np.diag([p[0] * (p[1] + p[2]), p[1] * (1 - p[1]), p[2] * (1 - p[2])])
    for i, j in ((0, 1), (0, 2), (1, 2)):
        expected[i, j] = expected[j, i] = -p[i] * p[j]
    found = compiled(hessian(lambda x: cross_entropy(x, 0)))(jnp.asarray(row, "float32"))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-37)


@EAGER_AND_JITTED
@pytest.mark.parametrize("largest", [1e8, 3e8, 1.5e9, 3e38])
def test_second_order_at_large_logits(largest: float, compiled: Function) -> None:
    """A sure row has no curvature, and 0 times an exponential that was put out of sight is not NaN."""
    logits = jnp.asarray([[largest, 0.0, 1.0]], "float32")
    found = compiled(jax.jacrev(grad(lambda x: cross_entropy(x, np.array([0])))))(logits)
    np.testing.assert_array_equal(np.abs(found), np.zeros((1, 3, 1, 3)))


def derivatives(f: Scalar, x: Array) -> list[Array]:
    """Gradient, Hessian and a tangent's push-forward."""
    return [grad(f)(x), hessian(f)(x), jvp(f, (x,), (jnp.ones_like(x),))[1]]


@EAGER_AND_JITTED
@double
def test_ignored_rows_of_nan_have_no_derivative(compiled: Function) -> None:
    x = jnp.asarray([LOGITS[0], [NAN, INF, -INF, NAN], LOGITS[2]])
    labels = np.array([2, -100, 0])
    first, second, along = compiled(lambda x: derivatives(lambda x: cross_entropy(x, labels, ignore_index=-100), x))(x)
    kept = softmax_gradient([LOGITS[0], LOGITS[2]], np.eye(4)[[2, 0]]) / 2.0
    assert_close(first, np.stack([kept[0], np.zeros(4), kept[1]]))
    assert_close(second[0, :, 0], softmax_hessian(LOGITS)[0] / 2.0)
    assert not second[1].any()
    assert not second[:, :, 1].any()
    assert abs(float(along)) < 1e-15


@double
def test_all_rows_ignored() -> None:
    x = jnp.full((2, 3), NAN)
    for found in derivatives(lambda x: cross_entropy(x, np.array([7, 7]), ignore_index=7), x):
        assert not found.any()


@EAGER_AND_JITTED
@double
def test_targets_of_zero_at_minus_infinity(compiled: Function) -> None:
    x = jnp.asarray([[1.0, -INF, 0.5], [-INF, 2.0, -INF]])
    t = jnp.asarray([[0.75, 0.0, 0.25], [0.0, 1.0, 0.0]])
    first, second, along = compiled(lambda x: derivatives(lambda x: cross_entropy(x, t, reduction="sum"), x))(x)
    assert_close(first, softmax_gradient(x, t))
    assert_close(second[0, :, 0], softmax_hessian(x)[0])
    assert not second[1].any()
    assert abs(float(along)) < 1e-15
    of_targets = compiled(grad(lambda t: cross_entropy(x, t, reduction="sum")))(t)
    assert np.isfinite(of_targets).all()
    jacobian = compiled(jacfwd(lambda x: cross_entropy(x, t, reduction="none")))(x)
    assert np.isfinite(jacobian).all()


def test_binary_limits() -> None:
    z, y = jnp.asarray([INF, -INF, INF, -INF]), jnp.asarray([1.0, 0.0, 0.0, 1.0])
    losses, pull = jax.vjp(lambda z: binary_cross_entropy(z, y, reduction="none"), z)
    assert losses.tolist() == [0.0, 0.0, INF, INF]
    assert pull(jnp.ones(4))[0].tolist() == [0.0, 0.0, 1.0, -1.0]


@EAGER_AND_JITTED
@double
def test_second_derivative_at_the_edges(compiled: Function) -> None:
    """At p = 0 against the label 0, and with a focal power below 1 in a row as good as certain."""
    zero, certain, label = jnp.zeros(1), jnp.asarray([[800.0, 0.0, -1.0]]), jnp.asarray([0])
    found = compiled(hessian(lambda p: binary_cross_entropy(p, zero, from_logits=False)))(zero)
    assert_close(found, np.ones((1, 1)))
    found = compiled(hessian(lambda x: cross_entropy(x, label, focal_gamma=0.5)))(certain)
    assert_close(found, np.zeros((1, 3, 1, 3)))


# --- token statistics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [-1, 0])
@double
def test_token_statistics(axis: int) -> None:
    x = jnp.asarray(LOGITS) if axis == -1 else jnp.asarray(LOGITS).T

    @jit
    def f(x: Array) -> Arrays:
        return tuple(token_statistics(x, np.array(LABELS), axis=axis, temperature=1.5)[:3])

    check_grads(lambda x: f(jnp.asarray(x)), (x,), order=2, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6)


@EAGER_AND_JITTED
@double
def test_token_statistics_of_second_order(compiled: Function) -> None:
    x, labels = jnp.asarray(LOGITS), jnp.asarray(LABELS)

    def field(name: str) -> Function:
        return lambda row, label: getattr(token_statistics(row, label), name)

    curve = softmax_hessian(LOGITS)
    assert_close(compiled(vmap(hessian(field("logsumexp"))))(x, labels), curve)
    assert_close(compiled(vmap(hessian(field("log_prob"))))(x, labels), -curve)
    p = jax.nn.softmax(x)
    entropy = -(p * jnp.log(p)).sum(axis=-1, keepdims=True)
    assert_close(compiled(vmap(grad(field("entropy"))))(x, labels), -p * (jnp.log(p) + entropy))


@double
def test_everything_at_once_is_jittable_with_its_arrays_as_arguments() -> None:
    """Weights and masks traced as well: nothing of them may be looked at."""
    arrays = {name: jnp.asarray(v) for name, v in EVERYTHING.items() if isinstance(v, list)}
    static = {name: v for name, v in EVERYTHING.items() if not isinstance(v, list)}

    @jit
    def gradient(x: Array, labels: Array, arrays: dict[str, Array]) -> Array:
        return grad(lambda x: cross_entropy(x, labels, **arrays, **static))(x)

    found = gradient(jnp.asarray(LOGITS), jnp.asarray(LABELS), arrays)
    (problem,) = (p for p in PROBLEMS if p.name == "everything")
    assert_close(found, problem.exact.gradient[0])
