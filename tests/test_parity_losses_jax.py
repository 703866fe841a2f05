"""``assert_parity`` on JAX: losses by functions, compiled or not, and name, with two derivatives."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from compiled_losses import (
    EASY,
    ONE_SHAPE,
    assert_every_corner_passes,
    assert_own_loss_loses_digits,
    assert_wrong_in_a_derivative_only,
)
from test_parity_losses import failure

import xentropy
from xentropy.parity import Loss, assert_parity
from xentropy.parity.strategies import by_corner


def ours(logits: jax.Array, targets: jax.Array) -> jax.Array:
    return xentropy.cross_entropy(logits, targets, reduction="none")


def wrong_slope(logits: jax.Array, targets: jax.Array) -> jax.Array:
    right = ours(logits, targets)
    return 2 * right - jax.lax.stop_gradient(right)


def flat_slope(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Right in value and gradient, whose own derivative is cut off."""
    slope = jax.lax.stop_gradient(jax.nn.softmax(logits) - jax.nn.one_hot(targets, logits.shape[1]))
    return jax.lax.stop_gradient(ours(logits, targets)) + jnp.sum((logits - jax.lax.stop_gradient(logits)) * slope, 1)


@pytest.mark.parametrize("dtypes", [["float32"], ["float64"], ["float16"], ["bfloat16"]])
def test_ours_passes_every_corner_with_two_derivatives(dtypes: list[str]) -> None:
    assert_every_corner_passes(ours, dtypes)


@pytest.mark.parametrize("targets", ["probabilities", "binary"])
def test_ours_passes_with_targets_of_every_kind(targets: str) -> None:
    def loss(logits: jax.Array, goal: jax.Array) -> jax.Array:
        call = xentropy.binary_cross_entropy if logits.ndim == 1 else xentropy.cross_entropy
        return call(logits, goal, reduction="none")

    assert_parity(loss, cases=by_corner(targets=targets, **ONE_SHAPE), examples=28)


def test_sums_of_subnormal_terms_may_be_zero() -> None:
    """JAX flushes them: 999 e^-88 is 6e-36, and comes back as 0."""
    assert_parity(ours, cases=by_corner(corners=["subnormal"], rows=[1], classes=[1000]), examples=20)


def test_the_own_loss_loses_digits_of_confident_rows() -> None:
    assert_own_loss_loses_digits("jax")


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("loss", "quantity"), [(wrong_slope, "gradient"), (flat_slope, "curvature")])
def test_a_loss_that_is_wrong_in_a_derivative_only(loss: Any, quantity: str, compiled: bool) -> None:
    assert_wrong_in_a_derivative_only(loss, jax.jit(loss) if compiled else loss, quantity)


def test_whose_arrays_a_compiled_function_takes() -> None:
    @jax.jit
    def unannotated(logits: Any, targets: Any) -> Any:
        return ours(logits, targets)

    assert assert_parity(unannotated, "xentropy", cases=EASY, examples=4).names == ("unannotated", "xentropy on jax")


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_reductions(reduction: str) -> None:
    @jax.jit
    def reduced(logits: jax.Array, targets: jax.Array) -> jax.Array:
        return getattr(jnp, reduction)(ours(logits, targets))

    assert_parity(reduced, "xentropy", cases=EASY, examples=10, reduction=reduction)
    with pytest.raises(ValueError, match=r"returned shape \(\) for logits of shape \(3, 4\), where reduction='none'"):
        assert_parity(reduced, cases=EASY, examples=4)


def test_a_custom_derivative_is_the_one_that_is_judged() -> None:
    @jax.custom_vjp
    def custom(logits: jax.Array, targets: jax.Array) -> jax.Array:
        return ours(logits, targets)

    def forward(logits: jax.Array, targets: jax.Array) -> Any:
        return ours(logits, targets), (logits, targets)

    def backward(kept: Any, cotangent: jax.Array) -> Any:
        slope = jax.vjp(lambda x: ours(x, kept[1]), kept[0])[1](cotangent)[0]
        return 1.01 * slope, None

    custom.defvjp(forward, backward)
    error = failure(Loss(custom, "jax"), cases=EASY)
    assert error.gap is not None
    assert error.gap.quantity == "gradient"
