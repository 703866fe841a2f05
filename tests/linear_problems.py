"""Linear losses to differentiate, with their exact derivatives of first and second order: one table for every library.

Three rows of three features under four classes: small enough for many digits. All numbers are multiples of powers of
two, and so are the logits: float32 and float64 inputs are the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import reference
from derivatives import CLASS_WEIGHT, EVERYTHING, IGNORED, LABELS, MASKED_SOFT, SAMPLE_WEIGHT, SOFT, assert_close
from mpmath import mp, mpf
from reference import DIGITS, STEP, SoftmaxLoss

import xentropy

Array = Any
Numbers = np.ndarray[Any, np.dtype[np.float64]]

HIDDEN = [[0.5, -1.0, 0.25], [1.5, 0.125, -0.75], [-0.25, 2.0, 1.0]]
WEIGHT = [[1.0, -0.5, 0.25], [-1.5, 0.75, 0.5], [0.125, 1.0, -2.0], [2.0, -0.25, 1.0]]
BIAS = [0.25, -0.5, 0.0, 1.125]


@dataclass(frozen=True)
class Exact:
    """The scalar's value and derivatives, one an array; ``curve`` is the change of the gradient along ``direction``."""

    value: float
    gradient: tuple[Numbers, ...]
    along: float
    curve: tuple[Numbers, ...]


@dataclass(frozen=True, eq=False)
class Problem:
    """One call whose result, or its product with ``cotangent``, is a number to differentiate."""

    name: str
    targets: Any = field(default_factory=lambda: LABELS)
    options: Mapping[str, Any] = field(default_factory=dict)
    biased: bool = True

    @property
    def soft(self) -> bool:
        """Whether the targets are probabilities."""
        return np.array(self.targets).dtype.kind == "f"

    @cached_property
    def arrays(self) -> tuple[Numbers, ...]:
        """What is differentiated: hidden, weight, bias if there is one, probabilities if they are the targets."""
        given = [HIDDEN, WEIGHT, *([BIAS] if self.biased else []), *([self.targets] if self.soft else [])]
        return tuple(np.array(values, dtype=np.float64) for values in given)

    def bind(
        self, convert: Callable[[np.ndarray[Any, Any]], Array], dot: Callable[[Array, Array], Array], **more: Any
    ) -> Callable[..., Array]:
        """The scalar as a function of the arrays that are differentiated, in blocks of two rows.

        ``dot`` is the library's own sum of the products of the losses and the cotangent (float64).
        """
        options = {k: convert(np.array(v)) if isinstance(v, list) else v for k, v in self.options.items()}
        biased, soft, cotangent = self.biased, self.soft, convert(self.cotangent)
        labels = None if soft else convert(np.array(self.targets))

        def scalar(hidden: Array, weight: Array, *rest: Array) -> Array:
            bias = rest[0] if biased else None
            targets = rest[-1] if soft else labels
            found = xentropy.linear_cross_entropy(
                hidden, weight, targets, **{"bias": bias, "chunk_rows": 2, **options, **more}
            )
            return dot(found, cotangent)

        return scalar

    @cached_property
    def cotangent(self) -> Numbers:
        """What the result is multiplied by before it is summed."""
        return np.array([-1.0, 0.5, 2.0]) if self.options.get("reduction") == "none" else np.ones(())

    @cached_property
    def direction(self) -> tuple[Numbers, ...]:
        """One tangent per differentiated array; none for a probability that has to be 0."""
        tangents = [np.random.default_rng(7).integers(-8, 9, a.shape) / 4.0 for a in self.arrays]
        if self.soft:
            tangents[-1] = np.where(self.settled, tangents[-1], 0.0)
        return tuple(tangents)

    @property
    def settled(self) -> np.ndarray[Any, Any]:
        """The probabilities that have derivatives."""
        if not self.soft:
            return np.ones(0, dtype=bool)
        return np.broadcast_to(self.options.get("class_mask", True), np.shape(self.targets))

    @cached_property
    def exact(self) -> Exact:
        """The answers, from differences of the definition in many digits."""
        with mp.workdps(DIGITS):
            return _answers(self)


def _answers(problem: Problem) -> Exact:
    f, count = _definition(problem), len(problem.arrays)

    def at(step: Any) -> list[Any]:
        pairs = zip(problem.arrays, problem.direction, strict=True)
        return [[[mpf(x) + step * mpf(v) for x, v in zip(*p, strict=True)] for p in _rows(a, d)] for a, d in pairs]

    def gradients(step: Any) -> list[np.ndarray[Any, Any]]:
        here = at(step)
        found = []
        for i in range(count):
            rows = reference.gradient(lambda rows, i=i: f(*here[:i], rows, *here[i + 1 :]), here[i])
            found.append(np.array(rows))
        return found

    above, below = gradients(STEP), gradients(-STEP)
    curve = [(a - b) / (2 * STEP) for a, b in zip(above, below, strict=True)]
    along = (f(*at(STEP)) - f(*at(-STEP))) / (2 * STEP)
    shapes = [a.shape for a in problem.arrays]

    def back(parts: Any) -> tuple[Numbers, ...]:
        return tuple(part.astype(np.float64).reshape(shape) for part, shape in zip(parts, shapes, strict=True))

    return Exact(float(f(*at(mpf(0)))), back(gradients(mpf(0))), float(along), back(curve))


def _rows(a: Numbers, d: Numbers) -> Any:
    return zip(np.atleast_2d(a), np.atleast_2d(d), strict=True)


def _definition(problem: Problem) -> Callable[..., Any]:
    """The scalar as a function of nested lists of numbers."""
    options = dict(problem.options)
    reduction = options.pop("reduction", "mean")
    arrays = {name: np.array(value) for name, value in options.items() if isinstance(value, list)}
    if options.pop("ignore_index", None) is not None:
        counted = (np.array(problem.targets) != IGNORED).astype(float)
        arrays["sample_weight"] = counted * arrays.get("sample_weight", 1.0)
    loss = SoftmaxLoss(**{**options, **arrays})
    table = [[mpf(float(j == label)) for j in range(4)] for label in problem.targets] if not problem.soft else None
    factors = [mpf(float(c)) for c in np.atleast_1d(problem.cotangent)]

    def scalar(hidden: Any, weight: Any, *rest: Any) -> Any:
        bias = rest[0][0] if problem.biased else [mpf(0)] * 4
        t = rest[-1] if problem.soft else table
        x = [[mp.fdot(h, w) + b for w, b in zip(weight, bias, strict=True)] for h in hidden]
        if reduction == "mean":
            return loss.mean(x, t)
        rows = loss.rows(x, t)
        return mp.fsum(rows) if reduction == "sum" else mp.fdot(rows, factors)

    return scalar


PROBLEMS = (
    Problem("index"),
    Problem("index_plain", biased=False, options={"reduction": "sum"}),
    Problem("index_none", options={"reduction": "none"}),
    Problem("weights_none", options={"reduction": "none", "sample_weight": SAMPLE_WEIGHT}),
    Problem("ignored", [2, IGNORED, 0], {"ignore_index": IGNORED, "class_weight": CLASS_WEIGHT}),
    Problem("normalizer", options={"normalizer": 7.0, "sample_weight": [1.0, 0.0, 2.0]}),
    Problem("everything", options=EVERYTHING),
    Problem("soft", SOFT),
    Problem("soft_none", SOFT, {"reduction": "none"}, biased=False),
    Problem("soft_everything", MASKED_SOFT, EVERYTHING),
)


def assert_derivatives(problem: Problem, found: Any, exact: tuple[Numbers, ...], dtype: str) -> None:
    """One derivative per differentiated array."""
    assert len(found) == len(exact)
    for i, (one, expected) in enumerate(zip(found, exact, strict=True)):
        of_targets = problem.soft and i == len(exact) - 1
        chosen = problem.settled if of_targets else np.ones(expected.shape, dtype=bool)
        assert_close(np.asarray(one)[chosen], expected[chosen], dtype)
