"""Labels of any kind as class indices or an indicator matrix."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from xentropy_numpy.checks import to_numpy

Array = np.ndarray[Any, Any]


class Encoded(NamedTuple):
    """What a loss takes for labels.

    Attributes:
        targets: class indices of shape (samples,), or an indicator matrix of floats.
        classes: the sorted labels; for an indicator matrix the numbers of its columns.
    """

    targets: Array
    classes: Array


def encode(y_true: Any, labels: Any) -> Encoded:
    """Class indices in the sorted order of the labels.

    Raises:
        ValueError: labels that are no labels (fractions, NaN), undeclared, or fewer than two.
        TypeError: strings and numbers in one array.
    """
    y = _as_labels(y_true, "y_true")
    if labels is not None:
        return _encode_declared(y, labels)
    if y.ndim == 2:
        _require_indicator(y)
        classes = np.arange(y.shape[1])
    else:
        classes = _sorted(y)
    if len(classes) == 1:
        raise ValueError(
            f"y_true contains only one label ({classes[0]}). Please provide the list of all expected class labels "
            "explicitly through the labels argument."
        )
    return Encoded(y.astype(np.float64) if y.ndim == 2 else np.searchsorted(classes, y), classes)


def _encode_declared(y: Array, labels: Any) -> Encoded:
    given = _as_labels(labels, "labels")
    classes = _sorted(given)
    if given.shape != classes.shape or (given != classes).any():
        warnings.warn(
            f"Labels passed were {labels}. But this function assumes labels are ordered lexicographically. Pass the "
            f"ordered labels={classes.tolist()} and ensure that the columns of y_prob correspond to this ordering.",
            UserWarning,
            stacklevel=4,
        )
    if undeclared := set(y.ravel().tolist()) - set(classes.tolist()):
        raise ValueError(f"y_true contains values {undeclared} not belonging to the passed labels {labels}.")
    if len(classes) == 1:
        raise ValueError(f"The labels array needs to contain at least two labels, got {classes}.")
    if y.ndim == 2:
        raise ValueError("The object was not fitted with multilabel input.")
    return Encoded(np.searchsorted(classes, y), classes)


def _as_labels(values: Any, name: str) -> Array:
    y = to_numpy(values)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind == "f":
        if np.isnan(y).any():
            raise ValueError(f"Input {name} contains NaN.")
        if np.isinf(y).any():
            raise ValueError(f"Input {name} contains infinity or a value too large for {y.dtype!r}.")
        if (y != np.trunc(y)).any():
            raise ValueError(f"Unknown label type: {name} holds fractions, so its values are no labels")
    if y.dtype.kind == "S" or (y.dtype == object and any(isinstance(label, bytes) for label in y.flat)):
        raise TypeError(f"{name} holds labels represented as bytes, which is not supported; decode them to str")
    numbers_of_object = y.dtype == object and y.size and not isinstance(y.flat[0], str)
    if y.dtype.kind not in "biufUTOmM" or numbers_of_object or y.ndim not in (1, 2):
        raise ValueError(f"Unknown label type for {name}: {values!r}")
    if y.shape[0] == 0:
        raise ValueError(f"{name} has 0 samples: {values!r}")
    return y


def _sorted(y: Array) -> Array:
    try:
        return np.unique(y)
    except TypeError:
        raise TypeError("Mix of label input types (string and number)") from None


def _require_indicator(y: Array) -> None:
    if y.dtype.kind not in "biuf" or len(np.unique(y)) > 2:
        raise ValueError("Multioutput target data is not supported with label binarization")
