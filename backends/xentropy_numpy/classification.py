"""scikit-learn's log loss on arrays of any library."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace

from xentropy import binary_cross_entropy, cross_entropy
from xentropy.dtypes import name_of
from xentropy_numpy.checks import RULES, check_parameters, check_same_length, probabilities, weights
from xentropy_numpy.labels import encode

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Array = Any

_EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


def log_loss(
    y_true: ArrayLike,
    y_proba: ArrayLike | None = None,
    *,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    y_pred: ArrayLike | str = "deprecated",
) -> float:
    """Cross-entropy of predicted probabilities, in nats, as ``sklearn.metrics.log_loss``.

    Args:
        y_true: one label a sample (numbers or strings), or the 0 and 1 of an indicator matrix (samples, classes).
        y_proba: probabilities of shape (samples, classes), the classes in the sorted order of their labels, or
            (samples,) for the larger of two labels. An array of any library that speaks the Array API, which then
            computes the loss, or anything that NumPy makes an array of. Clipped to [eps, 1 - eps], eps being that of
            its dtype; integers become float64.
        normalize: the mean over samples if True, else their sum.
        sample_weight: one weight a sample; the mean is divided by their sum.
        labels: all labels there are, if ``y_true`` may lack some.
        y_pred: what ``y_proba`` was called before scikit-learn 1.9.

    Returns:
        The loss, a Python float.

    Raises:
        InvalidParameterError: an argument of a wrong type (a ValueError and a TypeError; scikit-learn's own if loaded).
        ValueError: probabilities that are NaN, infinite or outside [0, 1]; lengths, labels or classes that don't fit.
        TypeError: strings and numbers among the labels.
        ZeroDivisionError: weights that sum to 0 and are to be divided by.

    Warns:
        UserWarning: rows of probabilities that don't sum to 1, and ``labels`` that aren't sorted.
        FutureWarning: ``y_pred`` is used.

    It differs from scikit-learn's: 1 - p of a one-dimensional ``y_proba`` is not rounded (scikit-learn's loses 0.14 %
    of the loss at p = 1e-5 in float32), half precision is computed in float32, and arrays stay in their library
    without ``array_api_dispatch``.

    Example:
        >>> from xentropy_numpy import log_loss
        >>> print(round(log_loss(["a", "b"], [[0.7, 0.3], [0.2, 0.8]]), 4))
        0.2899
        >>> print(round(log_loss([1], [0.8], labels=[0, 1]), 4))
        0.2231
    """
    check_parameters(
        y_true=y_true, y_proba=y_proba, normalize=normalize, sample_weight=sample_weight, labels=labels, y_pred=y_pred
    )
    y_proba = _renamed(y_proba, y_pred)
    p = probabilities(y_proba)
    check_same_length(p, y_true, sample_weight)
    # By the largest: the loss computes in the dtype of the probabilities, which may hold no 1e50.
    weight, scale = (None, 1.0) if sample_weight is None else weights(sample_weight)
    targets, classes = encode(y_true, labels)
    one_column = p.ndim == 1 or p.shape[1] == 1
    _check_classes(classes, 2 if one_column else p.shape[1], labels)
    eps = _EPS[name_of(p.dtype)]
    xp = array_namespace(p)
    if one_column:
        p = xp.reshape(p, (-1,))
    elif bool(xp.any(xp.abs(xp.sum(p, axis=1) - 1.0) > math.sqrt(eps) + 1e-8)):
        warnings.warn(
            "The y_prob values do not sum to one. Make sure to pass probabilities.", UserWarning, stacklevel=2
        )
    if one_column and targets.ndim == 2:
        p, one_column = xp.astype(p, xp.float64 if name_of(p.dtype) == "float64" else xp.float32), False
        p = xp.stack([1.0 - p, p], axis=1)
    p = xp.clip(p, eps, 1.0 - eps)
    loss = binary_cross_entropy if one_column else cross_entropy
    total = float(loss(p, targets, from_logits=False, sample_weight=weight, reduction="sum", validate=False))
    if not normalize:
        return total * scale
    count = p.shape[0] if weight is None else float(weight.sum())
    if count == 0.0:
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    return total / count


# scikit-learn's tools read it off its functions.
log_loss._skl_parameter_constraints = RULES  # type: ignore[attr-defined]


def _renamed(y_proba: Any, y_pred: Any) -> Any:
    if isinstance(y_pred, str) and y_pred == "deprecated":
        if y_proba is None:
            raise ValueError("Expected probabilities as `y_proba`, got None instead.")
        return y_proba
    if y_proba is not None:
        raise ValueError("Cannot use both `y_pred` and `y_proba`. `y_pred` is deprecated, use `y_proba` instead.")
    warnings.warn(
        "`y_pred` was renamed to `y_proba` in version 1.9 and will be removed in 1.11. Use `y_proba` instead.",
        FutureWarning,
        stacklevel=3,
    )
    return y_pred


def _check_classes(classes: Array, columns: int, labels: Any) -> None:
    if len(classes) == columns:
        return
    if labels is None:
        raise ValueError(
            f"y_true and y_prob contain different number of classes: {len(classes)} vs {columns}. Please provide the "
            f"true labels explicitly through the labels argument. Classes found in y_true: {classes}"
        )
    raise ValueError(
        f"The number of classes in labels is different from that in y_prob. Classes found in labels: {classes}"
    )
