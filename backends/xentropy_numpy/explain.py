"""What is asked of scikit-learn's log_loss by ``xentropy explain``."""

from __future__ import annotations

from xentropy.conventions.answers import sigmoid, softmax
from xentropy.conventions.probe import NO_SUCH_OPTION, Framework, Probe, Raises
from xentropy_numpy.parity import adapter

ARRAYS = """\
import numpy as np, xentropy
from xentropy.conventions.probe import names
y, labels = np.array([0, 2]), [0, 1, 2]
p = np.array([[0.2, 0.3, 0.5], [0.1, 0.2, 0.7]])
s = np.array([1.0, 3.0])
"""
HALF = "h = np.array([[0.25, 0.25, 0.5], [0.125, 0.125, 0.75]], np.float16)"
BINARY = "labels, q, v = [0, 1], np.array({}), np.array({})"


def ours(given: str) -> str:
    """Our loss of probabilities of classes, as a number of Python's."""
    return f"float({softmax(f'{given}, from_logits=False')})"


def binary(given: str) -> str:
    """The same of the probability of one class of two."""
    return f"float({sigmoid(f'{given}, from_logits=False')})"


def unknown(convention: str, option: str) -> Probe:
    """A probe with an option that log_loss may not have."""
    return Probe(
        convention,
        f"metrics.log_loss(y, p, labels=labels, {option})",
        {"there is no such option": NO_SUCH_OPTION, "as ours": ours(f"p, y, {option}")},
        option.partition("=")[0],
    )


CALLS = (
    Probe("first arguments", "metrics.log_loss(y, p, labels=labels)", {"targets, predictions": ours("p, y")}),
    Probe("first arguments", "names(metrics.log_loss)", case="by name"),
    Probe(
        "takes",
        "metrics.log_loss(y, p, labels=labels)",
        {"logits": f"float({softmax('p, y')})", "probabilities": ours("p, y")},
    ),
    Probe(
        "axis of the classes",
        "metrics.log_loss(y, p, labels=labels)",
        {"axis 1": ours("p, y"), "axis 0": ours("p, y, axis=0")},
        given="y = np.array([0, 0, 2])\np = np.array([[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.3, 0.1, 0.6]])",
    ),
    *(
        Probe(
            "default reduction",
            f"metrics.log_loss(y, p, labels=labels{option})",
            {"the mean": ours("p, y"), "the sum": ours('p, y, reduction="sum"')},
            option.strip(", "),
        )
        for option in ("", ", normalize=False")
    ),
    Probe(
        "denominator of a weighted mean",
        "metrics.log_loss(y, p, labels=labels, sample_weight=s)",
        {
            "the sum of the sample weights": ours("p, y, sample_weight=s"),
            "the number of rows": ours("p, y, sample_weight=s, normalizer=len(y)"),
        },
    ),
    unknown("label smoothing", "label_smoothing=0.1"),
    unknown("ignored rows", "ignore_index=2"),
)
EDGES = (
    *(
        Probe(
            "probabilities are clipped",
            "metrics.log_loss(v, q, labels=labels)",
            {
                "no": binary("q, v"),
                "to [eps, 1 - eps] of their dtype": binary("q.clip(eps, 1 - eps), v"),
                "to [1e-15, 1 - 1e-15]": binary("q.clip(1e-15, 1 - 1e-15), v"),
                **more,
            },
            dtype,
            f"{BINARY.format(f'[0.0], np.{dtype}', '[1]')}\neps = np.finfo(q.dtype).eps",
        )
        for dtype, more in (
            ("float64", {}),
            ("float32", {"to [eps, 1 - eps], then float64": binary("q.clip(eps, 1 - eps).astype(float), v")}),
        )
    ),
    Probe(
        "rows of probabilities are divided by their sum",
        "metrics.log_loss(y, p, labels=labels)",
        {"no": ours("p, y"), "yes": ours("p / p.sum(1, keepdims=True), y")},
        given="labels, y, p = [0, 1], np.array([0]), np.array([[0.25, 0.25]])",
    ),
    Probe(
        "nothing to average",
        "metrics.log_loss(y, p, labels=labels)",
        {"ValueError": Raises("^ValueError"), "0": ours("p, y")},
        given="y, p = y[:0], p[:0]",
    ),
    *(
        Probe(
            "a label out of range",
            "metrics.log_loss(y, p, labels=labels)",
            {
                "ValueError": Raises("^ValueError"),
                "IndexError": ours("p, y"),
                "its loss is 0": ours(f"p, y, ignore_index={label}, normalizer=len(y)"),
            },
            f"{label}",
            f"y = np.array([0, {label}])",
        )
        for label in (3, -1)
    ),
    Probe(
        "dtype of the loss of half-precision logits",
        "type(metrics.log_loss(y, h, labels=labels)).__name__",
        {
            "a Python float": f"type({ours('h, y')}).__name__",
            "float32": f"type({softmax('h, y, from_logits=False')}).__name__",
        },
        given=HALF,
    ),
    Probe(
        "dtype of the loss of half-precision logits",
        "metrics.log_loss(y, h, labels=labels)",
        {"computed in float32": ours("h, y")},
        "its value",
        HALF,
    ),
    Probe(
        "a target of 0 at a logit of -inf",
        "metrics.log_loss(y, p, labels=labels)",
        {"yes": ours("p, y"), "clipped first": ours("p.clip(eps, 1 - eps), y")},
        "at a probability of 0",
        "labels, y, p = [0, 1], np.array([0]), np.array([[1.0, 0.0]])\neps = np.finfo(p.dtype).eps",
    ),
    *(
        Probe(
            "a confident row",
            "metrics.log_loss(v, q, labels=labels)",
            {"yes": binary("q, v")},
            f"label 0 and one column of {dtype}",
            BINARY.format(f"[1e-5], np.{dtype}", "[0]"),
        )
        for dtype in ("float64", "float32")
    ),
)

framework = Framework(
    losses="scikit-learn (sklearn.metrics.log_loss)",
    own="from sklearn import metrics",
    drop_in="import xentropy_numpy as metrics",
    arrays=ARRAYS,
    probes=(*CALLS, *EDGES),
    adapter=adapter,
    modules=("sklearn", "numpy"),
    needs={"sklearn": "scikit-learn"},
)
