"""The linear cases, and the gradients of what is multiplied in them.

Hidden states, weights and biases are small multiples of powers of two, so that every logit is exact, in bfloat16 too,
whatever the order in which a library adds products: losses are held to the same bounds as those of given logits.

The gradients are matrix products of rounded numbers, G W and G^T hidden. A sum of n products, in any order, is off by
at most n roundings of the sum of their absolute values (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1),
and G itself by 4 + range ulp, two roundings each, range being a row's largest minus smallest logit. So the bound of an
entry is the sum of (2 (4 + range) + n) 2^-24 |G| |factor| over its terms. Where targets share a row's mass, |G| is that
of the two terms whose difference G is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from xentropy.parity.cases import Array, Case
from xentropy.parity.draw import Rng, indices, soft_targets
from xentropy.parity.reference import Reference, target_mass

# Blocks of 40 rows and a rest, so that sums go on from block to block; and a number of classes that compilers' sums are
# cut into a few blocks of, whose exponentials one of them has been seen to merge.
ROWS, CLASSES, FEATURES, CHUNK = 192, 64, 16, 40
UNIT_ROUNDOFF = 2.0**-24
# What hardware may flush to zero, of each term.
_FLUSHED = 1e-37


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearCase(Case):
    """A call of ``linear_cross_entropy``; its logits are what the frameworks' own losses get.

    Attributes:
        hidden: shape (rows, features), float32; exact in ``dtype``, like the two others.
        weight: shape (classes, features).
        bias: shape (classes,), or None.
        chunk_rows: the option.
    """

    PER_ROW: ClassVar[tuple[str, ...]] = (*Case.PER_ROW, "hidden")

    hidden: Array
    weight: Array
    bias: Array | None = None
    chunk_rows: int = CHUNK

    @property
    def factors(self) -> tuple[Array, ...]:
        """What is differentiated: hidden, weight and, where there is one, bias."""
        return (self.hidden, self.weight) if self.bias is None else (self.hidden, self.weight, self.bias)


class Products(NamedTuple):
    """The gradients of a case's factors, hidden, weight and bias, in float64, and the bound of every entry."""

    gradients: tuple[Array, ...]
    bounds: tuple[Array, ...]


def products(case: LinearCase, exact: Reference) -> Products:
    """What the gradients of the factors have to be, given those of the logits."""
    hidden = np.where(case.dropped[:, None], 0.0, case.hidden.astype(np.float64))
    weight, g = case.weight.astype(np.float64), exact.gradient
    magnitude = _magnitude(case, exact)
    logits = np.where(case.dropped[:, None], 0.0, case.logits)
    of_g = 2 * (4 + np.ptp(logits, axis=1, keepdims=True))
    rows, classes = g.shape
    of_hidden, of_sums = (of_g + classes) * magnitude, (of_g + rows) * magnitude
    gradients = (g @ weight, g.T @ hidden, g.sum(axis=0))
    bounds = (of_hidden @ np.abs(weight), of_sums.T @ np.abs(hidden), of_sums.sum(axis=0))
    flushed = np.where(case.dropped, 0.0, 1.0)
    floors = (classes * flushed[:, None], flushed.sum(), flushed.sum())
    allowed = tuple(UNIT_ROUNDOFF * bound + _FLUSHED * floor for bound, floor in zip(bounds, floors, strict=True))
    count = len(case.factors)
    return Products(gradients[:count], allowed[:count])


def term_sums(case: LinearCase, exact: Reference) -> tuple[Array, ...]:
    """Of every entry of these gradients, the sum of the absolute values of what is added up in it, at least itself."""
    magnitude = _magnitude(case, exact)
    hidden = np.where(case.dropped[:, None], 0.0, np.abs(case.hidden))
    sums = (magnitude @ np.abs(case.weight), magnitude.T @ hidden, magnitude.sum(axis=0))
    return sums[: len(case.factors)]


def _magnitude(case: LinearCase, exact: Reference) -> Array:
    g = exact.gradient
    return np.where(exact.at_label, np.abs(g), np.abs(g + 2 * target_mass(case)))


def cases(rng: Rng) -> list[Case]:
    """Class indices, confident rows, ignored ones, both kinds of weights, smoothed soft targets, bfloat16."""
    hidden, weight, bias = _halves(rng, ROWS, FEATURES), _halves(rng, CLASSES, FEATURES), _halves(rng, 1, CLASSES)[0]
    labels = indices(rng, ROWS, CLASSES)
    sure, answers = _confident(weight, labels)
    lost, ignored = hidden.copy(), labels.copy()
    lost[::3], ignored[::3] = np.nan, -100
    class_weight = rng.uniform(0.1, 2.0, CLASSES).astype(np.float32)
    sample_weight = rng.uniform(0.0, 2.0, ROWS).astype(np.float32)
    sample_weight[::7] = 0.0
    soft = soft_targets(rng, ROWS, CLASSES)
    return [
        _case("index", hidden, weight, labels),
        _case("confident", sure, weight, answers, bias),
        _case("ignored", lost, weight, ignored, ignore_index=-100),
        _case("weighted", hidden, weight, labels, class_weight=class_weight, sample_weight=sample_weight),
        _case("soft-smoothed", hidden, weight, soft, bias, label_smoothing=0.1),
        _case("bfloat16", hidden, weight, labels, bias, dtype="bfloat16"),
    ]


def _case(name: str, hidden: Array, weight: Array, targets: Array, bias: Array | None = None, **options: Any) -> Case:
    logits = hidden @ weight.T
    if bias is not None:
        logits = logits + bias
    return LinearCase(name, logits, targets, hidden=hidden, weight=weight, bias=bias, **options)


def _halves(rng: Rng, rows: int, columns: int) -> Array:
    """Multiples of 1/2 up to 3/2: sixteen products and a bias are a multiple of 1/4 below 64, of eight bits."""
    return rng.integers(-3, 4, (rows, columns)).astype(np.float32) / np.float32(2)


def _confident(weight: Array, labels: Array) -> tuple[Array, Array]:
    """Hidden states along the row of weight of their class, up to twice as long; every fourth has another label."""
    length = np.floor(np.linspace(0.0, 5.0, len(labels))).astype(np.float32) / np.float32(2)
    answers = labels.copy()
    answers[::4] = (answers[::4] + 1) % len(weight)
    return np.minimum(length, 2)[:, None] * weight[labels], answers
