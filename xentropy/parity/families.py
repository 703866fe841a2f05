"""The families of inputs, by what makes them hard. All random numbers come from one seed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xentropy.parity import binary, linear, wide
from xentropy.parity.cases import Array, Case
from xentropy.parity.digits import load_digits
from xentropy.parity.draw import indices, normal, soft_targets

Rng = np.random.Generator

# The shape of the digits, so that a framework that compiles a program for each shape compiles few.
ROWS, CLASSES = 1797, 10


@dataclass(frozen=True)
class Family:
    """A name, one line about it, and the function that draws its cases."""

    name: str
    title: str
    draw: Callable[[Rng], list[Case]]

    def cases(self, seed: int) -> list[Case]:
        """The cases of a seed: the same ones whichever other families run."""
        return self.draw(np.random.default_rng([seed, zlib.crc32(self.name.encode())]))


def examples(_: Rng) -> list[Case]:
    """Four losses that fit on a slide: the first example of four classes in the frameworks' own manuals."""
    likely, sure = _row(0.8)[0], _row(1.0)[0]
    return [
        Case("Binary", likely, sure, binary=True, from_logits=False, expected="0.2231"),
        Case("Categorical", _row(0.7, 0.2, 0.1), _row(1.0, 0.0, 0.0), from_logits=False, expected="0.3567"),
        Case("BCELoss", likely, sure, binary=True, from_logits=False, expected="0.2231"),
        Case("CrossEntropyLoss", _row(1.2, -0.5, 0.1), np.zeros(1, dtype=np.int32), expected="0.4158"),
    ]


def _row(*values: float) -> Array:
    return np.asarray([values], dtype=np.float32)


def digits(_: Rng) -> list[Case]:
    """The digits by class index, and by one-hot targets."""
    return [_digits(), replace(_digits(), name="one-hot", targets=_one_hot(load_digits().labels))]


def _digits() -> Case:
    data = load_digits()
    return Case("index", data.logits, data.labels)


def _one_hot(labels: Array) -> Array:
    return np.eye(CLASSES, dtype=np.float32)[labels]


def confident(rng: Rng) -> list[Case]:
    """Rows that are nearly certain: right, wrong, of two classes, with ties at the top, far apart."""
    lead = np.linspace(0.0, 84.0, ROWS, dtype=np.float32)
    labels = indices(rng, ROWS, CLASSES)
    right = normal(rng, ROWS, CLASSES)
    right[np.arange(ROWS), labels] = lead
    two = np.stack([lead, np.zeros_like(lead)], axis=1)
    ties = right.copy()
    ties[np.arange(ROWS), (labels + 3) % CLASSES] = lead
    far = normal(rng, ROWS, CLASSES, 30.0)
    return [
        Case("right", right, labels),
        Case("wrong", right, (labels + 1) % np.int32(CLASSES)),
        Case("two-classes", two, np.zeros(ROWS, dtype=np.int32)),
        Case("ties", ties, labels),
        Case("far-apart", far, far.argmax(axis=1).astype(np.int32)),
    ]


def offset(rng: Rng) -> list[Case]:
    """A million added to, or taken from, every logit."""
    logits, labels = normal(rng, ROWS, CLASSES, 3.0), indices(rng, ROWS, CLASSES)
    data = load_digits()
    return [
        Case("plus", logits + np.float32(1e6), labels),
        Case("minus", logits - np.float32(1e6), labels),
        Case("digits", data.logits + np.float32(1e6), data.labels),
    ]


def many_classes(rng: Rng) -> list[Case]:
    """Up to a million classes."""
    million = 1_000_000
    sure = normal(rng, 2, million)
    sure[0, 777_777], sure[1, -1] = 40.0, 60.0
    sure_labels = np.asarray([777_777, million - 1], dtype=np.int32)
    flat = np.zeros((2, million), dtype=np.float32)
    steep = normal(rng, 4, 131_073, 8.0)
    return [
        Case("32768", normal(rng, 16, 32_768), indices(rng, 16, 32_768)),
        Case("131073-steep", steep, steep.argmax(axis=1).astype(np.int32)),
        Case("million", normal(rng, 2, million), indices(rng, 2, million)),
        Case("million-flat", flat, indices(rng, 2, million)),
        Case("million-sure", sure, sure_labels),
    ]


def soft(rng: Rng) -> list[Case]:
    """Probabilities as targets: spread, exactly zero in places, summing to more than one."""
    logits = normal(rng, ROWS, CLASSES, 4.0)
    targets = soft_targets(rng, ROWS, CLASSES)
    sparse = np.where(targets < 0.05, np.float32(0), targets)
    return [
        Case("spread", logits, targets),
        Case("sparse", logits, sparse),
        Case("mass-of-two", logits, 2 * targets),
        Case("1000-classes", normal(rng, 32, 1000, 2.0), soft_targets(rng, 32, 1000)),
    ]


def weighted(rng: Rng) -> list[Case]:
    """The digits with balanced class weights, with a weight for each sample, with both."""
    base = _digits()
    share = np.bincount(base.targets, minlength=CLASSES) / len(base.targets)
    balanced = (0.1 / share).astype(np.float32)
    each = rng.uniform(0.0, 2.0, len(base.targets)).astype(np.float32)
    each[::7] = 0.0
    logits, targets = normal(rng, ROWS, CLASSES, 4.0), soft_targets(rng, ROWS, CLASSES)
    class_weight = rng.uniform(0.1, 2.0, CLASSES).astype(np.float32)
    return [
        replace(base, name="class", class_weight=balanced),
        replace(base, name="sample", sample_weight=each),
        replace(base, name="both", class_weight=balanced, sample_weight=each),
        Case("soft-class", logits, targets, class_weight=class_weight),
    ]


def ignored(rng: Rng) -> list[Case]:
    """Every third row ignored, its logits NaN: loss and gradient are exactly 0 there."""
    logits, labels = normal(rng, ROWS, CLASSES, 4.0), indices(rng, ROWS, CLASSES)
    logits[::3] = np.nan
    outside, inside = labels.copy(), np.where(labels == 4, np.int32(5), labels)
    outside[::3], inside[::3] = -100, 4
    weight = np.ones(ROWS, dtype=np.float32)
    weight[::3] = 0.0
    return [
        Case("index-100", logits, outside, ignore_index=-100),
        Case("index-of-a-class", logits, inside, ignore_index=4),
        Case("weight-zero", logits, labels, sample_weight=weight),
        Case("every-row", logits, np.full(ROWS, -100, dtype=np.int32), ignore_index=-100),
    ]


def smoothing(rng: Rng) -> list[Case]:
    """Label smoothing of the digits, of soft targets and with class weights."""
    base = _digits()
    class_weight = rng.uniform(0.1, 2.0, CLASSES).astype(np.float32)
    return [
        replace(base, name="digits", label_smoothing=0.1),
        replace(base, name="class-weights", label_smoothing=0.1, class_weight=class_weight),
        Case("soft", normal(rng, ROWS, CLASSES, 4.0), soft_targets(rng, ROWS, CLASSES), label_smoothing=0.3),
    ]


def minus_infinity(rng: Rng) -> list[Case]:
    """Classes ruled out by -inf, where the target is 0 and where it is not; rows that have no loss at all."""
    logits, labels = normal(rng, ROWS, CLASSES, 4.0), indices(rng, ROWS, CLASSES)
    holes = np.where(rng.random((ROWS, CLASSES)) < 0.4, np.float32(-np.inf), logits)
    holes[np.arange(ROWS), labels] = logits[np.arange(ROWS), labels]
    targets = np.where(np.isinf(holes), np.float32(0), soft_targets(rng, ROWS, CLASSES))
    lost = logits.copy()
    lost[np.arange(ROWS), labels] = -np.inf
    broken = logits.copy()
    broken[0::4, 3], broken[1::4, 3], broken[2::4] = np.nan, np.inf, -np.inf
    return [
        Case("index", holes, labels),
        Case("soft", holes, targets),
        Case("at-the-label", lost, labels),
        Case("not-finite", broken, labels),
    ]


def probabilities(rng: Rng) -> list[Case]:
    """``from_logits=False``: softmax and sigmoid outputs in place of logits, certain ones included."""
    data = load_digits()
    wide_logits = data.logits.astype(np.float64)
    p = np.exp(wide_logits - wide_logits.max(axis=1, keepdims=True))
    p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    logits = normal(rng, ROWS, CLASSES, 4.0).astype(np.float64)
    q = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return [
        Case("digits", p, data.labels, from_logits=False),
        Case("soft", q.astype(np.float32), soft_targets(rng, ROWS, CLASSES), from_logits=False),
        *binary.probabilities(rng),
    ]


def _half(dtype: str) -> Callable[[Rng], list[Case]]:
    def draw(rng: Rng) -> list[Case]:
        """The digits, confident, offset and soft rows, rounded to a half-precision dtype."""
        chosen = [replace(_digits(), name="digits"), confident(rng)[0], *soft(rng)[:2]]
        far = Case("offset", normal(rng, ROWS, CLASSES, 3.0) + np.float32(1000), indices(rng, ROWS, CLASSES))
        many = Case("32768", normal(rng, 16, 32_768), indices(rng, 16, 32_768))
        return [case.rounded_to(dtype) for case in [*chosen, far, many, binary.hard(rng, 30.0)]]

    return draw


def precision(rng: Rng) -> list[Case]:
    """``precision="float64"``: the same bits from every backend, one ulp from the exact value at most."""
    base = _digits()
    half = [
        replace(base.rounded_to("float16"), name="digits-float16"),
        replace(base.rounded_to("bfloat16"), name="digits-bfloat16"),
    ]
    chosen: Sequence[Case] = [
        replace(base, name="digits"),
        *half,
        *(case for case in confident(rng) if case.name != "two-classes"),
        offset(rng)[0],
        *soft(rng)[:2],
        replace(base, name="smoothing", label_smoothing=0.1),
        Case("32768", normal(rng, 16, 32_768), indices(rng, 16, 32_768)),
        replace(binary.hard(rng, 80.0), name="binary"),
    ]
    return [replace(case, precision="float64") for case in chosen]


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in [
        Family("examples", "four losses in four decimals", examples),
        Family("digits", "1,797 handwritten digits, logits of a real classifier", digits),
        Family("confident", "rows that are nearly certain, right and wrong; ties", confident),
        Family("offset", "a million added to every logit", offset),
        Family("many-classes", "up to 1,000,000 classes", many_classes),
        Family("soft", "probabilities as targets", soft),
        Family("weighted", "class weights, sample weights", weighted),
        Family("ignored", "ignored rows with NaN logits: exactly 0", ignored),
        Family("smoothing", "label smoothing", smoothing),
        Family("minus-inf", "logits of -inf, and rows that are not finite", minus_infinity),
        Family("binary", "binary_cross_entropy on logits", binary.logits),
        Family("probabilities", "from_logits=False, both functions", probabilities),
        Family("linear", "linear_cross_entropy: hidden @ weight.T, in blocks", linear.cases),
        Family("float16", "float16 logits", _half("float16")),
        Family("bfloat16", "bfloat16 logits", _half("bfloat16")),
        Family("float64", "float64 logits, in float64 ulp", wide.float64),
        Family("precision", "precision='float64': the same bits everywhere", precision),
    ]
}
