"""JAX's logarithm of 1 + x: ours, because XLA's is not good enough and its expm1 changes between versions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import ulp

from xentropy_jax.log1p import log1p

RANGES = {"tiny": (1e-30, 1e-6), "small": (1e-6, 1.0), "large": (1.0, 1e30), "negative": (-1e-6, -0.999999)}


@pytest.mark.parametrize("name", RANGES)
def test_within_one_ulp(name: str) -> None:
    low, high = RANGES[name]
    x = np.geomspace(low, high, 200_001).astype(np.float32)
    exact = np.log1p(x.astype(np.float64))
    assert np.max(np.abs(np.asarray(jax.jit(log1p)(x)) - exact) / ulp(exact, "float32")) <= 1.0


def test_ends() -> None:
    x = jnp.asarray([0.0, -1.0, -2.0, jnp.inf, jnp.nan, 3.4e38], jnp.float32)
    np.testing.assert_array_equal(log1p(x)[:5], np.array([0.0, -np.inf, np.nan, np.inf, np.nan], np.float32))
    np.testing.assert_allclose(log1p(x)[5], np.log1p(3.4e38), rtol=1e-7)


def test_derivatives() -> None:
    for x in (0.0, 0.5, -0.75, 100.0):
        np.testing.assert_allclose(jax.grad(log1p)(x), 1.0 / (1.0 + x), rtol=1e-6)
        np.testing.assert_allclose(jax.grad(jax.grad(log1p))(x), -1.0 / (1.0 + x) ** 2, rtol=1e-6)
