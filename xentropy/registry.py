"""From the type of an array to its backend: lazy, cached, and never the reason that a framework is imported."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np

from xentropy.backend import ArrayAPIBackend, Backend

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "xentropy.backends"

_default = ArrayAPIBackend()
_by_type: dict[type, Backend | None] = {}
_NO_PLAIN_ARRAYS = (np.ma.MaskedArray, np.matrix)


def resolve(array: Any, argument: str = "logits") -> Backend:
    """The backend that serves an array.

    Args:
        array: the array.
        argument: its name, for the error.

    Raises:
        TypeError: no backend is registered for the type, and it doesn't speak the Array API.
        ImportError: the backend registered for the type fails to load.
    """
    _load_for(type(array))
    backend = _by_type[type(array)]
    if backend is not None:
        return backend
    if array_api_compat.is_array_api_obj(array):
        return _default
    raise TypeError(
        f"{argument} must be an array of a library that speaks the Array API or has an entry point in "
        f"{GROUP!r}, got {type(array).__name__}"
    )


def _load_for(cls: type) -> None:
    """Put the backend registered for a type, or None, into the cache."""
    if cls in _by_type:
        return
    if issubclass(cls, _NO_PLAIN_ARRAYS):
        raise TypeError(f"{cls.__name__} is no plain array: a mask would go unheard, a matrix never loses an axis")
    entries = (_entries().get(_root(base)) for base in cls.__mro__)
    found = next((entry for entry in entries if entry is not None), None)
    backend = None if found is None else _load(found)
    _by_type[cls] = backend
    if found is not None and found.name == _root(cls):
        # With the library's other classes: a compiler that has read the cache once does not see what comes later.
        for relative in _below(cls):
            if _root(relative) == found.name and not issubclass(relative, _NO_PLAIN_ARRAYS):
                _by_type.setdefault(relative, backend)


def _root(cls: type) -> str:
    """The library that a class is of."""
    return cls.__module__.partition(".")[0]


def _below(cls: type) -> set[type]:
    """Its subclasses, theirs, and so on."""
    return {cls}.union(*map(_below, type.__subclasses__(cls)))


# Loading an entry point can't be traced. Where the very first call is a compiled one, a compiler that knows this mark
# calls the function at compile time instead of tracing it, and then finds the cache filled.
_load_for._dynamo_marked_constant = True  # type: ignore[attr-defined]


@cache
def _entries() -> dict[str, EntryPoint]:
    # Here: it takes a tenth of the time that NumPy takes to import.
    from importlib.metadata import entry_points  # noqa: PLC0415

    return {entry.name: entry for entry in entry_points(group=GROUP)}


# Cached for AutoGraph's sake, which warns when it meets an import, but leaves a cached function as it is.
@cache
def _load(entry: EntryPoint) -> Backend:
    try:
        backend: Backend = entry.load()
    except Exception as error:
        raise ImportError(f"the xentropy backend {entry.name!r} ({entry.value}) failed to load: {error}") from error
    return backend
