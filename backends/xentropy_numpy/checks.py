"""What scikit-learn checks of its metrics' arguments, with the words that its users know."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj, to_device

from xentropy.dtypes import is_floating
from xentropy.registry import resolve

Array = Any


# What each argument may be, in the form in which scikit-learn keeps it with its functions.
RULES: dict[str, list[Any]] = {
    "y_true": ["array-like"],
    "y_proba": ["array-like", None],
    "normalize": ["boolean"],
    "sample_weight": ["array-like", None],
    "labels": ["array-like", None],
    "y_pred": ["array-like", str],
}
_WORDS = {
    "array-like": "an array-like",
    "boolean": "an instance of 'bool' or an instance of 'numpy.bool'",
    None: "None",
    str: "an instance of 'str'",
}


class InvalidParameterError(ValueError, TypeError):
    """An argument of a wrong type; scikit-learn has an exception of this name and these bases."""


def check_parameters(**parameters: Any) -> None:
    """Raise InvalidParameterError for the first argument of a wrong type.

    That is scikit-learn's own where it is loaded, so that those who catch that one do.
    """
    for name, value in parameters.items():
        rule = RULES[name]
        if any(_satisfies(value, constraint) for constraint in rule):
            continue
        theirs = sys.modules.get("sklearn.utils._param_validation")
        error = getattr(theirs, "InvalidParameterError", InvalidParameterError)
        expected = " or ".join(_WORDS[constraint] for constraint in rule)
        raise error(f"The {name!r} parameter of log_loss must be {expected}. Got {value!r} instead.")


def _satisfies(value: Any, constraint: Any) -> bool:
    if constraint is None:
        return value is None
    if constraint is str:
        return isinstance(value, str)
    return isinstance(value, (bool, np.bool_)) if constraint == "boolean" else _is_array_like(value)


def _is_array_like(value: Any) -> bool:
    sparse = hasattr(value, "tocsr")
    return not sparse and not np.isscalar(value) and any(hasattr(value, a) for a in ("__len__", "shape", "__array__"))


def check_same_length(*arrays: Any) -> None:
    """Raise ValueError unless all arrays that are given have as many samples."""
    lengths = [_samples(array) for array in arrays if array is not None]
    if len(set(lengths)) > 1:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {lengths}")


def _samples(array: Any) -> int:
    shape = getattr(array, "shape", None)
    if shape is not None and len(shape) == 0:
        raise TypeError(f"an array without axes is no collection of samples: {array!r}")
    return int(shape[0]) if shape is not None else len(array)


def probabilities(y_proba: Any) -> Array:
    """The probabilities as floats of their own library, or of NumPy.

    Raises:
        TypeError: an array without axes.
        ValueError: they are no real numbers, not finite or outside [0, 1]; no samples, or more than two axes.
    """
    p = resolve(y_proba).detach(y_proba) if is_array_api_obj(y_proba) else np.asarray(y_proba)
    xp = array_namespace(p)
    if isinstance(p, np.ndarray):
        p = p.astype(np.float64 if p.dtype.kind in "OUS" else p.dtype.newbyteorder("="), copy=False)
    if xp.isdtype(p.dtype, "complex floating"):
        raise ValueError(f"Complex data not supported: y_proba has dtype {p.dtype}")
    if not is_floating(p):
        floats = xp.__array_namespace_info__().dtypes(kind="real floating")
        p = xp.astype(p, floats.get("float64", floats["float32"]))
    if p.ndim == 0:
        raise TypeError(f"an array without axes is no collection of samples: {y_proba!r}")
    if p.ndim not in (1, 2):
        raise ValueError(f"Found array with dim {p.ndim}, while dim 1 or 2 is required.")
    if 0 in p.shape:
        raise ValueError(f"Found array with 0 sample(s) (shape={tuple(p.shape)}) while a minimum of 1 is required.")
    _check_finite(p, "")
    if (largest := float(xp.max(p))) > 1.0:
        raise ValueError(f"y_prob contains values greater than 1: {largest}")
    if (smallest := float(xp.min(p))) < 0.0:
        raise ValueError(f"y_prob contains values lower than 0: {smallest}")
    return p


def weights(sample_weight: Any) -> tuple[Array, float]:
    """The weights as a NumPy array of floats with a largest size of 1, and what they were divided by.

    Raises:
        ValueError: they are no finite real numbers, not one-dimensional, or all 0.
    """
    weight = to_numpy(sample_weight)
    if weight.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: sample_weight has dtype {weight.dtype}")
    weight = weight.astype(np.float64)
    if weight.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weight.ndim}D array.")
    _check_finite(weight, "sample_weight ")
    if not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    scale = float(np.abs(weight).max())
    return weight / scale, scale


def _check_finite(x: Array, name: str) -> None:
    xp = array_namespace(x)
    if bool(xp.any(xp.isnan(x))):
        raise ValueError(f"Input {name}contains NaN.")
    if bool(xp.any(xp.isinf(x))):
        raise ValueError(f"Input {name}contains infinity or a value too large for {x.dtype!r}.")


def to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """Anything as a NumPy array, from whatever device."""
    if not is_array_api_obj(x):
        return np.asarray(x)
    x = resolve(x).detach(x)
    try:
        return np.asarray(x)
    except (TypeError, ValueError, RuntimeError):
        return np.asarray(_on_cpu(x))


def _on_cpu(x: Array) -> Array:
    try:
        return to_device(x, "cpu")
    except ValueError:
        # Not every library calls it that.
        return to_device(x, array_namespace(x).__array_namespace_info__().default_device())
