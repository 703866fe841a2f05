"""``xentropy_jax.linear_cross_entropy``: kernels as Flax keeps them, losses by row, one program, every derivative."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xentropy_jax import linear_cross_entropy

Array = Any

ROWS, FEATURES, CLASSES = 6, 3, 5
RANDOM = np.random.default_rng(11)
HIDDEN = RANDOM.standard_normal((ROWS, FEATURES)).astype(np.float32)
HEAD = {
    "kernel": RANDOM.standard_normal((FEATURES, CLASSES)).astype(np.float32),
    "bias": RANDOM.standard_normal(CLASSES).astype(np.float32),
}
LABELS = np.array([0, 4, 2, 2, 1, 3])
PULL = np.array([1.0, -2.0, 0.5, 0.0, 3.0, 1.5])


def exact(
    hidden: Array, head: dict[str, Array], labels: Array, pull: Array, smoothing: float = 0.0, cap: float | None = None
) -> tuple[Array, Array, dict[str, Array]]:
    """The losses in float64, and the gradients of their product with ``pull``."""
    h, kernel, bias = (np.asarray(a, dtype=np.float64) for a in (hidden, head["kernel"], head["bias"]))
    raw = h @ kernel + bias
    x = raw if cap is None else cap * np.tanh(raw / cap)
    x = x - x.max(axis=1, keepdims=True)
    log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    t = np.eye(CLASSES)[labels] * (1.0 - smoothing) + smoothing / CLASSES
    g = pull[:, None] * (np.exp(log_p) - t)
    if cap is not None:
        g = g * (1.0 - np.tanh(raw / cap) ** 2)
    return -(t * log_p).sum(axis=1), g @ kernel.T, {"kernel": h.T @ g, "bias": g.sum(axis=0)}


def losses(hidden: Array, head: dict[str, Array], labels: Array = LABELS, **options: Any) -> Array:
    return linear_cross_entropy(hidden, head["kernel"], labels, bias=head["bias"], **options)


def assert_close(found: Array, expected: Array, rtol: float = 3e-6) -> None:
    """To within a few roundings of the largest number; the sums here have 3 to 6 terms."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(np.float64(found), expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("wrap", [jax.jit, lambda f: f], ids=["jit", "eager"])
def test_losses_by_row_and_their_gradients_are_those_of_float64(wrap):
    options = {"label_smoothing": 0.1, "softcap": 2.0, "chunk_rows": 4}
    value, of_hidden, of_head = exact(HIDDEN, HEAD, LABELS, PULL, 0.1, 2.0)
    found, pull_back = jax.vjp(wrap(lambda h, head: losses(h, head, **options)), HIDDEN, HEAD)
    assert found.dtype == jnp.float32
    assert_close(found, value)
    got_hidden, got_head = pull_back(jnp.float32(PULL))
    assert_close(got_hidden, of_hidden)
    for name, gradient in of_head.items():
        assert got_head[name].shape == HEAD[name].shape
        assert_close(got_head[name], gradient)


def test_a_mean_has_the_gradient_of_the_rows_that_count():
    weight, labels = np.array([1.0, 2.0, 0.0, 1.0, 0.5, 1.0]), np.where(LABELS == 4, -7, LABELS)
    counted = np.where(labels == -7, 0.0, weight)
    value, of_hidden, of_head = exact(HIDDEN, HEAD, LABELS, counted / counted.sum())

    def mean(h: Array, head: dict[str, Array]) -> Array:
        return losses(h, head, labels, sample_weight=weight, ignore_index=-7, reduction="mean")

    found, (got_hidden, got_head) = jax.value_and_grad(mean, (0, 1))(HIDDEN, HEAD)
    assert_close(found, (value * counted).sum() / counted.sum())
    assert_close(got_hidden, of_hidden)
    assert_close(got_head["kernel"], of_head["kernel"])
    assert_close(got_head["bias"], of_head["bias"])


def test_probabilities_and_a_normalizer():
    soft = np.eye(CLASSES, dtype=np.float32)[LABELS] * 0.75
    value, of_hidden, _ = exact(HIDDEN, HEAD, LABELS, np.full(ROWS, 0.75 / 4.0))
    found, got = jax.value_and_grad(lambda h: losses(h, HEAD, soft, reduction="mean", normalizer=4.0))(HIDDEN)
    assert_close(found, 0.75 * value.sum() / 4.0)
    assert_close(got, of_hidden)


def test_a_confident_row_keeps_its_loss():
    kernel = np.array([[50.0, 0.0, 0.0]], dtype=np.float32)
    found = linear_cross_entropy(np.ones((1, 1), np.float32), kernel, np.array([0]))
    np.testing.assert_allclose(found, [np.log1p(2.0 * np.exp(-50.0))], rtol=1e-6)


def test_a_map_over_batches_is_the_losses_of_each():
    batch = np.stack([HIDDEN, -HIDDEN, 2.0 * HIDDEN])
    found = jax.vmap(losses, in_axes=(0, None))(batch, HEAD)
    one = losses(batch, HEAD, np.stack([LABELS] * 3))
    for row, again, hidden in zip(found, one, batch, strict=True):
        expected = exact(hidden, HEAD, LABELS, PULL)[0]
        assert_close(row, expected)
        assert_close(again, expected)


def test_a_product_with_the_second_derivative():
    def gradient(kernel: Array) -> Array:
        return jax.grad(lambda k: losses(HIDDEN, {**HEAD, "kernel": k}, reduction="sum"))(kernel)

    direction, step = np.float32(RANDOM.standard_normal((FEATURES, CLASSES))), 1e-6
    found = jax.jit(lambda k: jax.jvp(gradient, (k,), (direction,))[1])(HEAD["kernel"])
    kernel, ones = np.float64(HEAD["kernel"]), np.ones(ROWS)
    ahead, behind = (
        exact(HIDDEN, {**HEAD, "kernel": kernel + s * direction}, LABELS, ones)[2]["kernel"] for s in (step, -step)
    )
    # A difference of 2e-6 leaves ten of float64's digits.
    assert_close(found, (ahead - behind) / (2.0 * step), rtol=1e-5)


def test_bfloat16_is_multiplied_in_float32_and_its_gradient_rounded_once():
    hidden, kernel = jnp.bfloat16(HIDDEN), jnp.bfloat16(HEAD["kernel"])
    value, of_hidden, _ = exact(np.float64(hidden), {**HEAD, "kernel": np.float64(kernel)}, LABELS, np.ones(ROWS))
    found, got = jax.value_and_grad(
        lambda h: linear_cross_entropy(h, kernel, LABELS, bias=HEAD["bias"], reduction="sum")
    )(hidden)
    assert found.dtype == jnp.float32
    assert got.dtype == jnp.bfloat16
    assert_close(found, value.sum())
    # Half of a unit in the last of 8 bits.
    assert_close(got, of_hidden, rtol=2.0**-8)


def test_outside_of_jit_it_is_one_program_with_no_transpose_before_it():
    # Whatever has a value is computed by the time that a jaxpr sees it: what is left is the call of one function.
    calls = jax.make_jaxpr(losses)(HIDDEN, HEAD).eqns
    assert [equation.primitive.name in ("jit", "pjit") for equation in calls] == [True]


def test_a_label_out_of_range_is_an_error_where_it_is_known_and_nan_in_jit():
    wrong = np.array([0, 4, 2, 5, 1, 3])
    with pytest.raises(IndexError, match=r"targets\[3\] is 5, but class indices must be in \[0, 5\)"):
        losses(HIDDEN, HEAD, wrong)
    with pytest.raises(IndexError, match="8589934592"):
        losses(HIDDEN, HEAD, np.where(wrong == 5, 2**33, wrong))
    found, pull_back = jax.vjp(jax.jit(lambda h: losses(h, HEAD, jnp.array(0) + wrong)), HIDDEN)
    of_hidden = pull_back(jnp.ones(ROWS))[0]
    assert np.array_equal(np.isnan(found), wrong == 5)
    assert np.array_equal(np.isnan(of_hidden).all(axis=1), wrong == 5)
    assert np.isfinite(losses(HIDDEN, HEAD, wrong, ignore_index=5)).all()


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"hidden": np.ones((2, 3), int)}, TypeError, "hidden has dtype int"),
        ({"kernel": np.ones((5, 4))}, ValueError, r"kernel has shape \(5, 4\), .* it must be \(3, classes\)"),
        ({"kernel": np.ones((3, 0))}, ValueError, r"kernel of shape \(3, 0\) has no classes"),
        ({"bias": np.ones(3)}, ValueError, r"bias has shape \(3,\), .* it must be \(4,\)"),
        ({"labels": np.ones(3, int)}, ValueError, r"labels have shape \(3,\), .* they must be \(2,\)"),
        ({"labels": np.ones((2, 3))}, ValueError, r"labels have shape \(2, 3\), .* must have \(2, 4\)"),
        ({"labels": np.ones(2, bool)}, TypeError, "labels have dtype bool"),
        ({"reduction": "average"}, ValueError, "reduction must be one of .* got 'average'"),
        ({"normalizer": -1.0, "reduction": "mean"}, ValueError, "normalizer must be .* got -1.0"),
        ({"normalizer": 2.0}, ValueError, "normalizer replaces the denominator"),
        ({"chunk_rows": 0}, ValueError, "chunk_rows must be at least 1, got 0"),
        ({"temperature": jnp.ones(())}, TypeError, "temperature must be a real number"),
        ({"ignore_index": 1.5}, TypeError, "ignore_index must be an integer or None, got 1.5"),
    ],
)
def test_bad_arguments_are_named(change, error, said):
    given = {"hidden": np.ones((2, 3)), "kernel": np.ones((3, 4)), "labels": np.zeros(2, int), **change}
    with pytest.raises(error, match=said):
        linear_cross_entropy(given.pop("hidden"), given.pop("kernel"), given.pop("labels"), **given)


def test_an_ignored_index_beyond_32_bits() -> None:
    """Wrapped into 32 bits it would be class 1."""
    labels = np.array([0, 2**32 + 1, 2, 2, 1, 3])
    found = losses(HIDDEN, HEAD, labels, ignore_index=2**32 + 1)
    expected, *_ = exact(HIDDEN, HEAD, np.minimum(labels, 3), PULL)
    assert_close(found, np.where(labels > 4, 0.0, expected))


def test_a_normalizer_that_is_none() -> None:
    with pytest.raises(ValueError, match="normalizer"):
        losses(HIDDEN, HEAD, reduction="mean", normalizer=jnp.float32(-1.0))
