"""Strategies for hypothesis: cases whose logits and targets reach the hard corners of a cross-entropy.

Example:
    >>> from hypothesis import find
    >>> case = find(cases(corners=["confident"]), lambda case: case.logits.max() > 10)
    >>> case.logits.dtype.name, case.targets.dtype.name
    ('float32', 'int32')
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xentropy.parity.cases import Array, Case, round_to
from xentropy.parity.ulp import PRECISION

Draw = st.DrawFn

CORNERS = ("plain", "confident", "wrong", "ties", "offset", "minus-inf", "subnormal")
"""What makes the logits hard: nothing; a label far ahead, or far behind; equal ones; a large number added to all of
them; classes at -inf; a label so far ahead that the loss is a subnormal number."""

TARGETS = ("indices", "probabilities", "binary")

_FEW = 64
# Of the largest margins the losses of float32 (float64) are subnormal, or 0.
_FAR = {"float64": (700.0, 750.0)}
_LEAD = {"float64": 600.0}


@st.composite
def logits(
    draw: Draw, shape: tuple[int, ...], labels: Array, *, corner: str = "plain", dtype: str = "float32"
) -> Array:
    """Logits of one corner, exact in the dtype; float32, or float64 for ``dtype="float64"``.

    Args:
        draw: hypothesis gives it.
        shape: (rows, classes), or (rows,) of a binary case.
        labels: class indices of shape (rows,), or 0 and 1 of a binary case: who is ahead, and who is not at -inf.
        corner: one of ``CORNERS``.
        dtype: float16, bfloat16, float32 or float64.
    """
    _check("corner", corner, CORNERS)
    _check("dtype", dtype, tuple(PRECISION))
    values = draw(_array(shape, st.floats(-8, 8, width=16))).astype(np.float64)
    if corner == "ties":
        values = np.round(values / 8)
    elif corner == "offset":
        values = values + draw(
            st.sampled_from([1e3, -1e3, 1e4, -1e4, 1e6, -1e6] if PRECISION[dtype] > 11 else [1e3, -1e3])
        )
    elif corner == "minus-inf":
        values = _ruled_out(draw, values, labels)
    elif corner in ("confident", "wrong", "subnormal"):
        least, most = _FAR.get(dtype, (87.0, 110.0)) if corner == "subnormal" else (0.0, _LEAD.get(dtype, 80.0))
        values = _ahead(values / 8, labels, draw(st.floats(least, most, width=32)), corner == "wrong")
    return round_to(values, dtype)


@st.composite
def targets(draw: Draw, labels: Array, classes: int) -> Array:
    """Class probabilities, float32 of shape (rows, classes), no class above the label's; in places exactly 0."""
    shape = (len(labels), classes)
    share = draw(_array(shape, st.sampled_from([0.0, 0.125, 0.5, 1.0])))
    share[np.arange(len(labels)), labels] += 1
    probabilities: Array = (share / share.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


@st.composite
def cases(
    draw: Draw,
    /,
    *,
    targets: str = "indices",
    corners: Sequence[str] = CORNERS,
    dtypes: Sequence[str] = ("float32",),
    rows: Sequence[int] = (1, 2),
    classes: Sequence[int] = (2, 3, 10, 1000),
    **options: Any,
) -> Case:
    """Cases of one kind; a case's name is its corner.

    Args:
        draw: hypothesis gives it.
        targets: ``"indices"``, ``"probabilities"``, or ``"binary"``.
        corners: of ``CORNERS``.
        dtypes: of the logits and of soft targets.
        rows: how many of them there may be. Few different shapes, since frameworks compile for each of them.
        classes: how many of them there may be.
        options: what both losses do, as attributes of ``Case``: ``label_smoothing``, ``from_logits=False``,
            ``ignore_index`` (some rows have it), ``class_weight``, and ``pos_weight``, one number for all rows.

    Raises:
        ValueError: a name that is not among those above, or an option that targets of this kind do not have.
    """
    _check("targets", targets, TARGETS)
    for name, allowed, given in (("corner", CORNERS, corners), ("dtype", tuple(PRECISION), dtypes)):
        for value in given:
            _check(name, value, allowed)
    _check_options(targets, options)
    corner, dtype = draw(st.sampled_from(list(corners))), draw(st.sampled_from(list(dtypes)))
    count = draw(st.sampled_from(list(rows)))
    wide_dtype = np.float64 if dtype == "float64" else np.float32
    if options.get("pos_weight") is not None:
        options["pos_weight"] = np.full(count, options["pos_weight"], dtype=wide_dtype)
    if options.get("class_weight") is not None:
        options["class_weight"] = np.asarray(options["class_weight"], dtype=wide_dtype)
    if targets == "binary":
        return draw(_binary(corner, dtype, count, options))
    wide = draw(st.sampled_from(list(classes))) if options.get("class_weight") is None else len(options["class_weight"])
    labels = draw(hnp.arrays(np.int32, count, elements=st.integers(0, wide - 1)))
    z = draw(logits((count, wide), labels, corner=corner, dtype=dtype))
    goal = labels if targets == "indices" else round_to(_shared(draw, labels, z), dtype)
    if options.get("ignore_index") is not None:
        goal = np.where(draw(hnp.arrays(np.bool_, count)), np.int32(options["ignore_index"]), goal)
    if not options.get("from_logits", True):
        z = round_to(_softmax(z, dtype), dtype)
    return Case(corner, z, goal, dtype=dtype, **options)


@st.composite
def _binary(draw: Draw, corner: str, dtype: str, rows: int, options: dict[str, Any]) -> Case:
    labels = draw(hnp.arrays(np.int32, rows, elements=st.integers(0, 1)))
    z = draw(logits((rows,), labels, corner=corner, dtype=dtype))
    if not options.get("from_logits", True):
        z = round_to(_sigmoid(z, dtype), dtype)
    return Case(
        corner, z, labels.astype(np.float64 if dtype == "float64" else np.float32), dtype, binary=True, **options
    )


def corners_of(label_smoothing: float = 0.0) -> tuple[str, ...]:
    """Those that a loss has a number for: with label smoothing, that of a class at -inf is infinite."""
    return tuple(corner for corner in CORNERS if not (label_smoothing and corner == "minus-inf"))


def by_corner(*, corners: Sequence[str] | None = None, **options: Any) -> list[st.SearchStrategy[Case]]:
    """A strategy for each corner, so that none is left to chance; the arguments are those of ``cases``.

    Left out, ``corners`` are all, but with label smoothing those that have a finite loss.
    """
    chosen = corners_of(options.get("label_smoothing", 0.0)) if corners is None else corners
    return [cases(corners=[corner], **options) for corner in chosen]


def _array(shape: tuple[int, ...], elements: st.SearchStrategy[float]) -> st.SearchStrategy[Array]:
    """Every element drawn by itself; of a large array a few, the others being one number."""
    fill = st.nothing() if np.prod(shape) <= _FEW else None
    return hnp.arrays(np.float32, shape, elements=elements, fill=fill)


def _check(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it is one of {', '.join(allowed)}")


# Of which targets an option is.
_ONLY_OF = {"ignore_index": ("indices",), "class_weight": ("indices", "probabilities"), "pos_weight": ("binary",)}


def _check_options(targets: str, options: dict[str, Any]) -> None:
    for name, kinds in _ONLY_OF.items():
        if options.get(name) is not None and targets not in kinds:
            raise ValueError(f"{name} is {options[name]!r}; it is an option of targets that are {' or '.join(kinds)}")


def _shared(draw: Draw, labels: Array, z: Array) -> Array:
    share = draw(targets(labels, z.shape[1]))
    share[np.isneginf(z)] = 0
    share /= share.sum(axis=1, keepdims=True)
    return share


def _ruled_out(draw: Draw, values: Array, labels: Array) -> Array:
    """-inf at any class but the label's; of a binary case the infinity of the label's side."""
    if values.ndim == 1:
        return np.where(labels > 0, np.inf, -np.inf)
    out = draw(hnp.arrays(np.bool_, values.shape))
    out[np.arange(len(labels)), labels] = False
    return np.where(out, -np.inf, values)


def _ahead(values: Array, labels: Array, lead: float, wrong: bool) -> Array:
    """The label, or where ``wrong`` the class after it, ahead of all others."""
    if values.ndim == 1:
        return np.where((labels > 0) != wrong, lead, -lead) + values / 8
    rows, ahead = np.arange(len(labels)), (labels + wrong) % values.shape[1]
    values[rows, ahead] += lead
    return values


def _softmax(z: Array, dtype: str) -> Array:
    """Probabilities of the logits; not 0 but for a class that is ruled out."""
    with np.errstate(invalid="ignore"):
        e = np.exp(z.astype(np.float64) - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return np.where(np.isneginf(z), 0.0, np.maximum(p, _floor(dtype)))


def _sigmoid(z: Array, dtype: str) -> Array:
    """Probabilities of the logits; neither 0 nor 1."""
    with np.errstate(over="ignore"):
        p = 1 / (1 + np.exp(-z.astype(np.float64)))
    return np.clip(p, _floor(dtype), 1 - 2.0 ** -PRECISION[dtype])


def _floor(dtype: str) -> float:
    return {"float16": 2.0**-14, "float64": 2.0**-1022}.get(dtype, 2.0**-126)
