"""Relative error against confidence: what is left of a loss, and of its gradient, as a row grows sure of its label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xentropy.parity.adapter import ParityAdapter
from xentropy.parity.cases import Array, Case
from xentropy.parity.matrix import Adapters
from xentropy.parity.measure import Outcome, native, ours
from xentropy.parity.reference import Reference, reference

CLASSES = 10
ROWS_PER_LEVEL = 32
# Exact losses, in nats; from 1e-37 on, float32 has no normal numbers any more.
LEVELS = np.geomspace(3.0, 1e-36, 80)
# Half a rounding of float32: an error of zero has no logarithm.
SMALLEST_ERROR = 2.0**-25


@dataclass(frozen=True, eq=False)
class Curve:
    """The largest relative error at each of ``LEVELS``.

    Attributes:
        backend: whose arrays they were.
        own: whether the loss is the framework's own.
        loss: shape (levels,); infinite where something came back that is no number.
        gradient: the same of the gradient at the label; None where the loss has no derivative.
    """

    backend: str
    own: bool
    loss: Array
    gradient: Array | None


def make_case() -> Case:
    """Rows of float32 logits, ``ROWS_PER_LEVEL`` a level, whose losses are close to ``LEVELS``; the label is 0."""
    rng = np.random.default_rng(0)
    others = rng.normal(size=(len(LEVELS), ROWS_PER_LEVEL, CLASSES - 1))
    # loss = log1p(exp(lse(others) - x)), solved for x.
    label = np.log(np.exp(others).sum(axis=-1)) - np.log(np.expm1(LEVELS))[:, None]
    logits = np.concatenate([label[..., None], others], axis=-1).astype(np.float32).reshape(-1, CLASSES)
    return Case("confidence", logits, np.zeros(len(logits), dtype=np.int32))


def curves(adapters: Adapters) -> list[Curve]:
    """Own and ours of each framework, in this order; those that do not answer are left out."""
    case = make_case()
    exact = reference(case)
    found = [_curve(name, adapter, case, exact, own) for name, adapter in adapters.items() for own in (True, False)]
    return [curve for curve in found if curve is not None]


def _curve(name: str, adapter: ParityAdapter, case: Case, exact: Reference, own: bool) -> Curve | None:
    outcome: Outcome = (native if own else ours)(adapter, case)
    if outcome.loss is None:
        return None
    gradient = None if outcome.gradient is None else worst(outcome.gradient[:, 0], exact.gradient[:, 0])
    return Curve(name, own, worst(outcome.loss, exact.loss), gradient)


def worst(found: Array, exact: Array) -> Array:
    """The largest relative error of every level, of one number a row."""
    with np.errstate(invalid="ignore"):
        error = np.abs(found.astype(np.float64) - exact) / np.abs(exact)
    error[np.isnan(error)] = np.inf
    largest: Array = error.reshape(len(LEVELS), ROWS_PER_LEVEL).max(axis=1)
    return np.maximum(largest, SMALLEST_ERROR)
