"""Possible answers that probes of several frameworks share, for arrays by the names that they all use.

x are logits, y labels, t probabilities of the classes as targets; z are logits and q probabilities of a binary loss, v
its targets; p are probabilities of the classes, h logits in half precision. ``rest`` is what else the call of ours is
given, such as ``ROWS`` for each row's loss.
"""

from __future__ import annotations

from xentropy.conventions.probe import Answers

ROWS, SUM = ', reduction="none"', ', reduction="sum"'


def softmax(given: str) -> str:
    """Our loss of classes."""
    return f"xentropy.cross_entropy({given})"


def sigmoid(given: str) -> str:
    """Our loss of single elements."""
    return f"xentropy.binary_cross_entropy({given})"


def softmax_gradient(given: str) -> str:
    """The gradient of our loss of classes."""
    return f"xentropy.value_and_grad(xentropy.cross_entropy)({given})[1]"


def order(rest: str = "") -> Answers:
    """Of two arrays ``a`` and ``b`` that could be either."""
    return {"predictions, targets": softmax(f"a, b{rest}"), "targets, predictions": softmax(f"b, a{rest}")}


def takes(given: str = "p, y", rest: str = "") -> Answers:
    """Of probabilities in the place of what is predicted."""
    return {
        "logits": softmax(f"{given}{rest}"),
        "probabilities": softmax(f"{given}, from_logits=False{rest}"),
    }


def takes_binary(given: str = "q, v", rest: str = "") -> Answers:
    """The same of a binary loss."""
    return {
        "logits": sigmoid(f"{given}{rest}"),
        "probabilities": sigmoid(f"{given}, from_logits=False{rest}"),
    }


def axis(given: str = "c, k", rest: str = "") -> Answers:
    """Of a cube with as many classes as rows on either axis."""
    return {
        "the last one": softmax(f"{given}{rest}"),
        "axis 1": softmax(f"{given}, axis=1{rest}"),
        "axis 0": softmax(f"{given}, axis=0{rest}"),
    }


def reduction(given: str = "x, y") -> Answers:
    """Of a plain call."""
    return {
        "the mean": softmax(given),
        "each loss": softmax(f"{given}{ROWS}"),
        "the sum": softmax(f'{given}, reduction="sum"'),
    }


def smoothing(given: str = "x, y", rest: str = ROWS) -> Answers:
    """Of an epsilon of 0.1."""
    classes = f"{given.partition(',')[0]}.shape[-1]"
    return {
        "(1 - ε) t + ε/C": softmax(f"{given}, label_smoothing=0.1{rest}"),
        "ε/(C - 1) to the other classes": softmax(f"{given}, label_smoothing=0.1 * {classes} / ({classes} - 1){rest}"),
    }


def half(cast: str, given: str = "h, y", rest: str = "") -> Answers:
    """Of logits in half precision; ``cast`` takes ours to their dtype, ``{}`` being ours."""
    ours = softmax(f"{given}{rest}")
    return {"float32": ours, "that of the logits": cast.format(ours)}
