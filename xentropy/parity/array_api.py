"""The adapter of any library that follows the Array API standard and has none of its own."""
# ruff: noqa: D102 (ParityAdapter documents its members)

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from xentropy.parity.adapter import ParityAdapter, UnavailableError
from xentropy.parity.cases import Array


class ArrayAPIAdapter(ParityAdapter):
    """Arrays of a namespace, on its default device; without derivatives, which the standard does not have.

    Args:
        name: that the namespace is imported by.
        namespace: has ``asarray`` and the standard's dtypes.
    """

    def __init__(self, name: str, namespace: ModuleType) -> None:
        self.name, self._xp = name, namespace
        # What wraps a library's namespace for the standard's sake is no home of its arrays.
        self._root = namespace.__name__.removeprefix("array_api_compat.").partition(".")[0]
        self.version = str(getattr(import_module(self._root), "__version__", "unknown"))

    def asarray(self, values: Array, dtype: str) -> Any:
        if not hasattr(self._xp, dtype):
            raise UnavailableError(f"{self._root} has no {dtype}")
        return self._xp.asarray(values, dtype=getattr(self._xp, dtype))

    def to_numpy(self, array: Any) -> Array:
        try:
            found = np.from_dlpack(array)
        except (AttributeError, BufferError, RuntimeError, TypeError):  # lazy, or on another device
            found = np.asarray(array)
        return found.astype(np.float64 if found.dtype == np.float64 else np.float32)

    def owns(self, result: Any) -> bool:
        return type(result).__module__.partition(".")[0] == self._root

    def dtype_name(self, array: Any) -> str:
        return str(array.dtype).rpartition(".")[2]


@cache
def adapter_of(name: str) -> ArrayAPIAdapter | None:
    """The adapter of a namespace, by the name that it is imported by; None where it is none, or not installed."""
    for module in (f"array_api_compat.{name}", name):
        try:
            found = import_module(module)
        except ImportError:
            continue
        if hasattr(found, "__array_api_version__"):
            return ArrayAPIAdapter(name, found)
    return None
