"""Finding the adapters of the frameworks that are installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from xentropy.parity.adapter import ParityAdapter

GROUP = "xentropy.parity"


class AdapterError(Exception):
    """An adapter of an installed framework does not load."""


class UnknownBackendError(Exception):
    """A backend was asked for that is not registered, or whose framework is not installed."""


def registered(group: str = GROUP) -> dict[str, EntryPoint]:
    """Every entry point of a group by name, in the order of the names."""
    found = {entry.name: entry for entry in entry_points(group=group)}
    return dict(sorted(found.items()))


def is_installed(name: str) -> bool:
    """Whether the framework can be imported by this name; nothing is imported to find out."""
    return find_spec(name) is not None


def select(requested: Sequence[str] | None) -> list[str]:
    """The names of the backends to run: those requested, or every installed one.

    Raises:
        UnknownBackendError: a requested backend is not there.
    """
    known = registered()
    if requested is None:
        return [name for name in known if is_installed(name)]
    for name in requested:
        if name not in known:
            raise UnknownBackendError(f"no backend is called {name!r}; there are {', '.join(known) or 'none'}")
        if not is_installed(name):
            raise UnknownBackendError(f"backend {name!r} was asked for, and {name} is not installed")
    return list(dict.fromkeys(requested))


def load(name: str) -> ParityAdapter:
    """Import an adapter, and with it its framework.

    Raises:
        AdapterError: the import fails.
    """
    adapter: ParityAdapter = imported(registered()[name], "adapter ({}) does not load", AdapterError)
    return adapter


def imported(entry: EntryPoint, failure: str, kind: type[Exception]) -> Any:
    """Import what an entry point names.

    Args:
        entry: an entry point by the name of a framework.
        failure: what is said where the import fails, ``{}`` being what the entry point names.
        kind: the error that says it.
    """
    try:
        return entry.load()
    except Exception as error:
        message = f"{entry.name} is installed, but its {failure.format(entry.value)}"
        raise kind(f"{message}: {type(error).__name__}: {error}") from error


def name_of(adapter: ParityAdapter) -> str:
    """The name that an adapter is registered by; nothing is imported to find out.

    Raises:
        AdapterError: it is registered by none.
    """
    for name, entry in registered().items():
        if entry.module in sys.modules and entry.load() is adapter.registered:
            return name
    raise AdapterError(f"{type(adapter).__qualname__} is not registered under {GROUP}")
