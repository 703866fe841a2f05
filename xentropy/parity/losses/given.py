"""The cases that somebody gives: a pair of arrays as a case, and what has to hold of each."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis.strategies import SearchStrategy

from xentropy.parity.cases import Array, Case, round_to
from xentropy.parity.losses.smallest import smallest_drawn
from xentropy.parity.strategies import by_corner
from xentropy.parity.ulp import PRECISION

Given = Case | tuple[Array, Array] | SearchStrategy[Case]


def listed(cases: Given | Iterable[Given] | None) -> list[Case | SearchStrategy[Case]]:
    """What was given, as cases and strategies; None is a strategy for each corner.

    Raises:
        TypeError: it has something else.
        ValueError: it has nothing, or a case that is none.
    """
    if cases is None:
        return list(by_corner())
    several = _several(cases)
    if not several:
        raise ValueError("cases is empty; nothing would be compared")
    return [_one(given) for given in several]


def _several(cases: Any) -> list[Any]:
    if isinstance(cases, Case | SearchStrategy) or _is_pair(cases):
        return [cases]
    if isinstance(cases, Iterable) and not isinstance(cases, str | np.ndarray):
        return list(cases)
    raise _unknown(cases)


def simplest(given: Case | SearchStrategy[Case]) -> Case:
    """The case itself, or the simplest one of a strategy."""
    found = given if isinstance(given, Case) else smallest_drawn(given, lambda _: True, 10, 0)
    if found is None:
        raise ValueError(f"cases has {given!r}, which draws nothing")
    return found


def _one(given: Any) -> Case | SearchStrategy[Case]:
    if isinstance(given, SearchStrategy):
        return given.map(checked)
    return checked(_of_pair(*given) if _is_pair(given) else given)


def _is_pair(given: Any) -> bool:
    """Whether it is logits and targets; two cases, or two pairs, are not."""
    if not isinstance(given, tuple):
        return False
    return len(given) == 2 and not any(isinstance(part, Case | SearchStrategy | tuple) for part in given)


def _of_pair(logits: Any, targets: Any) -> Case:
    """Binary where the logits have one axis."""
    logits, targets = np.asarray(logits), np.asarray(targets)
    dtype = logits.dtype.name
    if dtype not in ("float16", "float32", "float64"):
        raise ValueError(f"cases: logits of dtype {logits.dtype}; of NumPy's they are float16, float32 or float64")
    if targets.dtype.kind not in "fiu":
        raise ValueError(f"cases: targets of dtype {targets.dtype}; they are integers, or floats")
    soft = targets.dtype.kind == "f" or logits.ndim == 1
    # A number that int32 has not is no label, and has to stay one that is none.
    goal = round_to(targets.astype(np.float64), dtype) if soft else np.clip(targets, -1 << 31, (1 << 31) - 1)
    goal = goal if soft else goal.astype(np.int32)
    return Case("given", round_to(logits, dtype), goal, dtype=dtype, binary=logits.ndim == 1)


def checked(case: Any) -> Case:
    """The case, once all is found to be what ``Case`` says.

    Raises:
        TypeError: it is no case.
        ValueError: shapes that do not belong together, a label that is no class, or numbers that are not exact in the
            dtype that losses get them in.
    """
    if not isinstance(case, Case):
        raise _unknown(case)
    if case.dtype not in PRECISION:
        raise ValueError(f"case {case.name!r}: dtype is {case.dtype!r}; it is one of {', '.join(PRECISION)}")
    _check_shapes(case)
    _check_exact(case)
    if not case.soft:
        _check_labels(case)
    return case


def _unknown(given: Any) -> TypeError:
    return TypeError(
        f"cases has {reprlib.repr(given)}; each is a Case, a pair (logits, targets) of NumPy arrays, or a strategy "
        "that draws cases"
    )


def _check_shapes(case: Case) -> None:
    rank, words = (1, "(rows,)") if case.binary else (2, "(rows, classes)")
    shape = case.logits.shape
    if len(shape) != rank or 0 in shape:
        raise ValueError(f"case {case.name!r}: logits of shape {shape}; it is {words}, none of them 0")
    rows, classes = shape[:1], shape[1:]
    due = {
        "targets": shape if case.soft or case.binary else rows,
        "sample_weight": rows,
        "pos_weight": rows,
        "class_weight": classes,
    }
    for name, expected in due.items():
        array = getattr(case, name)
        if array is not None and np.shape(array) != expected:
            found = f"{name} of shape {np.shape(array)}"
            raise ValueError(f"case {case.name!r}: {found}; beside logits of shape {shape} it is {expected}")


def _check_exact(case: Case) -> None:
    """Rounded on the way into a loss, they would be other numbers than those that the exact value is of."""
    dtypes = {"logits": case.dtype, "targets": case.dtype if case.soft else ""}
    dtypes |= dict.fromkeys(("class_weight", "sample_weight", "pos_weight"), case.wide_dtype)
    for name, dtype in dtypes.items():
        array = getattr(case, name)
        if dtype and array is not None and not np.array_equal(round_to(array, dtype), array, equal_nan=True):
            raise ValueError(f"case {case.name!r}: {name} are not exact in {dtype}; round them with round_to")


def _check_labels(case: Case) -> None:
    if case.targets.dtype.kind not in "iu":
        raise ValueError(f"case {case.name!r}: targets of dtype {case.targets.dtype}; they are integers, or floats")
    classes = case.logits.shape[-1]
    wrong = case.targets[~case.dropped & ((case.targets < 0) | (case.targets >= classes))]
    if wrong.size:
        raise ValueError(f"case {case.name!r}: targets has {wrong[0]}; a label is from 0 to {classes - 1}")
