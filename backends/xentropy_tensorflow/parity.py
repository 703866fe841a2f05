"""TensorFlow in the parity report, beside tf.nn."""
# ruff: noqa: D102 (ParityAdapter documents its members)

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from xentropy.parity.adapter import Derivatives, ParityAdapter, weigh_rows
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

    def derivatives(self, loss: Callable[[Any], Any], logits: Any, direction: Any = None) -> Derivatives:
        with tf.GradientTape() as outer:
            outer.watch(logits)
            with tf.GradientTape() as inner:
                inner.watch(logits)
                value = loss(logits)
            gradient = inner.gradient(value, logits)
            if gradient is None:
                raise ValueError("the loss does not depend on the logits")
            gradient = tf.convert_to_tensor(gradient)
        if direction is None:
            return Derivatives(value, gradient)
        zero = tf.UnconnectedGradients.ZERO
        return Derivatives(value, gradient, outer.gradient(gradient, logits, direction, unconnected_gradients=zero))

    def own_loss(self, case: Case) -> Callable[[Any], Any] | None:
        rows = self._rows(case)
        if rows is None:
            return None
        return lambda logits: (loss := rows(logits=logits)) * tf.cast(weigh_rows(case), loss.dtype)

    def _rows(self, case: Case) -> Callable[..., Any] | None:
        if not case.from_logits or case.ignore_index is not None or case.label_smoothing:
            return None
        targets = self.asarray(case.targets, case.dtype if case.soft else "int32")
        if case.binary:
            if case.pos_weight is None:
                return partial(tf.nn.sigmoid_cross_entropy_with_logits, labels=targets)
            positive = self.asarray(case.pos_weight, case.dtype)
            return partial(tf.nn.weighted_cross_entropy_with_logits, labels=targets, pos_weight=positive)
        if case.class_weight is not None:
            return None
        if case.soft:
            return partial(tf.nn.softmax_cross_entropy_with_logits, labels=targets)
        return partial(tf.nn.sparse_softmax_cross_entropy_with_logits, labels=targets)

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
