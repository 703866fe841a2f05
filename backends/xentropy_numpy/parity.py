"""NumPy in the parity report; SciPy's log_softmax, where it is installed, stands for NumPy's own loss."""
# ruff: noqa: D102 (ParityAdapter documents its members)

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from xentropy.parity.adapter import ParityAdapter, UnavailableError, weigh_rows
from xentropy.parity.cases import Array, Case
from xentropy.parity.literals import written

_HAS_SCIPY = find_spec("scipy") is not None
if _HAS_SCIPY:
    from scipy.special import log_softmax

_HAS_BFLOAT16 = find_spec("ml_dtypes") is not None
if _HAS_BFLOAT16:
    import ml_dtypes


class NumPyAdapter(ParityAdapter):
    """NumPy arrays; bfloat16 through ml_dtypes where that is installed."""

    version = np.__version__
    native_name = "scipy.special.log_softmax" if _HAS_SCIPY else None

    def asarray(self, values: Array, dtype: str) -> Array:
        if dtype != "bfloat16":
            return values.astype(dtype)
        if not _HAS_BFLOAT16:
            raise UnavailableError("bfloat16 needs ml_dtypes")
        return values.astype(ml_dtypes.bfloat16)

    def to_numpy(self, array: Any) -> Array:
        return np.asarray(array, dtype=np.float64 if array.dtype == np.float64 else np.float32)

    def owns(self, result: Any) -> bool:
        return isinstance(result, np.ndarray | np.generic)

    def dtype_name(self, array: Any) -> str:
        return str(array.dtype)

    def own_loss(self, case: Case) -> Callable[[Array], Array] | None:
        if not _has_own(case):
            return None
        targets = self.asarray(case.targets, case.dtype if case.soft else "int64")
        return partial(_soft if case.soft else _by_index, targets, weigh_rows(case))

    def imports(self, dtype: str) -> str:
        return "import ml_dtypes\nimport numpy as np" if dtype == "bfloat16" else "import numpy as np"

    def literal(self, values: Array, dtype: str) -> str:
        module = "ml_dtypes" if dtype == "bfloat16" else "np"
        return f"np.asarray({written(values)}, dtype={module}.{dtype})"

    def listed(self, array: str) -> str:
        return f"{array}.tolist()"

    def native_source(self, case: Case) -> str | None:
        if not _has_own(case):
            return None
        lines = ["from scipy.special import log_softmax", "", "log_p = log_softmax(logits, axis=-1)"]
        if case.soft:
            lines.append("loss = -np.sum(targets * log_p, axis=-1)")
        else:
            lines.append("loss = -np.take_along_axis(log_p, targets[:, None].astype(np.int64), axis=-1)[:, 0]")
        if case.sample_weight is not None:
            lines.append("loss = loss * sample_weight")
        return "\n".join(lines)


def _has_own(case: Case) -> bool:
    options = case.class_weight is not None or case.ignore_index is not None or case.label_smoothing
    return bool(_HAS_SCIPY and case.from_logits and not case.binary and not options)


def _soft(targets: Array, weights: Array, logits: Array) -> Array:
    with np.errstate(invalid="ignore"):
        loss: Array = -np.sum(targets * log_softmax(logits, axis=-1), axis=-1) * weights
    return loss


def _by_index(labels: Array, weights: Array, logits: Array) -> Array:
    log_p = log_softmax(logits, axis=-1)
    with np.errstate(invalid="ignore"):
        loss: Array = -np.take_along_axis(log_p, labels[:, None], axis=-1)[:, 0] * weights
    return loss


adapter = NumPyAdapter()
