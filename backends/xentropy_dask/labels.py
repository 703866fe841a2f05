"""Labels of any kind as class indices or an indicator matrix; those of a Dask array are not looked at."""

from __future__ import annotations

import warnings
from typing import Any

import dask.array as da
import numpy as np

import xentropy_numpy.labels
from xentropy.registry import resolve

Array = Any


def encode(y_true: Any, labels: Any, columns: int) -> Array:
    """Class indices in the sorted order of the labels, -1 for what is none of them; or an indicator matrix of floats.

    Raises:
        ValueError: not as many labels as ``columns``, or what ``xentropy_numpy.labels.encode`` raises.
        TypeError: strings and numbers among the labels.
    """
    if not isinstance(y_true, da.Array):
        found = xentropy_numpy.labels.encode(y_true, labels)
        _check_number(found.classes, columns)
        return found.targets
    shape = resolve(y_true, "y_true").shape(y_true)
    y = y_true[:, 0] if len(shape) == 2 and shape[1] == 1 else y_true
    if y.ndim not in (1, 2):
        raise ValueError(f"y_true has shape {shape}; labels have one axis, indicators two")
    if y.ndim == 2:
        if labels is not None:
            raise ValueError("y_true is an indicator matrix, whose labels are the numbers of its columns")
        return y.astype("float64")
    classes = np.arange(columns) if labels is None else _declared(labels)
    _check_number(classes, columns)
    if _is_text(classes.dtype) != _is_text(y.dtype):
        raise TypeError(f"Mix of label input types: y_true has dtype {y.dtype}, labels have {classes.dtype}")
    return y.map_blocks(_indices, classes, dtype="int64", meta=np.empty(0, "int64"))


def _declared(labels: Any) -> Array:
    given = np.asarray(labels)
    classes = np.unique(given)
    if given.shape != classes.shape or (given != classes).any():
        warnings.warn(
            f"Labels passed were {labels}, but the columns of y_pred have to be in the order of {classes.tolist()}.",
            UserWarning,
            stacklevel=4,
        )
    return classes


def _check_number(classes: Array, columns: int) -> None:
    if len(classes) != columns:
        raise ValueError(f"y_pred has {columns} classes, but there are {len(classes)} labels: {classes}")


def _is_text(dtype: Any) -> bool:
    return dtype.kind in "OUST"


def _indices(y: Array, classes: Array) -> Array:
    place = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    return np.where(classes[place] == y, place, -1)
