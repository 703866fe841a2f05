"""What is asked of tf.nn's losses by ``xentropy explain``."""

from __future__ import annotations

from xentropy.conventions import answers
from xentropy.conventions.answers import ROWS, sigmoid, softmax
from xentropy.conventions.edges import LogitLosses, edges
from xentropy.conventions.probe import NO_SUCH_OPTION, Answers, Framework, Probe, Raises
from xentropy.conventions.unreduced import unknown, unknown_probabilities, unknown_weights, weighted_nan
from xentropy_tensorflow.parity import adapter

ARRAYS = """\
import tensorflow as tf, xentropy
from math import inf, nan
from xentropy.conventions.probe import names
x = tf.constant([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
y = tf.constant([0, 2])
t = tf.constant([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
z, q = tf.constant([2.0, -1.0]), tf.constant([0.8, 0.3])
v = tf.constant([1.0, 0.0])
w, s = tf.constant([1.0, 2.0, 3.0]), tf.constant([1.0, 3.0])
"""
SPARSE = "nn.sparse_softmax_cross_entropy_with_logits"
DENSE = "nn.softmax_cross_entropy_with_logits"
SIGMOID = "nn.sigmoid_cross_entropy_with_logits"
LOSSES = LogitLosses(
    array="tf.constant({})",
    labels=f"{SPARSE}(y, x)",
    soft=f"{DENSE}(t, x)",
    binary=f"{SIGMOID}(v, z)",
    total="tf.reduce_sum({})",
)
TWO = "a, b = tf.constant([[0.2, 0.3, 0.5]]), tf.constant([[0.7, 0.2, 0.1]])"
CUBE = "c = tf.reshape(tf.sin(tf.range(27.0)), (3, 3, 3))\n"
SOFT, INDICES = f"{CUBE}g = tf.cos(c)", f"{CUBE}k = tf.constant([[0, 1, 2], [2, 0, 1], [1, 1, 0]])"


def gone(label: int) -> tuple[Probe, Probe]:
    """A label that is no class, eagerly and compiled."""
    given = f"y = tf.constant([0, {label}])"
    nan_row: Answers = {"NaN": softmax(f"x, y, validate=False{ROWS}")}
    compiled = f"tf.function({SPARSE}, jit_compile=True)(y, x)"
    refused: Answers = {"InvalidArgumentError": Raises("^InvalidArgumentError"), "IndexError": softmax("x, y")}
    return (
        Probe("a label out of range", f"{SPARSE}(y, x)", {**refused, **nan_row}, f"{label}, eagerly", given),
        Probe("a label out of range", compiled, {**nan_row, **refused}, f"{label}, under XLA", given),
    )


CALLS = (
    Probe("first arguments", f"{DENSE}(a, b)", answers.order(ROWS), given=TWO),
    *(
        Probe("first arguments", f"names({name})", case=f"{name} by name")
        for name in (DENSE, SPARSE, SIGMOID, "nn.weighted_cross_entropy_with_logits")
    ),
    Probe("takes", f"{SPARSE}(y, p)", answers.takes(rest=ROWS), given="p = tf.nn.softmax(x)"),
    Probe("takes", f"{SIGMOID}(v, q)", answers.takes_binary(rest=ROWS), "binary"),
    Probe("axis of the classes", f"{SPARSE}(k, c)", answers.axis("c, k", ROWS), "labels", INDICES),
    Probe("axis of the classes", f"{DENSE}(g, c)", answers.axis("c, g", ROWS), "probabilities", SOFT),
    Probe("axis of the classes", f"{DENSE}(g, c, axis=0)", answers.axis("c, g", ROWS), "probabilities, axis=0", SOFT),
    Probe(
        "axis of the classes",
        f"{SPARSE}(k, c, axis=0)",
        {"there is no such option": NO_SUCH_OPTION, **answers.axis("c, k", ROWS)},
        "labels, axis=0",
        INDICES,
    ),
    Probe("default reduction", f"{SPARSE}(y, x)", answers.reduction(), "labels"),
    Probe("default reduction", f"{DENSE}(t, x)", answers.reduction("x, t"), "probabilities"),
)
OPTIONS = (
    *unknown_probabilities(LOSSES, "tf.nn.softmax(x)"),
    *unknown_weights(LOSSES),
    Probe(
        "pos_weight",
        "nn.weighted_cross_entropy_with_logits(v, z, 3.0)",
        {
            "the positive term alone": sigmoid(f"z, v, pos_weight=3.0{ROWS}"),
            "the whole element": sigmoid(f"z, v, sample_weight=1.0 + 2.0 * v{ROWS}"),
        },
        given="v = tf.constant([0.75, 0.25])",
    ),
    unknown(LOSSES, "label smoothing", "label_smoothing=0.1"),
    unknown(LOSSES, "ignored rows", "ignore_index=2"),
    Probe(
        "ignored rows",
        f"{SPARSE}(y, x)",
        {
            "-100 is a label out of range": Raises("^InvalidArgumentError"),
            "those of label -100": softmax(f"x, y, ignore_index=-100{ROWS}"),
        },
        "-100",
        "y = tf.constant([0, -100])",
    ),
    *weighted_nan(LOSSES),
)
EDGES = (
    Probe(
        "nothing to average",
        f"{SPARSE}(y, x)",
        {"an empty array": softmax(f"x, y{ROWS}"), "0": softmax("x, y")},
        "an empty batch",
        "x, y = x[:0], y[:0]",
    ),
    Probe(
        "nothing to average",
        f"tf.reduce_mean({SPARSE}(y, x))",
        {"0": softmax("x, y"), "NaN, 0 divided by 0 rows": f"tf.reduce_mean({softmax(f'x, y{ROWS}')})"},
        "its mean",
        "x, y = x[:0], y[:0]",
    ),
    *gone(3),
    *gone(-1),
    *(
        Probe(
            "dtype of the loss of half-precision logits",
            f"{SPARSE}(y, h)",
            answers.half("tf.cast({}, h.dtype)", rest=ROWS),
            dtype,
            f"h = tf.cast(x, tf.{dtype})",
        )
        for dtype in ("float16", "bfloat16")
    ),
)

framework = Framework(
    losses="tf.nn",
    own="from tensorflow import nn",
    drop_in="import xentropy_tensorflow as nn",
    arrays=ARRAYS,
    probes=(*CALLS, *OPTIONS, *EDGES, *edges(LOSSES)),
    adapter=adapter,
    modules=("tensorflow",),
)
