"""The smallest case that still fails: hypothesis finds that of drawn ones; given ones lose rows and classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample, Unsatisfiable
from hypothesis.strategies import SearchStrategy

from xentropy.parity.cases import Array, Case, round_to

Fails = Callable[[Case], bool]


def smallest_drawn(strategy: SearchStrategy[Case], fails: Fails, examples: int, seed: int) -> Case | None:
    """The simplest case of a strategy that fails; None where none of the drawn ones does.

    Raises:
        ValueError: there are none.
    """
    chosen = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    try:
        return find(strategy, fails, settings=chosen, random=Random(seed), database_key=b"")
    except NoSuchExample:
        return None
    except Unsatisfiable as error:
        raise ValueError(f"cases has {strategy!r}, which draws nothing: {error}") from error


def smallest_given(case: Case, fails: Fails, row: int) -> Case:
    """A part of a failing case that fails as well, and whose every smaller part passes, as far as halving tells.

    Args:
        case: it fails.
        fails: whether a part does, in the same way.
        row: the one that is tried alone first.
    """
    rows = range(len(case.targets))
    alone = case.only([row])
    if not fails(alone):
        alone = case.only(_fewest(rows, lambda kept: fails(case.only(kept))))
    if case.binary or not _is_divisible(alone):
        return alone
    needed = _needed_classes(alone)
    others = [j for j in range(alone.logits.shape[1]) if j not in needed]
    kept = _fewest(others, lambda some: fails(_of_classes(alone, sorted({*needed, *some}))), least=2 - len(needed))
    return _of_classes(alone, sorted({*needed, *kept}))


def _is_divisible(case: Case) -> bool:
    """Whether a class can be left out: not where the number of one means something else than the class."""
    is_linear = type(case) is not Case  # its logits are a product, whose factors would have to be cut as well
    return not is_linear and (case.ignore_index is None or not 0 <= case.ignore_index < case.logits.shape[1])


def _fewest(items: Sequence[int], fails: Callable[[Sequence[int]], bool], least: int = 1) -> Sequence[int]:
    """Leave out ever smaller runs of the items as long as what is left, ``least`` of them, fails."""
    kept = list(items)
    size = len(kept)
    while size >= 1:
        start = 0
        while start < len(kept):
            fewer = kept[:start] + kept[start + size :]
            if len(fewer) >= least and fails(fewer):
                kept = fewer
            else:
                start += size
        size = 0 if size == 1 else math.ceil(size / 2)
    return kept


def _needed_classes(case: Case) -> set[int]:
    """Those of labels, and of soft targets the largest of each row."""
    if case.soft:
        return set(case.targets.argmax(axis=1).tolist())
    return set(case.targets[~case.dropped].tolist())


def _of_classes(case: Case, classes: Sequence[int]) -> Case:
    chosen = np.asarray(classes, dtype=np.intp)
    targets = case.targets
    if case.soft:
        targets = _with_the_rest(case, targets[:, chosen])
    else:
        new = {old: position for position, old in enumerate(classes)}
        targets = np.asarray([new.get(old, old) for old in targets.tolist()], dtype=targets.dtype)
    weight = None if case.class_weight is None else case.class_weight[chosen]
    return replace(case, logits=case.logits[:, chosen], targets=targets, class_weight=weight)


def _with_the_rest(case: Case, targets: Array) -> Array:
    """What the other classes had goes to the largest of each row: a loss may rely on a sum of 1."""
    kept, wide = targets.copy(), case.targets.astype(np.float64)
    rows, largest = np.arange(len(kept)), kept.argmax(axis=1)
    kept[rows, largest] = 0
    kept[rows, largest] = round_to(wide.sum(axis=1) - kept.sum(axis=1, dtype=np.float64), case.dtype)
    return kept
