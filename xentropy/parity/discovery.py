"""Finding the adapters of the frameworks that are installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from xentropy.parity.adapter import ParityAdapter
from xentropy.parity.array_api import ArrayAPIAdapter, adapter_of

GROUP = "xentropy.parity"
BACKENDS = "xentropy.backends"


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
            if adapter_of(name) is None:
                there = f"there are {', '.join(known) or 'none'}, and every namespace of the Array API by its name"
                raise UnknownBackendError(f"no backend is called {name!r}; {there}")
        elif not is_installed(name):
            raise UnknownBackendError(f"backend {name!r} was asked for, and {name} is not installed")
    return list(dict.fromkeys(requested))


def owner(root: str) -> str | None:
    """The adapter of whose library a root module is one: by its name, or by a backend's of the same package.

    Compiled parts of a library may call themselves by another name than the one that users import it by.
    """
    known = registered()
    packages = {_package(entry): name for name, entry in known.items()}
    backends = [packages.get(_package(entry)) for entry in entry_points(group=BACKENDS, name=root)]
    return root if root in known else next(filter(None, backends), None)


def _package(entry: EntryPoint) -> str:
    return entry.module.partition(".")[0]


def load(name: str) -> ParityAdapter:
    """Import an adapter, and with it its framework; of a library that has none, that of its namespace.

    Raises:
        AdapterError: the import fails.
    """
    if name not in registered():
        generic = adapter_of(name)
        if generic is None:
            raise AdapterError(f"{name} has no adapter, and is no namespace of the Array API")
        return generic
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
    if isinstance(adapter.registered, ArrayAPIAdapter):
        return adapter.registered.name
    for name, entry in registered().items():
        if entry.module in sys.modules and entry.load() is adapter.registered:
            return name
    raise AdapterError(f"{type(adapter).__qualname__} is not registered under {GROUP}")
