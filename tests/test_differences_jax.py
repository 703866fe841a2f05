"""optax's rows in the README's table of differences: what its losses say, and what ours do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conventions import Differences

import xentropy_jax

OPTAX = Differences("optax")
INF = math.inf
SPARSE, DENSE = "softmax_cross_entropy_with_integer_labels", "softmax_cross_entropy"


def found(losses: Any, name: str, logits: Any, labels: Any, **options: Any) -> tuple[Any, Any]:
    """The summed loss and its gradient by the logits."""
    function = getattr(losses, name)

    def total(x: jax.Array) -> jax.Array:
        return function(x, jnp.asarray(labels), **options).sum()

    value, gradient = jax.value_and_grad(total)(jnp.asarray(logits))
    return float(value), np.asarray(gradient)


@OPTAX.row("a confident row, [20, 0, 0] and class 0", "0, gradient 0", "4.12e-09, gradient -4.12e-09")
def _() -> None:
    for name, label in ((SPARSE, [0]), (DENSE, [[1.0, 0.0, 0.0]])):
        value, gradient = found(optax, name, [[20.0, 0.0, 0.0]], label)
        assert (value, gradient[0, 0]) == (0.0, 0.0)
        value, gradient = found(xentropy_jax, name, [[20.0, 0.0, 0.0]], label)
        assert (f"{value:.2e}", f"{gradient[0, 0]:.2e}") == ("4.12e-09", "-4.12e-09")


@OPTAX.row("a label of -1", "the loss of the last class", "NaN")
def _() -> None:
    value, _gradient = found(optax, SPARSE, [[1.0, 2.0, 3.0]], [-1])
    assert value == pytest.approx(math.log(1.0 + math.exp(-1.0) + math.exp(-2.0)), rel=1e-6)
    assert np.isnan(found(xentropy_jax, SPARSE, [[1.0, 2.0, 3.0]], [-1])[0])


@OPTAX.row("the gradient at label 3 of 3 classes", "finite, though the loss is NaN", "NaN")
def _() -> None:
    assert np.isfinite(found(optax, SPARSE, [[1.0, 2.0, 3.0]], [3])[1]).all()
    assert np.isnan(found(xentropy_jax, SPARSE, [[1.0, 2.0, 3.0]], [3])[1]).all()


@OPTAX.row("a label that `where` leaves out", "a negative loss", "NaN")
def _() -> None:
    where = jnp.array([[True, True, False]])
    assert found(optax, SPARSE, [[1.0, 2.0, 3.0]], [2], where=where)[0] < -0.5
    assert np.isnan(found(xentropy_jax, SPARSE, [[1.0, 2.0, 3.0]], [2], where=where)[0])


@OPTAX.row(
    "a probability of 0 at a logit of -inf", "NaN; `safe_softmax_cross_entropy`: NaN in jvp", "it counts for nothing"
)
def _() -> None:
    soft, logits, away = [[0.5, 0.5, 0.0]], [[0.0, 0.0, -INF]], jnp.array([[1.0, 0.0, 1.0]])
    assert np.isnan(found(optax, DENSE, logits, soft)[0])
    assert found(xentropy_jax, DENSE, logits, soft)[0] == pytest.approx(math.log(2.0), rel=1e-6)
    for losses, lost in ((optax, True), (xentropy_jax, False)):
        _value, tangent = jax.jvp(
            lambda x, losses=losses: losses.safe_softmax_cross_entropy(x, jnp.asarray(soft)),
            (jnp.asarray(logits),),
            (away,),
        )
        assert bool(jnp.isnan(tangent).all()) is lost


@OPTAX.row("logits of inf at label 1 and of -inf at label 0", "NaN", "0, the limit")
def _() -> None:
    for z, y in ((INF, 1.0), (-INF, 0.0)):
        assert np.isnan(found(optax, "sigmoid_binary_cross_entropy", [z], [y])[0])
        assert found(xentropy_jax, "sigmoid_binary_cross_entropy", [z], [y]) == (0.0, [0.0])


@pytest.mark.parametrize("check", OPTAX.parameters)
def test_difference(check: Callable[[], None]) -> None:
    check()


def test_the_readme_says_so() -> None:
    OPTAX.assert_told()
