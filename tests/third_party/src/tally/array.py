"""The array class: a handle on values that only its own functions compute with."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

_log: list[str] = []


def operations() -> int:
    """How many operations there have been."""
    return len(_log)


class Tally:
    """An array. NumPy is not to take it for one of its own: it refuses both of NumPy's protocols."""

    __array_ufunc__ = None

    def __init__(self, values: Any, dtype: Any = None) -> None:
        self._values = np.array(values, dtype=dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        raise TypeError("a Tally is converted by its own to_numpy()")

    @property
    def shape(self) -> tuple[int, ...]:
        return self._values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._values.dtype

    def to_numpy(self) -> np.ndarray[Any, Any]:
        return self._values.copy()

    def item(self) -> Any:
        return self._values.item()

    def __getitem__(self, key: Any) -> Tally:
        return compute(operator.getitem, self, key)

    def __bool__(self) -> bool:
        return bool(self._values)

    def __int__(self) -> int:
        return int(self._values)

    def __float__(self) -> float:
        return float(self._values)


def compute(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of NumPy arrays on Tallies."""
    _log.append(getattr(function, "__name__", "?"))
    result = function(*map(unwrap, args), **{name: unwrap(value) for name, value in kwargs.items()})
    return Tally(result) if isinstance(result, (np.ndarray, np.generic)) else result


def unwrap(value: Any) -> Any:
    """The values of a Tally, also of those in a list or tuple; anything else as it is. NumPy arrays are refused."""
    if isinstance(value, Tally):
        return value._values
    if isinstance(value, (list, tuple)):
        return type(value)(map(unwrap, value))
    if isinstance(value, np.ndarray):
        raise TypeError("a Tally computes with Tallies and Python numbers only")
    return value


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[Tally, Any], Tally]:
    def method(self: Tally, other: Any) -> Tally:
        return compute(function, self, other)

    return method


def _unary(function: Callable[[Any], Any]) -> Callable[[Tally], Tally]:
    def method(self: Tally) -> Tally:
        return compute(function, self)

    return method


def _reflected(function: Callable[[Any, Any], Any]) -> Callable[[Tally, Any], Tally]:
    def method(self: Tally, other: Any) -> Tally:
        return compute(function, other, self)

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"):
    _function = getattr(operator, f"{_name}_" if _name in ("and", "or") else _name)
    setattr(Tally, f"__{_name}__", _binary(_function))
    setattr(Tally, f"__r{_name}__", _reflected(_function))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Tally, f"__{_name}__", _binary(getattr(operator, _name)))
for _name in ("neg", "invert", "abs"):
    setattr(Tally, f"__{_name}__", _unary(getattr(operator, _name)))
