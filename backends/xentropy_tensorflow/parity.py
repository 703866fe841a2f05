"""TensorFlow in the parity report, beside tf.nn."""
# ruff: noqa: D102 (ParityAdapter documents its members)

from __future__ import annotations

from typing import Any

import tensorflow as tf

from xentropy.parity.adapter import ParityAdapter, weigh_rows
from xentropy.parity.cases import Array, Case
from xentropy.parity.literals import written


class TensorFlowAdapter(ParityAdapter):
    """Eager tensors."""

    version = tf.__version__
    native_name = "tf.nn"

    def asarray(self, values: Array, dtype: str) -> Any:
        return tf.cast(tf.constant(values), tf.as_dtype(dtype))

    def to_numpy(self, array: Any) -> Array:
        wide = array if array.dtype == tf.float64 else tf.cast(array, tf.float32)
        values: Array = wide.numpy()
        return values

    def owns(self, result: Any) -> bool:
        return bool(tf.is_tensor(result))

    def dtype_name(self, array: Any) -> str:
        return str(array.dtype.name)

    def native(self, case: Case) -> tuple[Array, Array | None] | None:
        logits = self.asarray(case.logits, case.dtype)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            rows = self._rows(case, logits)
            if rows is None:
                return None
            loss = rows * tf.cast(weigh_rows(case), rows.dtype)
        return self.to_numpy(loss), self.to_numpy(tape.gradient(loss, logits))

    def _rows(self, case: Case, logits: Any) -> Any:
        if not case.from_logits or case.ignore_index is not None or case.label_smoothing:
            return None
        targets = self.asarray(case.targets, case.dtype if case.soft else "int32")
        if case.binary:
            if case.pos_weight is None:
                return tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)
            return tf.nn.weighted_cross_entropy_with_logits(targets, logits, tf.cast(case.pos_weight, logits.dtype))
        if case.class_weight is not None:
            return None
        if case.soft:
            return tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)

    def imports(self, dtype: str) -> str:
        return "import tensorflow as tf"

    def literal(self, values: Array, dtype: str) -> str:
        return f"tf.constant({written(values)}, dtype=tf.{dtype})"

    def listed(self, array: str) -> str:
        return f"{array}.numpy().tolist()"

    def native_source(self, case: Case) -> str | None:
        call = _call_source(case)
        if call is None:
            return None
        weigh = "" if case.sample_weight is None else " * tf.cast(sample_weight, logits.dtype)"
        return "\n".join(
            [
                "with tf.GradientTape() as tape:",
                "    tape.watch(logits)",
                f"    loss = tf.nn.{call}{weigh}",
                "gradient = tape.gradient(loss, logits)",
            ]
        )


def _call_source(case: Case) -> str | None:
    if not case.from_logits or case.ignore_index is not None or case.label_smoothing or case.class_weight is not None:
        return None
    if case.pos_weight is not None:
        return "weighted_cross_entropy_with_logits(targets, logits, tf.cast(pos_weight, logits.dtype))"
    kind = "sigmoid" if case.binary else "softmax" if case.soft else "sparse_softmax"
    return f"{kind}_cross_entropy_with_logits(labels=targets, logits=logits)"


adapter = TensorFlowAdapter()
