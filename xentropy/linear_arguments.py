"""The arguments that a linear loss multiplies: hidden states, weights and bias, checked and as rows."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, NamedTuple

from xentropy.backend import quiet
from xentropy.dtypes import require_floating, result_name
from xentropy.inputs import adopt, as_array
from xentropy.layout import Layout, element_count, known, show
from xentropy.rule import rounded

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any


class Shared(NamedTuple):
    """Hidden states as rows, with what they are multiplied with.

    Attributes:
        hidden: as it was given.
        arrays: (rows, features), (classes, features) and, perhaps, (classes,).
        layout: of the logits.
    """

    hidden: Array
    arrays: tuple[Array, ...]
    layout: Layout


def wide_name(shared: Shared) -> str:
    """The dtype of a loss of these arrays."""
    # No property: not every compiler that reads Python looks into one of a named tuple.
    names = (result_name(array) for array in (shared.hidden, *shared.arrays[1:]))
    return "float64" if "float64" in names else "float32"


def check_chunk_rows(value: Any) -> int | None:
    """The value as an int or None.

    Raises:
        TypeError: it is neither.
        ValueError: it is less than 1.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"chunk_rows must be an integer or None, got {value!r}")
    if int(value) < 1:
        raise ValueError(f"chunk_rows must be at least 1, got {value!r}")
    return int(value)


def shared_arrays(backend: Backend, hidden: Array, weight: Any, bias: Any, *, some: bool = True) -> Shared:
    """Check shapes, dtypes and libraries of what is differentiated; there have to be ``some`` classes.

    Raises:
        TypeError: a dtype, type or library that does not fit.
        ValueError: shapes that do not fit, zero classes.
    """
    require_floating(hidden, "hidden")
    weight = _floating(backend, weight, hidden, "weight")
    features, shape = backend.shape(hidden), backend.shape(weight)
    if not features:
        raise ValueError("hidden has shape (); it must have at least one axis, of features")
    if len(shape) != 2 or (known(shape[1]) and known(features[-1]) and shape[1] != features[-1]):
        raise ValueError(
            f"weight has shape {show(shape)}, but for hidden of shape {show(features)} it must be (classes, "
            f"{show(features[-1:])[1:-2]})"
        )
    if some and known(shape[0]) and shape[0] == 0:
        raise ValueError(f"weight of shape {show(shape)} has no classes; at least one is needed")
    layout = Layout((*features[:-1], shape[0]), len(features) - 1, (features, shape))
    flat = hidden
    if len(features) != 2:
        flat = backend.reshape(hidden, (element_count(features[:-1]), features[-1]))
    if bias is None:
        return Shared(hidden, (flat, weight), layout)
    bias = _floating(backend, bias, hidden, "bias")
    given = backend.shape(bias)
    if len(given) != 1 or (known(given[0]) and known(shape[0]) and given != shape[:1]):
        raise ValueError(
            f"bias has shape {show(given)}, but for weight of shape {show(shape)} it must be {show(shape[:1])}"
        )
    return Shared(hidden, (flat, weight, bias), layout)


def _floating(backend: Backend, value: Any, like: Array, argument: str) -> Array:
    array = as_array(backend, value, argument)
    require_floating(array, argument)
    array = adopt(backend, array, like, argument)
    if not isinstance(value, (list, tuple)):
        return array
    # Numbers of Python's are of no width of their own.
    xp = backend.namespace(array)
    return xp.astype(array, getattr(xp, result_name(like)), copy=False)


def as_given(backend: Backend, gradients: tuple[Array, ...], shared: Shared) -> tuple[Array, ...]:
    """The gradients of hidden, weight and bias in the shapes and dtypes of these."""
    with quiet():
        of_hidden, *others = (
            rounded(backend, g, a.dtype) for g, a in zip(gradients, shared.arrays, strict=False) if g is not None
        )
    return backend.reshape(of_hidden, backend.shape(shared.hidden)), *others
