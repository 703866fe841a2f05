"""The exact losses, straight from their definitions, in arithmetic of many digits.

Nothing here is shared with xentropy, not even an idea: probabilities are exponentials over their sum, the loss is
the definition, a gradient is a difference quotient. At a hundred digits that is exact to far below any float's ulp.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import mp, mpf

DIGITS = 100
STEP = mpf(10) ** -30
Rows = list[list[Any]]


@dataclass(frozen=True)
class Exact:
    """Numbers to about 32 digits: the unevaluated sum of two float64 arrays."""

    high: np.ndarray[Any, Any]
    low: np.ndarray[Any, Any]

    @classmethod
    def of(cls, numbers: Any) -> Exact:
        """From nested lists of numbers of any precision."""
        values = np.array(numbers, dtype=object)
        high = values.astype(np.float64)
        low = np.where(np.isfinite(high), values - np.where(np.isfinite(high), high, 0.0), 0.0).astype(np.float64)
        return cls(high, low)

    def error(self, found: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """|found - exact|; 0 where both are the same infinity, NaN where either is NaN."""
        found = np.asarray(found, dtype=np.float64)
        assert found.shape == self.high.shape, (found.shape, self.high.shape)
        same = (found == self.high) & np.isinf(found)
        with np.errstate(invalid="ignore"):
            return np.where(same, 0.0, np.abs((found - self.high) - self.low))

    def ulps(self, found: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
        """The error in units in the last place that ``dtype`` has at the exact value."""
        return self.error(found) / ulp(self.high, dtype)


def ulp(values: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    """The distance between neighbours of ``dtype`` (float16, float32 or float64) around each value."""
    info = np.finfo(dtype)
    _, exponent = np.frexp(np.abs(values))
    return np.ldexp(1.0, np.maximum(exponent, info.minexp + 1) - 1 - info.nmant)


def numbers(array: np.ndarray[Any, Any]) -> Any:
    """A float array as nested lists of exact numbers."""
    if array.ndim == 0:
        return mpf(float(array))
    return [numbers(part) for part in array]


# --- softmax cross-entropy ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SoftmaxLoss:
    """The definition of the loss of rows of logits (or probabilities); None and the defaults leave an option out."""

    class_weight: np.ndarray[Any, Any] | None = None
    sample_weight: np.ndarray[Any, Any] | None = None
    class_mask: np.ndarray[Any, Any] | None = None
    label_smoothing: float = 0.0
    from_logits: bool = True
    z_loss: float = 0.0
    softcap: float | None = None
    temperature: float = 1.0
    focal_gamma: float = 0.0
    normalizer: float | None = None
    # Terms that stay 0 whatever is differentiated: a probability of 0 under a target of exactly 0.
    silent: np.ndarray[Any, Any] | None = None

    def rows(self, logits: Rows, targets: Rows) -> list[Any]:
        """The loss of every row, times its sample weight."""
        return [self._row(i, x, t) for i, (x, t) in enumerate(zip(logits, targets, strict=True))]

    def mean(self, logits: Rows, targets: Rows) -> Any:
        """The weighted mean over rows."""
        total = mp.fsum(self.rows(logits, targets))
        if self.normalizer is not None:
            divisor = mpf(self.normalizer)
        else:
            divisor = mp.fsum(self._counts(i, t) for i, t in enumerate(targets))
        return total / divisor if divisor else mpf(0)

    def _row(self, i: int, x: Sequence[Any], t: Sequence[Any]) -> Any:
        weight = self._sample(i)
        if weight == 0:
            return mpf(0)
        allowed = self._allowed(i, len(x))
        if self.from_logits:
            score = [self._score(v) for v in x]
            total = mp.fsum(mp.exp(score[j]) for j in allowed)
            p = {j: mp.exp(score[j]) / total for j in allowed}
            surprise = {j: mp.log(total) - score[j] for j in allowed}
        else:
            p = {j: x[j] for j in allowed}
            surprise = {j: mp.inf if x[j] == 0 else -mp.log(x[j]) for j in allowed}
        loss = mpf(0)
        for j in allowed:
            q = (1 - mpf(self.label_smoothing)) * t[j] + mpf(self.label_smoothing) / len(allowed)
            if q != 0 and not (self.silent is not None and self.silent[i, j]):
                loss += self._class(j) * q * surprise[j] * (1 - p[j]) ** mpf(self.focal_gamma)
        if self.z_loss:
            loss += mpf(self.z_loss) * mp.log(total) ** 2
        return weight * loss

    def _score(self, x: Any) -> Any:
        if self.softcap is not None:
            x = mpf(self.softcap) * mp.tanh(x / mpf(self.softcap))
        return x / mpf(self.temperature)

    def _counts(self, i: int, t: Sequence[Any]) -> Any:
        weight = self._sample(i)
        return weight * mp.fsum(self._class(j) * t[j] for j in range(len(t))) if weight else mpf(0)

    def _sample(self, i: int) -> Any:
        return mpf(1) if self.sample_weight is None else mpf(float(self.sample_weight[i]))

    def _class(self, j: int) -> Any:
        return mpf(1) if self.class_weight is None else mpf(float(self.class_weight[j]))

    def _allowed(self, i: int, classes: int) -> list[int]:
        if self.class_mask is None:
            return list(range(classes))
        mask = self.class_mask if self.class_mask.ndim == 1 else self.class_mask[i]
        return [j for j in range(classes) if mask[j]]


# --- binary cross-entropy ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BinaryLoss:
    """The definition of the loss of every logit (or probability) on its own; arrays have the logits' shape."""

    pos_weight: np.ndarray[Any, Any] | None = None
    sample_weight: np.ndarray[Any, Any] | None = None
    label_smoothing: float = 0.0
    focal_alpha: float | None = None
    focal_gamma: float = 0.0
    from_logits: bool = True
    normalizer: float | None = None

    def rows(self, logits: Rows, targets: Rows) -> Rows:
        """The loss of every element, times its sample weight."""
        return [
            [self._element(i, j, x, y) for j, (x, y) in enumerate(zip(xs, ys, strict=True))]
            for i, (xs, ys) in enumerate(zip(logits, targets, strict=True))
        ]

    def mean(self, logits: Rows, targets: Rows) -> Any:
        """The weighted mean over elements."""
        total = mp.fsum(mp.fsum(row) for row in self.rows(logits, targets))
        if self.normalizer is not None:
            divisor = mpf(self.normalizer)
        else:
            divisor = mp.fsum(self._at(self.sample_weight, i, j) for i, xs in enumerate(logits) for j in range(len(xs)))
        return total / divisor if divisor else mpf(0)

    def _element(self, i: int, j: int, x: Any, y: Any) -> Any:
        weight = self._at(self.sample_weight, i, j)
        if weight == 0:
            return mpf(0)
        p = 1 / (1 + mp.exp(-x)) if self.from_logits else x
        alpha = (mpf(1), mpf(1)) if self.focal_alpha is None else (mpf(self.focal_alpha), 1 - mpf(self.focal_alpha))
        y = y * (1 - mpf(self.label_smoothing)) + mpf(self.label_smoothing) / 2
        loss = mpf(0)
        if y != 0:
            loss -= alpha[0] * self._at(self.pos_weight, i, j) * y * (1 - p) ** mpf(self.focal_gamma) * mp.log(p)
        if y != 1:
            loss -= alpha[1] * (1 - y) * p ** mpf(self.focal_gamma) * mp.log(1 - p)
        return weight * loss

    @staticmethod
    def _at(array: np.ndarray[Any, Any] | None, i: int, j: int) -> Any:
        return mpf(1) if array is None else mpf(float(array[i, j]))


# --- gradients, and rows too long for many digits -----------------------------------------------------------------


def gradient(f: Callable[[Rows], Any], at: Rows) -> Rows:
    """The gradient of a function of a table of numbers, by central differences.

    A logit of -inf has no neighbours: its probability is 0, and so is its derivative.
    """
    result = [[mpf(0)] * len(row) for row in at]
    for i, row in enumerate(at):
        for j, x in enumerate(row):
            if mp.isinf(x) or mp.isnan(x):
                continue
            row[j] = x + STEP
            above = f(at)
            row[j] = x - STEP
            below = f(at)
            row[j] = x
            result[i][j] = (above - below) / (2 * STEP)
    return result


def softmax_by_label(logits: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> tuple[Exact, Exact]:
    """Losses and gradients of every row for class indices, in many digits: for rows of up to some thousand classes."""
    losses, gradients = [], []
    with mp.workdps(4 * DIGITS):
        for x, label in zip(logits, labels, strict=True):
            weights = [mp.exp(mpf(float(v))) for v in x]
            total = mp.fsum(weights)
            others = mp.fsum(w for j, w in enumerate(weights) if j != label)
            losses.append(mp.log(total) - mpf(float(x[label])))
            gradients.append([w / total if j != label else -others / total for j, w in enumerate(weights)])
        return Exact.of(losses), Exact.of(gradients)


def softmax_by_label_in_float64(logits: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> tuple[Exact, Exact]:
    """The same for float32 rows of any length: errors of a few 1e-16 are nothing against a float32's 6e-8."""
    losses, gradients = [], []
    for row, label in zip(np.asarray(logits, dtype=np.float64), labels, strict=True):
        odds = np.exp(row - row[label])
        odds[label] = 0.0
        others = math.fsum(odds)
        losses.append(math.log1p(others))
        gradient_row = odds / (1.0 + others)
        gradient_row[label] = -others / (1.0 + others)
        gradients.append(gradient_row)
    high, table = np.array(losses), np.array(gradients)
    return Exact(high, np.zeros_like(high)), Exact(table, np.zeros_like(table))


# --- how much rounding the inputs themselves allow ----------------------------------------------------------------


def span(x: np.ndarray[Any, Any], counted: np.ndarray[Any, Any]) -> float:
    """Largest minus smallest contributing logit of one row.

    One class is set aside: the label, or the largest logit where several classes are in the targets (``counted``). Of
    the others, those contribute that are in the targets or more than the last bit of the sum of exponentials.
    """
    x = np.asarray(x, dtype=np.float64)
    aside = int(np.argmax(counted)) if np.count_nonzero(counted) == 1 else int(np.argmax(x))
    others = np.delete(x, aside)
    highest = np.max(others, initial=-np.inf)
    below = np.where(np.isfinite(x), x, -np.inf) - (highest if np.isfinite(highest) else 0.0)
    below[aside] = 0.0
    contributing = ((below > math.log(2.0**-24)) | counted) & np.isfinite(x)
    return float(np.max(x[contributing]) - np.min(x[contributing]))
