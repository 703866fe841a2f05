"""optax's losses as xentropy_jax offers them: its signatures, shapes, dtypes and errors, and better numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax.losses
import pytest
from jax import export
from mpmath import mp, mpf

import xentropy_jax as ours

Array = Any

NAMES = (
    "poly_loss_cross_entropy",
    "safe_softmax_cross_entropy",
    "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
)
EPS = 2.0**-24


def draw(*shape: int) -> Array:
    return (3.0 * np.random.default_rng(1).standard_normal(shape)).astype(np.float32)


def simplex(*shape: int, axis: int = -1) -> Array:
    p = np.random.default_rng(2).random(shape) ** 3
    return (p / p.sum(axis=axis, keepdims=True)).astype(np.float32)


def labels(high: int, *shape: int) -> Array:
    return np.random.default_rng(3).integers(0, high, shape)


def mask(*shape: int) -> Array:
    found = np.random.default_rng(4).random(shape) < 0.6
    found[..., 0] = True
    return found


X, T = draw(4, 3, 5), simplex(4, 3, 5)
DENSE: dict[str, tuple[tuple[Array, ...], dict[str, Any]]] = {
    "plain": ((X, T), {}),
    "one row": ((X[0, 0], T[0, 0]), {}),
    "axis 0": ((X, simplex(4, 3, 5, axis=0)), {"axis": 0}),
    "axis -2": ((X, T), {"axis": -2}),
    "axes": ((X, T), {"axis": (2, 0)}),
    "axes from the end": ((X, T), {"axis": (-1, -2)}),
    "all axes": ((X, T), {"axis": None}),
    "one target for all": ((X, T[0, 0]), {}),
    "one row, many targets": ((X[0, 0], T), {}),
    "one row, many targets, all axes": ((X[0, 0], T), {"axis": None}),
    "one class, many targets": ((X[..., :1], T), {}),
    "one target value": ((X, T[..., :1]), {}),
    "number": ((X, np.float32(0.3)), {}),
    "not normalised": ((X, 2.5 * T), {}),
    "where by class": ((X, T), {"where": mask(4, 3, 5)}),
    "where by row": ((X, T), {"where": np.array([[True, False, True]] * 4)}),
    "where broadcast": ((X, T), {"where": mask(1, 3, 5)}),
    "where, axis 0": ((X, T), {"axis": 0, "where": mask(5, 3, 4).T}),
    "where, axes": ((X, T), {"axis": (0, 1), "where": mask(4, 3, 5)}),
    "where, axes, by row": ((X, T), {"axis": (0, 2), "where": np.array([True, False, True])}),
    "no rows": ((X[:0], T[:0]), {}),
    "no classes": ((X[..., :0], T[..., :0]), {}),
}
INDEX: dict[str, tuple[tuple[Array, ...], dict[str, Any]]] = {
    "plain": ((X, labels(5, 4, 3)), {}),
    "one row": ((X[0, 0], labels(5)), {}),
    "axis 0": ((X, labels(4, 3, 5)), {"axis": 0}),
    "axis -2": ((X, labels(3, 4, 5)), {"axis": -2}),
    "axes": ((X, labels(20, 3)), {"axis": (2, 0)}),
    "axes from the end": ((X, labels(15, 4)), {"axis": (-2, -1)}),
    "one label for all": ((X, labels(5, 1, 1)), {}),
    "one row, many labels": ((X[:1, :1], labels(5, 4, 3)), {}),
    "where": ((X, np.zeros((4, 3), int)), {"where": mask(4, 3, 5)}),
    "where by row": ((X, labels(5, 4, 3)), {"where": np.array([[True, False, True]] * 4)}),
    "where, axes": ((X, np.zeros(3, int)), {"axis": (2, 0), "where": mask(4, 3, 5)}),
    "no rows": ((X[:0], labels(5, 0, 3)), {}),
}
ELEMENTS: dict[str, tuple[tuple[Array, ...], dict[str, Any]]] = {
    "soft": ((X, T), {}),
    "hard": ((X, labels(2, 4, 3, 5)), {}),
    "bool": ((X, T > 0.2), {}),
    "broadcast labels": ((X, T[0]), {}),
    "broadcast logits": ((X[0], T), {}),
    "number": ((X, 0.25), {}),
    "no elements": ((X[:0], T[:0]), {}),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "alpha": {"alpha": 0.25},
    "gamma 0": {"gamma": 0.0},
    "gamma below 1": {"gamma": 0.5},
    "gamma int": {"gamma": 3},
    "arrays": {"gamma": np.float32([0.5, 1, 2, 3, 4]), "alpha": np.float32([[0.1], [0.5], [0.9]])},
}
CASES = [
    *(("softmax_cross_entropy", *case) for case in DENSE.items()),
    *(("softmax_cross_entropy_with_integer_labels", *case) for case in INDEX.items()),
    *(("safe_softmax_cross_entropy", n, c) for n, c in DENSE.items() if not c[1] and c[0][0].size),
    # optax's own refuses a mask of rows here.
    *(("poly_loss_cross_entropy", n, c) for n, c in DENSE.items() if "by row" not in n),
    ("poly_loss_cross_entropy", "epsilon", (DENSE["plain"][0], {"epsilon": -1.0})),
    ("poly_loss_cross_entropy", "epsilon of rows", (DENSE["plain"][0], {"epsilon": np.float32([1, 2, 3])})),
    *(("sigmoid_binary_cross_entropy", *case) for case in ELEMENTS.items()),
    *(("sigmoid_focal_loss", *case) for case in ELEMENTS.items()),
    *(("sigmoid_focal_loss", name, (ELEMENTS["soft"][0], options)) for name, options in OPTIONS.items()),
    *(("sigmoid_focal_loss", f"hard, {name}", (ELEMENTS["hard"][0], options)) for name, options in OPTIONS.items()),
]
each_call = pytest.mark.parametrize(
    ("name", "call"), [(n, c) for n, _, c in CASES], ids=[f"{n}-{i}" for n, i, _ in CASES]
)


def in_float64(function: Callable[..., Any], *arrays: Array) -> Any:
    """What a function of optax's gives in float64, where its roundings are far below those of float32."""
    with jax.enable_x64(True):
        wide = [np.asarray(a, np.float64) if np.asarray(a).dtype == np.float32 else np.asarray(a) for a in arrays]
        return jax.tree.map(np.asarray, function(*map(jnp.asarray, wide)))


def theirs(name: str) -> Callable[..., Array]:
    function: Callable[..., Array] = getattr(optax.losses, name)
    return function


def floats(arrays: tuple[Array, ...]) -> tuple[int, ...]:
    return tuple(i for i, a in enumerate(arrays) if np.asarray(a).dtype == np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_optaxs(name: str) -> None:
    """And ``axis_name`` after it, where classes can be sharded."""
    found, expected = (list(inspect.signature(f).parameters.values()) for f in (getattr(ours, name), theirs(name)))
    if found[-1].name == "axis_name":
        assert (found[-1].kind, found[-1].default) == (inspect.Parameter.KEYWORD_ONLY, None)
        found = found[:-1]
    assert [(p.name, p.kind, p.default) for p in found] == [(p.name, p.kind, p.default) for p in expected]


@each_call
def test_values_shapes_and_dtypes_are_optaxs(name: str, call: tuple[tuple[Array, ...], dict[str, Any]]) -> None:
    args, options = call
    found, native = getattr(ours, name)(*args, **options), theirs(name)(*args, **options)
    assert (found.shape, found.dtype) == (native.shape, native.dtype)
    exact = in_float64(lambda *a: theirs(name)(*a, **options), *args)
    np.testing.assert_allclose(found, exact, rtol=24 * EPS, atol=1e-30)


@each_call
def test_gradients_are_optaxs(name: str, call: tuple[tuple[Array, ...], dict[str, Any]]) -> None:
    """By the logits and by the labels, of a weighted sum."""
    args, options = call
    native = theirs(name)(*args, **options)
    weights = np.random.default_rng(5).random(native.shape).astype(np.float32)

    def total(function: Callable[..., Array]) -> Callable[..., Array]:
        return lambda *a: (function(*a, **options) * weights).sum()

    found = jax.grad(total(getattr(ours, name)), floats(args))(*args)
    exact = in_float64(jax.grad(total(theirs(name)), floats(args)), *args)
    for ours_, theirs_ in zip(found, exact, strict=True):
        wanted = theirs_
        assert ours_.dtype == np.float32
        if "where" in options:
            # The labels that it leaves out count for nothing; optax has 0 times infinity for their gradient.
            wanted = np.where(np.isnan(wanted), 0.0, wanted)
        # Relative to the largest: entries that are sums of both signs lose digits in any order of addition.
        scale = np.max(np.abs(wanted), initial=0.0)
        np.testing.assert_allclose(ours_, wanted, rtol=64 * EPS, atol=32 * EPS * scale)


@pytest.mark.parametrize("name", NAMES)
def test_jit_vmap_jvp_and_hessian(name: str) -> None:
    args = (X[0], labels(5, 3) if "integer" in name else T[0])
    function = getattr(ours, name)
    eager = function(*args)
    np.testing.assert_allclose(jax.jit(function)(*args), eager, rtol=4 * EPS)
    np.testing.assert_allclose(jax.vmap(function)(*args), eager, rtol=4 * EPS)
    np.testing.assert_allclose(jax.jit(jax.vmap(function))(*args), eager, rtol=4 * EPS)

    def along(f: Callable[..., Array]) -> Callable[..., Any]:
        return lambda x, y, v: jax.jvp(lambda x: f(x, y), (x,), (v,))[1]

    direction = draw(3, 5)[::-1]
    exact = in_float64(along(theirs(name)), *args, direction)
    found = jax.jit(along(function))(*args, direction)
    np.testing.assert_allclose(found, exact, rtol=64 * EPS, atol=64 * EPS * np.abs(exact).max())

    def second(f: Callable[..., Array]) -> Callable[..., Array]:
        return lambda x, y: jax.hessian(lambda x: f(x, y).sum())(x)

    exact = in_float64(second(theirs(name)), args[0][:1], args[1][:1])
    found = second(function)(args[0][:1], args[1][:1])
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("margin", [5.0, 17.0, 40.0, 80.0])
def test_confident_rows_keep_their_digits(margin: float) -> None:
    x = np.array([margin, 0.0, 0.0], np.float32)
    one_hot = np.array([1.0, 0.0, 0.0], np.float32)
    miss = 2 * mp.exp(-mpf(margin)) / (1 + 2 * mp.exp(-mpf(margin)))
    nll = -mp.log1p(-miss)
    expected = {
        "softmax_cross_entropy": (nll, -miss),
        "safe_softmax_cross_entropy": (nll, -miss),
        "softmax_cross_entropy_with_integer_labels": (nll, -miss),
        "poly_loss_cross_entropy": (nll + 2 * miss, -miss - 2 * miss * (1 - miss)),
    }
    for name, (loss, slope) in expected.items():
        label = np.int32(0) if "integer" in name else one_hot
        value, gradient = jax.value_and_grad(getattr(ours, name))(x, label)
        np.testing.assert_allclose(float(value), float(loss), rtol=8 * EPS, err_msg=name)
        np.testing.assert_allclose(float(gradient[0]), float(slope), rtol=8 * EPS, err_msg=name)


@pytest.mark.parametrize("logit", [-80.0, -20.0, -1.0, 0.5, 20.0, 80.0])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("y", [0, 1])
def test_focal_loss_keeps_its_digits(logit: float, gamma: float, y: int) -> None:
    z = mpf(logit) if y else -mpf(logit)

    def exact(z: Any) -> Any:
        return (1 / (1 + mp.exp(z))) ** mpf(gamma) * mp.log1p(mp.exp(-z))

    with mp.workdps(60):
        loss, slope = exact(z), mp.diff(exact, z) * (1 if y else -1)
    value, gradient = jax.value_and_grad(ours.sigmoid_focal_loss)(np.float32(logit), y, gamma=gamma)
    np.testing.assert_allclose(float(value), float(loss), rtol=24 * EPS, atol=1e-37)
    np.testing.assert_allclose(float(gradient), float(slope), rtol=24 * EPS, atol=1e-37)


DTYPES = ("float16", "bfloat16", "float32")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", [*DTYPES, "float64", "int32", "bool"])
@pytest.mark.parametrize("name", [name for name in NAMES if "integer" not in name])
def test_dtypes_promote_as_in_optax(name: str, dtype: str, target: str) -> None:
    if name.startswith("poly") and target in ("int32", "bool"):
        target = "float32"
    with jax.enable_x64(target == "float64"):
        x, t = jnp.ones((2, 3), dtype), jnp.asarray(np.eye(3)[:2]).astype(target)
        found, expected = getattr(ours, name)(x, t), theirs(name)(x, t)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found.astype("float32"), expected.astype("float32"), rtol=0.02)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", ["int8", "uint8", "int32", "uint32"])
def test_every_integer_is_a_label(index: str, dtype: str) -> None:
    found = ours.softmax_cross_entropy_with_integer_labels(jnp.asarray(X, dtype), labels(5, 4, 3).astype(index))
    assert found.dtype == dtype


def test_float64_keeps_its_digits_beside_float32_logits() -> None:
    with jax.enable_x64(True):
        t = jnp.asarray(np.random.default_rng(6).random(X.shape))
        exact = optax.losses.softmax_cross_entropy(jnp.asarray(X, np.float64), t)
        np.testing.assert_allclose(ours.softmax_cross_entropy(jnp.asarray(X), t), exact, rtol=1e-13)


BAD: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "integer logits": ("softmax_cross_entropy", (labels(3, 2, 3), T[0, :2, :3]), {}),
    "a list": ("softmax_cross_entropy", ([[1.0, 2.0]], X), {}),
    "a list of labels": ("sigmoid_binary_cross_entropy", (X[0, 0, :2], [1, 0]), {}),
    "shapes": ("softmax_cross_entropy", (X, T[..., :4]), {}),
    "shapes of elements": ("sigmoid_focal_loss", (X, T[..., :4]), {}),
    "axis": ("softmax_cross_entropy", (X, T), {"axis": 3}),
    "axis twice": ("softmax_cross_entropy", (X, T), {"axis": (1, -2)}),
    "where of integers": ("softmax_cross_entropy", (X, T), {"where": np.ones((4, 3, 5), np.int32)}),
    "float labels": ("softmax_cross_entropy_with_integer_labels", (X, T[..., 0]), {}),
    "bool labels": ("softmax_cross_entropy_with_integer_labels", (X, T[..., 0] > 0), {}),
    "label axes": ("softmax_cross_entropy_with_integer_labels", (X, labels(5, 4, 3, 1)), {}),
    "label shape": ("softmax_cross_entropy_with_integer_labels", (X, labels(5, 4, 2)), {}),
    "no axis": ("softmax_cross_entropy_with_integer_labels", (X, labels(5, 4, 3)), {"axis": None}),
    "far axis": ("softmax_cross_entropy_with_integer_labels", (X, labels(5, 4, 3)), {"axis": -4}),
    "integer targets": ("poly_loss_cross_entropy", (X, labels(2, 4, 3, 5)), {}),
    "integer elements": ("sigmoid_focal_loss", (labels(2, 3), T[0, 0, :3]), {}),
}


@pytest.mark.parametrize("what", BAD)
def test_errors_are_of_optaxs_types(what: str) -> None:
    name, args, options = BAD[what]
    with pytest.raises((TypeError, ValueError)) as expected:
        theirs(name)(*args, **options)
    with pytest.raises(expected.type):
        getattr(ours, name)(*args, **options)


# --- where ours differ ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [-1, -5, 5])
def test_a_label_out_of_range_is_nan(label: int) -> None:
    """optax: the last class, the first, and a NaN with a finite gradient."""
    value, gradient = jax.value_and_grad(ours.softmax_cross_entropy_with_integer_labels)(X[0, 0], label)
    assert np.isnan(value)
    assert np.isnan(gradient).all()


def test_a_label_that_where_hides_is_nan() -> None:
    args = (jnp.array([1.0, 2.0, 3.0]), jnp.array(2))
    where = jnp.array([True, True, False])
    assert theirs("softmax_cross_entropy_with_integer_labels")(*args, where=where) < 0.0
    assert np.isnan(ours.softmax_cross_entropy_with_integer_labels(*args, where=where))


def test_no_classes_is_an_error_for_labels() -> None:
    with pytest.raises(ValueError, match="no classes"):
        ours.softmax_cross_entropy_with_integer_labels(X[..., :0], labels(1, 4, 3))


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "safe_softmax_cross_entropy", "poly_loss_cross_entropy"])
def test_a_target_of_0_counts_for_nothing_at_minus_infinity(name: str) -> None:
    x, t = jnp.array([-jnp.inf, 0.0, 1.0]), jnp.array([0.0, 0.5, 0.5])
    function = getattr(ours, name)
    exact = in_float64(theirs(name), x[1:], t[1:])
    np.testing.assert_allclose(function(x, t), exact, rtol=4 * EPS)
    gradient = in_float64(jax.grad(theirs(name)), x[1:], t[1:])
    np.testing.assert_allclose(jax.grad(function)(x, t), [0.0, *gradient], rtol=16 * EPS)
    np.testing.assert_allclose(jax.jacfwd(function)(x, t), [0.0, *gradient], rtol=16 * EPS)


@pytest.mark.parametrize("name", ["sigmoid_binary_cross_entropy", "sigmoid_focal_loss"])
def test_infinite_binary_logits_have_limits(name: str) -> None:
    x, y = jnp.array([jnp.inf, -jnp.inf, jnp.inf, -jnp.inf]), jnp.array([1.0, 0.0, 0.0, 1.0])
    function = getattr(ours, name)
    np.testing.assert_array_equal(function(x, y), [0.0, 0.0, np.inf, np.inf])
    np.testing.assert_array_equal(jax.vmap(jax.grad(function))(x, y), [0.0, 0.0, 1.0, -1.0])


def test_an_axis_with_two_meanings_is_refused() -> None:
    with pytest.raises(ValueError, match="count it from the end"):
        ours.softmax_cross_entropy(X[0, 0], T, axis=0)


def test_half_precision_is_rounded_once() -> None:
    x = jnp.asarray(draw(64, 1000), jnp.bfloat16)
    index = labels(1000, 64)
    exact = in_float64(theirs("softmax_cross_entropy_with_integer_labels"), np.asarray(x, np.float32), index)
    found = np.asarray(ours.softmax_cross_entropy_with_integer_labels(x, index), np.float64)
    assert np.max(np.abs(found - exact) / exact) <= 2.0**-8 * 1.001


@pytest.mark.parametrize("name", NAMES)
def test_sizes_may_be_symbols(name: str) -> None:
    (rows,) = export.symbolic_shape("rows")
    logits = jax.ShapeDtypeStruct((rows, 3), np.float32)
    labels = jax.ShapeDtypeStruct((rows,), np.int32) if name.endswith("integer_labels") else logits
    exported = export.export(jax.jit(getattr(ours, name)))(logits, labels)
    x, y = jnp.ones((2, 3)), jnp.zeros((2,), jnp.int32) if name.endswith("integer_labels") else jnp.ones((2, 3)) / 3
    np.testing.assert_allclose(exported.call(x, y), getattr(ours, name)(x, y), rtol=1e-6)
