"""Every case through both losses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from hypothesis.strategies import SearchStrategy

from xentropy.parity.cases import Array, Case, round_to
from xentropy.parity.losses.comparison import Comparison
from xentropy.parity.losses.expected import REDUCTIONS
from xentropy.parity.losses.loss import Function, Loss
from xentropy.parity.losses.named import EXACT, as_subject
from xentropy.parity.losses.result import Agreement
from xentropy.parity.losses.smallest import smallest_drawn
from xentropy.parity.losses.tolerance import Tolerance
from xentropy.parity.strategies import by_corner

Given = Case | tuple[Array, Array] | SearchStrategy[Case]


def assert_parity(
    loss_a: Loss | Function | str,
    loss_b: Loss | Function | str = EXACT,
    *,
    cases: Given | Iterable[Given] | None = None,
    examples: int = 70,
    seed: int = 0,
    reduction: str = "none",
    quantities: Sequence[str] | None = None,
    ulp: float | None = None,
    rtol: float | None = None,
    atol: float = 0.0,
) -> Agreement:
    """Assert that two losses compute the same numbers, or that one computes the exact ones.

    Args:
        loss_a: a callable (``Loss`` says whose arrays it takes, where that can't be read off it), or the name of a
            framework for its own loss.
        loss_b: the same; ``"xentropy"`` for ours on the arrays of the first; ``"exact"`` for the exact numbers.
        cases: one or several of: a ``Case``, a pair of NumPy arrays (logits, targets), a strategy of hypothesis
            (``xentropy.parity.strategies``). None draws logits and class indices of every corner.
        examples: how many cases are drawn in all.
        seed: of the drawn cases; the same seed draws the same.
        reduction: what the losses return: ``"none"`` for one number a row, ``"sum"`` or ``"mean"``, whose
            denominator is the sum of sample weight times class weight over the rows that count.
        quantities: of ``"loss"``, ``"gradient"`` (of the sum of what is returned) and ``"curvature"`` (how the
            gradient changes with the logit of the label). None compares those that both libraries can tell.
        ulp: how far the two may be apart, in units in the last place of the exact number (of a gradient that is a
            difference, and of the curvature: of the row's weight), in the narrowest dtype that came back.
        rtol: the same as a part of these numbers. With neither, the library's own bound: 4 ulp, and one more for each
            unit between the largest and smallest logit of the row that count.
        atol: what is added to either bound.

    Returns:
        What was seen, for reports.

    Raises:
        ParityError: they differ, or one raises. The message shows the smallest such case, both numbers, the exact
            one, and which of the two is wrong.
        ValueError: an argument is outside its domain, or a loss does not return the shape that ``reduction`` says.
        TypeError: it cannot be told whose arrays a loss takes.

    Example:
        >>> import numpy as np
        >>> from xentropy.parity import Loss, assert_parity
        >>> def naive(logits, targets):
        ...     p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        ...     return -np.log(p[np.arange(len(targets)), targets])
        >>> assert_parity(Loss(naive, "numpy"), cases=(np.array([[1.0, 2.0]]), np.array([0]))).cases
        1
        >>> assert_parity(Loss(naive, "numpy"), cases=(np.array([[0.0, 17.0]]), np.array([1])))
        Traceback (most recent call last):
        ...
        xentropy.parity.ParityError: naive is off in the loss at [0]: ...
    """
    __tracebackhide__ = True
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; it is one of {', '.join(REDUCTIONS)}")
    if examples < 1:
        raise ValueError(f"examples is {examples!r}; it is a positive integer")
    first = as_subject(loss_a)
    if first is None:
        raise ValueError("loss_a is 'exact'; the exact value is what a loss is held against: give it as loss_b")
    second = as_subject(loss_b, first)
    comparison = Comparison([first] if second is None else [first, second], Tolerance(ulp, rtol, atol), reduction)
    listed = _listed(cases)
    comparison.choose(quantities, _simplest(listed[0]))
    for number, given in enumerate(listed):
        comparison.hold(given, math.ceil(examples / len(listed)), seed + number)
    return comparison.agreement


def _listed(cases: Given | Iterable[Given] | None) -> list[Case | SearchStrategy[Case]]:
    if cases is None:
        return list(by_corner())
    several = [cases] if isinstance(cases, Case | tuple | SearchStrategy) else list(cases)
    if not several:
        raise ValueError("cases is empty; nothing would be compared")
    return [_case(given) if isinstance(given, tuple) else given for given in several]


def _case(given: tuple[Array, Array]) -> Case:
    """A pair of arrays as a case; binary where the logits have one axis."""
    logits, targets = (np.asarray(array) for array in given)
    dtype = logits.dtype.name if logits.dtype.kind == "f" else ""
    if dtype not in ("float16", "float32", "float64"):
        raise ValueError(f"cases: logits of dtype {logits.dtype}; of NumPy's they are float16, float32 or float64")
    soft = targets.dtype.kind == "f" or logits.ndim == 1
    goal = round_to(targets.astype(np.float64), dtype) if soft else targets.astype(np.int32)
    return Case("given", round_to(logits, dtype), goal, dtype=dtype, binary=logits.ndim == 1)


def _simplest(given: Case | SearchStrategy[Case]) -> Case:
    found = given if isinstance(given, Case) else smallest_drawn(given, lambda _: True, 10, 0)
    if found is None:
        raise ValueError("cases: a strategy that draws nothing")
    return found
