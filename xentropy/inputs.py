"""Taking what the user gives beside the logits: of their library, of NumPy, or plain Python numbers."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from xentropy import registry
from xentropy.backend import quiet
from xentropy.dtypes import is_floating, is_integer, name_of

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any


def as_array(backend: Backend, value: Any, argument: str) -> Array:
    """Plain Python numbers and (nested) lists of them as an array; arrays as they are.

    Raises:
        TypeError: the value is neither.
    """
    if isinstance(value, (list, tuple, numbers.Number, np.ndarray)):
        try:
            value = backend.literal(value)
        except ValueError as error:
            raise ValueError(f"{argument} is no rectangular array: {error}") from None
    registry.resolve(value, argument)
    return value


def adopt(backend: Backend, value: Array, like: Array, argument: str) -> Array:
    """An array of the logits' own library as it is, a NumPy array brought over to it.

    Raises:
        TypeError: the array is of a third library.
    """
    own = registry.resolve(value, argument)
    if own is backend and own.namespace(value) is backend.namespace(like):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return backend.asarray(np.asarray(value), like)
    raise TypeError(
        f"{argument} is a {type(value).__module__}.{type(value).__name__} but the first argument is a "
        f"{type(like).__module__}.{type(like).__name__}; give both in one library (NumPy arrays and lists always work)"
    )


def real_array(backend: Backend, value: Any, like: Array, argument: str, dtype: str) -> Array:
    """Real numbers, in the dtype that the logits compute in.

    Raises:
        TypeError: bool, complex or other values, or an array of another library.
    """
    value = as_array(backend, value, argument)
    if not (is_floating(value) or is_integer(value)):
        raise TypeError(f"{argument} has dtype {name_of(value.dtype)}; it must hold real numbers")
    if isinstance(value, (np.ndarray, np.generic)):
        # Here, since not every library takes NumPy's narrow floats.
        with quiet():
            value = np.asarray(value).astype(dtype, copy=False)
    value = adopt(backend, value, like, argument)
    xp = backend.namespace(value)
    return xp.astype(value, getattr(xp, dtype), copy=False)


def bool_array(backend: Backend, value: Any, like: Array, argument: str) -> Array:
    """Booleans.

    Raises:
        TypeError: values of another dtype, or an array of another library.
    """
    value = as_array(backend, value, argument)
    if name_of(value.dtype) != "bool":
        raise TypeError(f"{argument} has dtype {name_of(value.dtype)}; it must be bool, True for an allowed class")
    return adopt(backend, value, like, argument)
