"""What is asked of Keras's losses by ``xentropy explain``, on the framework that Keras runs on."""

from __future__ import annotations

import keras

from xentropy.conventions import answers
from xentropy.conventions.answers import ROWS, SUM, sigmoid, softmax, softmax_gradient
from xentropy.conventions.edges import LogitLosses, edges
from xentropy.conventions.probe import NO_SUCH_OPTION, Answers, Framework, Probe, Raises
from xentropy.parity import discovery

ENGINE = keras.backend.backend()

ARRAYS = """\
import xentropy
from keras import ops
from math import inf, nan
from xentropy.conventions.probe import names
x = ops.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
y = ops.array([0, 2], "int32")
t = ops.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
p = ops.array([[0.2, 0.3, 0.5], [0.1, 0.2, 0.7]])
s = ops.array([1.0, 3.0])
z, q = ops.array([[2.0], [-1.0]]), ops.array([[0.8], [0.3]])
v = ops.array([[1.0], [0.0]])
"""
SPARSE, DENSE = "losses.sparse_categorical_crossentropy", "losses.categorical_crossentropy"
BINARY, CLASS = "losses.binary_crossentropy", "losses.SparseCategoricalCrossentropy"
LOSSES = LogitLosses(
    array="ops.array({})",
    labels=f"{SPARSE}(y, x, from_logits=True)",
    soft=f"{DENSE}(t, x, from_logits=True)",
    binary=f"{BINARY}(v, z, from_logits=True)",
    total="ops.sum({})",
    column=True,
)
CUBE = "c = ops.reshape(ops.sin(ops.arange(27.0)), (3, 3, 3))\n"
SOFT, INDICES = f"{CUBE}g = ops.cos(c)", f'{CUBE}k = ops.array([[0, 1, 2], [2, 0, 1], [1, 1, 0]], "int32")'
P = ", from_logits=False"
NAN = 'x, y = ops.array([[nan, 0.0], [0.0, 0.0]]), ops.array([1, 0], "int32")'
NO_ROWS, KEPT = "NaN, 0 divided by 0 rows", "ops.sum(ops.cast(y != 1, x.dtype))"
CLIPPED = "ops.clip({}, 1e-7, 1 - 1e-7)"


def element(given: str) -> str:
    """Our binary loss of each element of a column, as a row."""
    return f"{sigmoid(given + ROWS)}[:, 0]"


def clipped(loss: str, given: str, predictions: str) -> Answers:
    """What a probability on the wrong side may come to."""
    return {
        "no": loss.format(f"{given}{P}"),
        "to [1e-7, 1 - 1e-7]": loss.format(given.replace(predictions, CLIPPED.format(predictions), 1) + P),
    }


def gone(label: int) -> Probe:
    """A label that is no class."""
    outside: Answers = {
        "IndexError": softmax(f"x, y{ROWS}"),
        "InvalidArgumentError": Raises("^InvalidArgumentError"),
        "NaN": softmax(f"x, y, validate=False{ROWS}"),
        "0": softmax(f"x, y, ignore_index={label}{ROWS}"),
        "the loss of the class so far from the end": softmax(f"x, y % x.shape[-1]{ROWS}"),
    }
    given = f'y = ops.array([0, {label}], "int32")'
    return Probe("a label out of range", f"{SPARSE}(y, x, from_logits=True)", outside, f"{label}", given)


CALLS = (
    Probe(
        "first arguments",
        f"{DENSE}(a, b)",
        answers.order(P + ROWS),
        given="a, b = ops.array([[0.2, 0.3, 0.5]]), ops.array([[0.7, 0.2, 0.1]])",
    ),
    *(Probe("first arguments", f"names({name})", case=f"{name} by name") for name in (SPARSE, DENSE, BINARY)),
    Probe("takes", f"{SPARSE}(y, p)", answers.takes(rest=ROWS)),
    Probe("takes", f"{SPARSE}(y, x, from_logits=True)", answers.takes("x, y", ROWS), "from_logits=True"),
    Probe("takes", f"{BINARY}(v, q)", {"logits": element("q, v"), "probabilities": element(f"q, v{P}")}, "binary"),
    Probe("axis of the classes", f"{DENSE}(g, c, from_logits=True)", answers.axis("c, g", ROWS), given=SOFT),
    Probe(
        "axis of the classes", f"{DENSE}(g, c, from_logits=True, axis=1)", answers.axis("c, g", ROWS), "axis=1", SOFT
    ),
    Probe(
        "axis of the classes",
        f"{SPARSE}(k, c, from_logits=True, axis=1)",
        {"refused": Raises("^(ValueError|TypeError|InvalidArgumentError)"), **answers.axis("c, k", ROWS)},
        "labels, axis=1",
        f"{INDICES}\nc = c[:, :, :2]\nk = k[:, :2]",
    ),
    Probe("default reduction", f"{SPARSE}(y, x, from_logits=True)", answers.reduction(), "function"),
    Probe("default reduction", f"{CLASS}(from_logits=True)(y, x)", answers.reduction(), "class"),
    Probe(
        "default reduction",
        f"{BINARY}(t, p)",
        {
            "the mean of each row": f"ops.mean({sigmoid(f'p, t{P}{ROWS}')}, axis=-1)",
            "each loss": sigmoid(f"p, t{P}{ROWS}"),
        },
        "binary function",
    ),
)
OPTIONS = (
    *(
        Probe("probabilities are clipped", call, given, case, arrays)
        for case, call, given, arrays in (
            (
                "probabilities",
                f"{DENSE}(t, p)",
                clipped("xentropy.cross_entropy({})", f"p, t{ROWS}", "p"),
                "t, p = ops.array([[1.0, 0.0]]), ops.array([[0.0, 1.0]])",
            ),
            (
                "labels",
                f"{SPARSE}(y, p)",
                clipped("xentropy.cross_entropy({})", f"p, y{ROWS}", "p"),
                'y, p = ops.array([0], "int32"), ops.array([[0.0, 1.0]])',
            ),
            (
                "binary",
                f"{BINARY}(v, q)",
                clipped("xentropy.binary_cross_entropy({})[:, 0]", f"q, v{ROWS}", "q"),
                "q = ops.array([[0.0], [1.0]])",
            ),
        )
    ),
    *(
        Probe(
            "rows of probabilities are divided by their sum",
            f"{SPARSE}(y, p)",
            {
                "no": softmax(f"p, y{P}{ROWS}"),
                "yes": softmax(f"p / ops.sum(p, -1, keepdims=True), y{P}{ROWS}"),
                **more,
            },
            str(row),
            f'y, p = ops.array([0], "int32"), ops.array([{row}])\nu = {CLIPPED.format("p")}',
        )
        for row, more in (
            ([0.25, 0.5], {}),
            ([3.0, 1.0], {"yes, once they are clipped": softmax(f"u / ops.sum(u, -1, keepdims=True), y{P}{ROWS}")}),
        )
    ),
    *(
        Probe(
            "denominator of a weighted mean",
            f"{CLASS}({option})(y, p, s)",
            {
                "the sum of the sample weights": softmax(f"p, y{P}, sample_weight=s"),
                "the number of rows": softmax(f"p, y{P}, sample_weight=s, normalizer=len(p)"),
            },
            how,
            f'how = "{how}"' if how else "",
        )
        for option, how in (("", ""), ("reduction=how", "mean_with_sample_weight"))
    ),
    Probe(
        "denominator of a weighted mean",
        "losses.CategoricalCrossentropy()(t, p, s)",
        {
            "the sum of the sample weights": softmax(f"p, t{P}, sample_weight=s"),
            "the number of rows": softmax(f"p, t{P}, sample_weight=s, normalizer=len(p)"),
        },
        "probabilities",
    ),
    Probe(
        "pos_weight",
        f"{BINARY}(v, z, from_logits=True, pos_weight=3.0)",
        {"there is no such option": NO_SUCH_OPTION, "the positive term alone": element("z, v, pos_weight=3.0")},
    ),
    Probe("label smoothing", f"{DENSE}(t, x, from_logits=True, label_smoothing=0.1)", answers.smoothing("x, t")),
    Probe(
        "label smoothing",
        f"{SPARSE}(y, x, from_logits=True, label_smoothing=0.1)",
        {"there is no such option": NO_SUCH_OPTION, **answers.smoothing()},
        "labels",
    ),
    Probe(
        "label smoothing",
        f"{BINARY}(v, z, from_logits=True, label_smoothing=0.1)",
        {"y (1 - ε) + ε/2": element("z, v, label_smoothing=0.1"), "y (1 - ε)": element("z, v * 0.9")},
        "binary",
    ),
    Probe(
        "label smoothing",
        f"{DENSE}(t, x, from_logits=True, label_smoothing=0.1, axis=1)",
        {
            "(1 - ε) t + ε/C": softmax(f"x, t, axis=1, label_smoothing=0.1{ROWS}"),
            "(1 - ε) t + ε / size of the last axis": softmax(f"x, 0.9 * t + 0.1 / t.shape[-1], axis=1{ROWS}"),
        },
        "axis=1, and a last axis of size 2",
        "x = ops.array([[[1.0, 3.0], [2.0, 1.0], [3.0, 2.0]]])\nt = ops.array([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]])",
    ),
)
REMOVED = (
    Probe(
        "ignored rows",
        f"{CLASS}(from_logits=True, ignore_class=2)(y, x)",
        {
            "not in the denominator": softmax("x, y, ignore_index=2"),
            "in the denominator": softmax("x, y, ignore_index=2, normalizer=len(x)"),
        },
        "ignore_class, class",
    ),
    Probe(
        "ignored rows",
        f"{SPARSE}(y, x, from_logits=True, ignore_class=2)",
        {"each loss, 0 of these": softmax(f"x, y, ignore_index=2{ROWS}")},
        "ignore_class, function",
    ),
    *(
        Probe("NaN logits in an ignored row", call, {"they don't reach it": ours}, case, NAN)
        for case, call, ours in (
            (
                "the loss",
                f"{CLASS}(from_logits=True, ignore_class=1)(y, x)",
                softmax("x, y, ignore_index=1"),
            ),
            (
                "its gradient",
                LOSSES.gradient(f"{CLASS}(from_logits=True, ignore_class=1)(y, x)"),
                softmax_gradient("x, y, ignore_index=1"),
            ),
        )
    ),
    Probe(
        "nothing to average",
        f"{CLASS}(from_logits=True, ignore_class=1)(y, x)",
        {"0": softmax("x, y, ignore_index=1"), NO_ROWS: f"{softmax(f'x, y, ignore_index=1{SUM}')} / {KEPT}"},
        "all rows ignored",
        'y = ops.array([1, 1], "int32")',
    ),
    Probe(
        "nothing to average",
        f"{CLASS}(from_logits=True)(y, x)",
        {"0": softmax("x, y"), "an empty array": softmax(f"x, y{ROWS}"), NO_ROWS: f"{softmax(f'x, y{SUM}')} / len(x)"},
        "an empty batch",
        "x, y = x[:0], y[:0]",
    ),
)
EDGES = (
    gone(3),
    gone(-1),
    *(
        Probe(
            "dtype of the loss of half-precision logits",
            call,
            answers.half("ops.cast({}, h.dtype)", rest=rest),
            f"{dtype}, {case}",
            f'h = ops.cast(x, "{dtype}")',
        )
        for dtype in ("float16", "bfloat16")
        for case, call, rest in (
            ("function", f"{SPARSE}(y, h, from_logits=True)", ROWS),
            ("class", f"{CLASS}(from_logits=True)(y, h)", ""),
        )
    ),
)

framework = Framework(
    losses="Keras",
    own="from keras import losses",
    drop_in="import xentropy_keras as losses",
    arrays=ARRAYS,
    probes=(*CALLS, *OPTIONS, *REMOVED, *EDGES, *edges(LOSSES)),
    adapter=discovery.load(ENGINE),
    modules=("keras", ENGINE),
    note=f"KERAS_BACKEND={ENGINE}",
)
