"""From the type of an array to its backend: lazy, cached, and never the reason that a framework is imported."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import array_api_compat

from xentropy.backend import ArrayAPIBackend, Backend

GROUP = "xentropy.backends"

_default = ArrayAPIBackend()
_by_type: dict[type, Backend] = {}


def resolve(array: Any, argument: str = "logits") -> Backend:
    """The backend that serves an array.

    Args:
        array: the array.
        argument: its name, for the error.

    Raises:
        TypeError: no backend is registered for the type, and it doesn't speak the Array API.
        ImportError: the backend registered for the type fails to load.
    """
    backend = _by_type.get(type(array))
    if backend is None:
        backend = _find(array, argument)
        _by_type[type(array)] = backend
    return backend


def _find(array: Any, argument: str) -> Backend:
    for cls in type(array).__mro__:
        entry = _entries().get(cls.__module__.partition(".")[0])
        if entry is not None:
            return _load(entry)
    if array_api_compat.is_array_api_obj(array):
        return _default
    raise TypeError(
        f"{argument} must be an array of a library that speaks the Array API or has an entry point in "
        f"{GROUP!r}, got {type(array).__name__}"
    )


@cache
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _load(entry: EntryPoint) -> Backend:
    try:
        backend: Backend = entry.load()
    except Exception as error:
        raise ImportError(f"the xentropy backend {entry.name!r} ({entry.value}) failed to load: {error}") from error
    return backend
