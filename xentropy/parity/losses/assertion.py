"""Every case through both losses."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence

from xentropy.parity.cases import Case
from xentropy.parity.losses.comparison import Comparison
from xentropy.parity.losses.expected import REDUCTIONS
from xentropy.parity.losses.given import Given, listed, simplest
from xentropy.parity.losses.loss import Function, Loss
from xentropy.parity.losses.named import EXACT, OURS, as_subject
from xentropy.parity.losses.result import Agreement
from xentropy.parity.losses.tolerance import Tolerance


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
        examples: how many cases are drawn in all, of each strategy as many, and one at least. The first one of each
            is its simplest, so that fewer than two for each of the seven corners show little.
        seed: of the drawn cases; the same seed draws the same.
        reduction: what the losses return: ``"none"`` for one number a row, ``"sum"`` or ``"mean"``, whose
            denominator is the sum of sample weight times class weight over the rows that count.
        quantities: of ``"loss"``, ``"gradient"`` (of the sum of what is returned) and ``"curvature"`` (how the
            gradient changes with the logit of the label). None compares those that both libraries can tell.
        ulp: how far the two may be apart, in units in the last place of the larger of them and the exact number (of a
            gradient that is a difference, and of the curvature: of the row's weight), in the narrowest dtype that came
            back.
        rtol: the same as a part of these numbers. With neither, the library's own bound: 4 ulp, and one more for each
            unit between the largest and smallest logit of the row that count.
        atol: what is added to either bound.

    Returns:
        What was seen, for reports.

    Raises:
        ParityError: they differ, or one raises. The message shows the smallest such case, both numbers, the exact
            one, and which of the two is wrong.
        ValueError: an argument is outside its domain, a loss does not return the shape that ``reduction`` says, or
            a case is none: a label that is no class, logits that are not exact in their dtype.
        TypeError: it cannot be told whose arrays a loss takes, or ``cases`` has something that is no case.
        UnavailableError: a framework's own loss was asked for, and it has none that takes the options of the cases.

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
    examples, seed = _integer("examples", examples, least=1), _integer("seed", seed)
    if loss_a in (EXACT, OURS):
        raise ValueError(f"loss_a is {loss_a!r}; that is what a loss is held against: give it as loss_b")
    first = as_subject(loss_a, argument="loss_a")
    second = as_subject(loss_b, first, argument="loss_b")
    sides = [side for side in (first, second) if side is not None]
    comparison = Comparison(sides, Tolerance(ulp, rtol, atol), reduction)
    every = listed(cases)
    comparison.choose(quantities, simplest(every[0]))
    drawn = sum(not isinstance(given, Case) for given in every)
    for number, given in enumerate(every):
        comparison.hold(given, math.ceil(examples / max(1, drawn)), seed + number)
    return comparison.agreement


def _integer(name: str, value: int, least: int | None = None) -> int:
    rule = "an integer" if least is None else "a positive integer"
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        raise ValueError(f"{name} is {value!r}; it is {rule}")
    return number
