"""TensorFlow's own tests of its two softmax kernels, from its wheel, with ours in tf.nn's place.

The wheel has the bases of these tests only; they are written to be subclassed. One of them calls the function by its
signature of TensorFlow 1, whose ``dim`` is our ``axis`` and which has no gradient by the labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.python.kernel_tests.nn_ops import xent_op_test_base
from tensorflow.python.kernel_tests.sparse_ops import sparse_xent_op_test_base

from xentropy_tensorflow import patched

PEER = "TensorFlow"
_SUM = "tf.nn's gradient for labels that don't sum to 1 is not that of its loss; ours is."
DIFFERENCES: dict[str, str] = {"XentOpTest::testSingleClass": _SUM, "XentOpTest::testLabelsBroadcast": _SUM}

# What TensorFlow warns of in its own tests is not ours to judge.
pytestmark = pytest.mark.filterwarnings("default")


def _as_in_version_1(labels: Any, logits: Any, dim: int = -1, name: str | None = None) -> Any:
    labels = tf.stop_gradient(tf.convert_to_tensor(labels))
    return tf.nn.softmax_cross_entropy_with_logits(labels, logits, axis=dim, name=name)


def _version_2(**arguments: Any) -> Any:
    return tf.nn.softmax_cross_entropy_with_logits(**arguments)


class XentOpTest(xent_op_test_base.XentOpTestBase):
    pass


class SparseXentOpTest(sparse_xent_op_test_base.SparseXentOpTestBase):
    pass


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    functions = SimpleNamespace(
        softmax_cross_entropy_with_logits=_as_in_version_1, softmax_cross_entropy_with_logits_v2=_version_2
    )
    monkeypatch.setattr(xent_op_test_base, "nn_ops", functions)
    # Where operations are deterministic, they leave out the question whether the second derivative is made of the very
    # operation that tf.nn's is made of, and look at its numbers alone.
    deterministic = SimpleNamespace(is_op_determinism_enabled=lambda: True)
    monkeypatch.setattr(xent_op_test_base, "config", deterministic)
    monkeypatch.setattr(sparse_xent_op_test_base, "config", deterministic)
    with patched():
        yield
