"""JAX in the parity report, beside optax or, without it, jax.nn."""
# ruff: noqa: D102 (ParityAdapter documents its members)

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xentropy.parity.adapter import Derivatives, ParityAdapter, weigh_rows
from xentropy.parity.cases import Array, Case
from xentropy.parity.literals import written

_HAS_OPTAX = find_spec("optax") is not None
if _HAS_OPTAX:
    import optax


class JaxAdapter(ParityAdapter):
    """Arrays of the default device, outside jit."""

    version = jax.__version__
    native_name = "optax" if _HAS_OPTAX else "jax.nn.log_softmax"

    def asarray(self, values: Array, dtype: str) -> jax.Array:
        return jnp.asarray(values).astype(dtype)

    def to_numpy(self, array: jax.Array) -> Array:
        return np.asarray(array, dtype=np.float64 if array.dtype == jnp.float64 else np.float32)

    def owns(self, result: Any) -> bool:
        return isinstance(result, jax.Array)

    def dtype_name(self, array: jax.Array) -> str:
        return str(array.dtype)

    def scope(self, dtype: str) -> AbstractContextManager[Any]:
        # Only float64 *inputs* need the switch; precision="float64" has to work without it.
        return jax.enable_x64(True) if dtype == "float64" else nullcontext()

    def derivatives(
        self, loss: Callable[[jax.Array], jax.Array], logits: jax.Array, direction: jax.Array | None = None
    ) -> Derivatives:
        value, pull = jax.vjp(loss, logits)
        (gradient,) = pull(jnp.ones_like(value))
        if direction is None:
            return Derivatives(value, gradient)
        _, curvature = jax.jvp(jax.grad(lambda x: loss(x).sum()), (logits,), (direction,))
        return Derivatives(value, gradient, curvature)

    def own_loss(self, case: Case) -> Callable[[jax.Array], jax.Array] | None:
        if not _has_own(case):
            return None
        rows = _optax(case) if _HAS_OPTAX else _jax_nn(case)
        targets = self.asarray(case.targets, case.dtype if case.soft else "int32")
        return partial(_weighted, rows, targets, self.asarray(weigh_rows(case), case.wide_dtype))

    def imports(self, dtype: str) -> str:
        lines = "import jax\nimport jax.numpy as jnp"
        return f'{lines}\n\njax.config.update("jax_enable_x64", True)' if dtype == "float64" else lines

    def literal(self, values: Array, dtype: str) -> str:
        return f"jnp.asarray({written(values)}, dtype=jnp.{dtype})"

    def listed(self, array: str) -> str:
        return f"{array}.tolist()"

    def native_source(self, case: Case) -> str | None:
        if not _has_own(case):
            return None
        rows = f"optax.{_optax(case).__name__}(x, targets)" if _HAS_OPTAX else _JAX_NN_SOURCES[case.soft]
        weights = "jnp.ones(len(logits), dtype=jnp.float32)" if case.sample_weight is None else "sample_weight"
        return _SOURCE.format(
            imports="import optax\n\n" if _HAS_OPTAX else "",
            rows=rows,
            weights=weights.replace("float32", case.wide_dtype),
        )


# Compiled, as these functions are used.
@partial(jax.jit, static_argnums=0)
def _weighted(rows: Any, targets: jax.Array, weights: jax.Array, logits: jax.Array) -> jax.Array:
    weighted: jax.Array = rows(logits, targets) * weights
    return weighted


_SOURCE = """{imports}loss, pull = jax.vjp(jax.jit(lambda x: {rows} * {weights}), logits)
(gradient,) = pull(jnp.ones_like(loss))"""

# By index and, the second, with soft targets.
_JAX_NN_SOURCES = (
    "-jnp.take_along_axis(jax.nn.log_softmax(x), targets[:, None], axis=-1)[:, 0]",
    "-jnp.sum(targets * jax.nn.log_softmax(x), axis=-1)",
)


def _has_own(case: Case) -> bool:
    foreign = (case.ignore_index, case.pos_weight, case.class_weight)
    options = case.label_smoothing or any(option is not None for option in foreign)
    return bool(case.from_logits and not options and (_HAS_OPTAX or not case.binary))


def _optax(case: Case) -> Any:
    if case.binary:
        return optax.sigmoid_binary_cross_entropy
    return optax.softmax_cross_entropy if case.soft else optax.softmax_cross_entropy_with_integer_labels


def _jax_nn(case: Case) -> Any:
    return _dense if case.soft else _by_index


def _dense(logits: jax.Array, targets: jax.Array) -> jax.Array:
    return -jnp.sum(targets * jax.nn.log_softmax(logits), axis=-1)


def _by_index(logits: jax.Array, index: jax.Array) -> jax.Array:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), index[:, None], axis=-1)[:, 0]


adapter = JaxAdapter()
