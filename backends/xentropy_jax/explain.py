"""What is asked of optax's losses by ``xentropy explain``."""

from __future__ import annotations

from xentropy.conventions import answers
from xentropy.conventions.answers import ROWS, SUM, sigmoid, softmax, softmax_gradient
from xentropy.conventions.edges import LogitLosses, edges
from xentropy.conventions.probe import NO_SUCH_OPTION, Framework, Probe
from xentropy.conventions.unreduced import unknown, unknown_probabilities, unknown_weights, weighted_nan
from xentropy_jax.parity import adapter

ARRAYS = """\
import jax, xentropy
import jax.numpy as jnp
from math import inf, nan
from optax.losses import smooth_labels
from xentropy.conventions.probe import names
x = jnp.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
y = jnp.array([0, 2])
t = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
z, q = jnp.array([2.0, -1.0]), jnp.array([0.8, 0.3])
v = jnp.array([1.0, 0.0])
w, s = jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 3.0])
"""
SPARSE = "losses.softmax_cross_entropy_with_integer_labels"
DENSE = "losses.softmax_cross_entropy"
SIGMOID = "losses.sigmoid_binary_cross_entropy"
LOSSES = LogitLosses(
    array="jnp.array({})",
    labels=f"{SPARSE}(x, y)",
    soft=f"{DENSE}(x, t)",
    binary=f"{SIGMOID}(z, v)",
    total="jnp.sum({})",
)
TWO = "a, b = jnp.array([[0.2, 0.3, 0.5]]), jnp.array([[0.7, 0.2, 0.1]])"
CUBE = "c = jnp.sin(jnp.arange(27.0)).reshape(3, 3, 3)\n"
SOFT, INDICES = f"{CUBE}g = jnp.cos(c)", f"{CUBE}k = jnp.array([[0, 1, 2], [2, 0, 1], [1, 1, 0]])"


def gone(label: int) -> tuple[Probe, Probe]:
    """A label that is no class, and the gradient of its loss."""
    return (
        Probe(
            "a label out of range",
            f"{SPARSE}(x, y)",
            {
                "IndexError": softmax(f"x, y{ROWS}"),
                "NaN": softmax(f"x, y, validate=False{ROWS}"),
                "the loss of the class so far from the end": softmax(f"x, y % x.shape[-1]{ROWS}"),
            },
            f"{label}",
            f"y = jnp.array([0, {label}])",
        ),
        Probe(
            "a label out of range",
            LOSSES.gradient(f"{SPARSE}(x, y)"),
            {
                "NaN": softmax_gradient(f"x, y, validate=False{SUM}"),
                "that of the class so far from the end": softmax_gradient(f"x, y % x.shape[-1]{SUM}"),
            },
            f"{label}, its gradient",
            f"y = jnp.array([0, {label}])",
        ),
    )


CALLS = (
    Probe("first arguments", f"{DENSE}(a, b)", answers.order(ROWS), given=TWO),
    *(Probe("first arguments", f"names({name})", case=f"{name} by name") for name in (DENSE, SPARSE, SIGMOID)),
    Probe("takes", f"{SPARSE}(p, y)", answers.takes(rest=ROWS), given="p = jax.nn.softmax(x)"),
    Probe("takes", f"{SIGMOID}(q, v)", answers.takes_binary(rest=ROWS), "binary"),
    Probe("axis of the classes", f"{SPARSE}(c, k)", answers.axis("c, k", ROWS), "labels", INDICES),
    Probe("axis of the classes", f"{SPARSE}(c, k, axis=0)", answers.axis("c, k", ROWS), "labels, axis=0", INDICES),
    Probe("axis of the classes", f"{DENSE}(c, g)", answers.axis("c, g", ROWS), "probabilities", SOFT),
    Probe("axis of the classes", f"{DENSE}(c, g, axis=0)", answers.axis("c, g", ROWS), "probabilities, axis=0", SOFT),
    Probe("default reduction", f"{SPARSE}(x, y)", answers.reduction(), "labels"),
    Probe("default reduction", f"{DENSE}(x, t)", answers.reduction("x, t"), "probabilities"),
)
OPTIONS = (
    *unknown_probabilities(LOSSES, "jax.nn.softmax(x)"),
    *unknown_weights(LOSSES),
    Probe(
        "pos_weight",
        f"{SIGMOID}(z, v, pos_weight=3.0)",
        {
            "there is no such option": NO_SUCH_OPTION,
            "the positive term alone": sigmoid(f"z, v, pos_weight=3.0{ROWS}"),
        },
    ),
    unknown(LOSSES, "label smoothing", "label_smoothing=0.1"),
    Probe(
        "label smoothing",
        f"{DENSE}(x, smooth_labels(t, 0.1))",
        answers.smoothing("x, t"),
        "optax.losses.smooth_labels",
    ),
    unknown(LOSSES, "ignored rows", "ignore_index=2"),
    Probe(
        "ignored rows",
        f"{SPARSE}(x, y, where=m)",
        {
            "`where` leaves classes out": softmax(f"x, y, class_mask=m{ROWS}"),
            "`where` leaves rows out": softmax(f"x, y, sample_weight=1.0 * m.all(1){ROWS}"),
        },
        "where",
        "m = jnp.array([[True, False, True], [True, True, True]])",
    ),
    *weighted_nan(LOSSES),
)
EDGES = (
    Probe(
        "nothing to average",
        f"{SPARSE}(x, y)",
        {"an empty array": softmax(f"x, y{ROWS}"), "0": softmax("x, y")},
        "an empty batch",
        "x, y = x[:0], y[:0]",
    ),
    Probe(
        "nothing to average",
        f"{SPARSE}(x, y).mean()",
        {"0": softmax("x, y"), "NaN, 0 divided by 0 rows": f"{softmax(f'x, y{ROWS}')}.mean()"},
        "its mean",
        "x, y = x[:0], y[:0]",
    ),
    *gone(3),
    *gone(-1),
    *(
        Probe(
            "dtype of the loss of half-precision logits",
            call,
            answers.half("{}.astype(h.dtype)", ours, ROWS),
            case,
            f"h = x.astype(jnp.{dtype})",
        )
        for case, dtype, call, ours in (
            ("float16", "float16", f"{SPARSE}(h, y)", "h, y"),
            ("bfloat16", "bfloat16", f"{SPARSE}(h, y)", "h, y"),
            ("bfloat16, probabilities in float32", "bfloat16", f"{DENSE}(h, t)", "h, t"),
        )
    ),
    Probe(
        "a target of 0 at a logit of -inf",
        "losses.safe_softmax_cross_entropy(x, t)",
        {"yes": softmax(f"x, t{ROWS}")},
        "safe_softmax_cross_entropy",
        "x, t = jnp.array([[0.0, 0.0, -inf]]), jnp.array([[0.5, 0.5, 0.0]])",
    ),
)

framework = Framework(
    losses="optax",
    own="from optax import losses",
    drop_in="import xentropy_jax as losses",
    arrays=ARRAYS,
    probes=(*CALLS, *OPTIONS, *EDGES, *edges(LOSSES)),
    adapter=adapter,
    modules=("jax", "optax"),
    needs={"optax": "optax"},
)
