"""JAX under test: eager and jitted, without x64 unless a test has float64 arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from engines import devices

from harness.base import Array, Harness

# Before anything is computed, which is too late for it.
devices.divide_cpu()

# The pieces of memory of this process, where there is such a list, a line each.
MAPPED, MANY = Path("/proc/self/maps"), 30_000


class JaxHarness(Harness):
    name = "jax"
    modes = ("eager", "jit")
    floats = ("float16", "bfloat16", "float32", "float64")
    # Without x64 JAX holds no 64-bit integers; labels of that width reach it as NumPy arrays.
    integers = ("int8", "int16", "int32", "uint8", "uint16", "uint32")

    array_type = jax.Array
    wide = False
    vmap = staticmethod(jax.vmap)

    def asarray(self, values: np.ndarray[Any, Any], dtype: str | None = None) -> Array:
        return jnp.asarray(np.array(values), dtype=dtype)

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        return np.asarray(x, dtype=np.float32) if x.dtype == jnp.bfloat16 else np.asarray(x)

    def compile(self, mode: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        return fn if mode == "eager" else jax.jit(fn)

    def value_and_grad(
        self, mode: str, fn: Callable[..., Array], values: Sequence[Array], wrt: Sequence[int]
    ) -> tuple[Array, Sequence[Array]]:
        return self.compile(mode, _with_gradient(fn, tuple(wrt)))(*values)

    def float64(self) -> AbstractContextManager[Any]:
        return jax.enable_x64(True)

    def tidy(self) -> None:
        # What is compiled stays mapped, some 100 pieces a test; at the system's limit (65,530) the compiler crashes.
        if MAPPED.exists() and MAPPED.read_bytes().count(b"\n") > MANY:
            jax.clear_caches()


# JAX keeps what it compiles by the function's identity.
@cache
def _with_gradient(fn: Callable[..., Array], wrt: tuple[int, ...]) -> Callable[..., Any]:
    return jax.value_and_grad(fn, argnums=wrt)


HARNESS = JaxHarness()
