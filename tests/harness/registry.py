"""From the name of a backend to its adapter; nothing is imported before it is asked for."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.util import find_spec

from harness.base import Harness

_ADAPTERS = {
    "numpy": ("numpy", "numpy_arrays"),
    "torch": ("torch", "torch_tensors"),
    "tensorflow": ("tensorflow", "tensorflow_tensors"),
    "jax": ("jax", "jax_arrays"),
    "array-api-strict": ("array_api_strict", "strict_arrays"),
    "dask": ("dask.array", "dask_arrays"),
}
# In the order they have to be imported in: see torch_tensors.
NAMES = tuple(_ADAPTERS)


class UnavailableError(Exception):
    """A backend was asked for and its library doesn't import."""


def importable(name: str) -> bool:
    """Whether the library of a backend is installed: looked up, not imported."""
    return find_spec(_ADAPTERS[name][0].partition(".")[0]) is not None


@cache
def load(name: str) -> Harness:
    """The adapter of a backend.

    Raises:
        UnavailableError: its library fails to import.
    """
    library, module = _ADAPTERS[name]
    try:
        importlib.import_module(library)
    except ImportError as error:
        raise UnavailableError(f"backend {name!r} was requested but {library} does not import: {error}") from error
    harness: Harness = importlib.import_module(f"harness.{module}").HARNESS
    return harness
