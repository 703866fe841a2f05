"""scikit-learn's log loss on Dask arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from xentropy import binary_cross_entropy, cross_entropy
from xentropy.backend import quiet
from xentropy.registry import resolve
from xentropy_dask.labels import encode

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Array = Any


def log_loss(
    y_true: ArrayLike,
    y_pred: Array,
    *,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    labels: ArrayLike | None = None,
) -> Array:
    """Cross-entropy of predicted probabilities, in nats, as ``sklearn.metrics.log_loss``, and as lazy as they are.

    Args:
        y_true: one label a sample, or the 0 and 1 of an indicator matrix (samples, classes): a Dask array, or anything
            that NumPy makes an array of.
        y_pred: a Dask array of probabilities, in any chunks, of shape (samples, classes), the classes in the sorted
            order of their labels, or (samples,) for the larger of two labels. Clipped to [eps, 1 - eps], eps being
            that of its dtype; integers become float64.
        normalize: the mean over samples if True, else their sum.
        sample_weight: one weight a sample; the mean is divided by their sum.
        labels: all labels there are. Without them they are those of ``y_true`` where its values are known, and
            0, 1, ... where it is a Dask array.

    Returns:
        The loss, a Dask array without axes: ``float(loss)`` or ``loss.compute()`` computes it.

    Raises:
        TypeError: ``y_pred`` is no Dask array (``xentropy_numpy.log_loss`` takes every other), or there are strings
            and numbers among the labels.
        ValueError: lengths, labels or classes that don't fit, or sizes that are not computed yet.

    Nothing is computed here, so what depends on values of Dask arrays is no error but NaN: a label that is none of
    ``labels``, a probability that counts and is NaN or outside [0, 1], weights that sum to 0. Nor is there a warning of
    rows that don't sum to 1.

    Example:
        >>> import dask.array as da
        >>> from xentropy_dask import log_loss
        >>> p = da.from_array([[0.7, 0.3], [0.2, 0.8]], chunks=1)
        >>> print(round(float(log_loss(["a", "b"], p)), 4))
        0.2899
    """
    p = _probabilities(y_pred)
    columns = 1 if p.ndim == 1 else p.shape[1]
    targets = encode(y_true, labels, max(columns, 2))
    weight = None if sample_weight is None else da.asarray(sample_weight).astype("float64")
    _check_lengths(p, targets, weight)
    if columns == 1:
        p = p.reshape(-1) if p.ndim == 2 else p
        if targets.ndim == 2:
            p = da.stack([1.0 - p, p], axis=1)
    p = _clipped(p)
    loss = binary_cross_entropy if p.ndim == 1 else cross_entropy
    total = loss(p, targets, from_logits=False, sample_weight=weight, reduction="sum", validate=False)
    if not normalize:
        return total
    count = float(p.shape[0]) if weight is None else weight.sum()
    return da.map_blocks(_quotient, total, count, dtype=total.dtype, meta=total._meta)


def _probabilities(y_pred: Any) -> Array:
    if not isinstance(y_pred, da.Array):
        raise TypeError(
            f"y_pred is a {type(y_pred).__name__}, but must be a Dask array; xentropy_numpy.log_loss takes all others"
        )
    shape = resolve(y_pred).shape(y_pred)
    if len(shape) not in (1, 2) or 0 in shape:
        raise ValueError(f"y_pred must have shape (samples,) or (samples, classes), some of each, got {shape}")
    if y_pred.dtype.kind not in "fiub":
        raise ValueError(f"y_pred has dtype {y_pred.dtype}; probabilities are real numbers")
    return y_pred if y_pred.dtype.kind == "f" else y_pred.astype("float64")


def _clipped(p: Array) -> Array:
    """Clipped, where these are probabilities at all: the loss of others is NaN."""
    eps = float(np.finfo(p.dtype).eps)
    return p.map_blocks(_clip, eps, dtype=p.dtype, meta=p._meta)


def _clip(p: Array, eps: float) -> Array:
    return np.where((p >= 0.0) & (p <= 1.0), np.clip(p, eps, 1.0 - eps), np.nan).astype(p.dtype, copy=False)


def _quotient(total: Array, count: Array | float) -> Array:
    with quiet():
        return (total / count).astype(total.dtype)


def _check_lengths(*arrays: Array | None) -> None:
    lengths = [len(array) for array in arrays if array is not None]
    if len(set(lengths)) > 1:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {lengths}")
