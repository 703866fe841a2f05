"""Finding the frameworks whose losses can be asked."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

from xentropy.conventions.probe import Framework

GROUP = "xentropy.conventions"


class UnavailableError(Exception):
    """There is no such framework here; the message says which there are, or what to install."""


class ProbesError(Exception):
    """The probes of an installed framework do not load."""


def registered() -> dict[str, EntryPoint]:
    """Every framework's entry point by name, in the order of the names."""
    return dict(sorted((entry.name, entry) for entry in entry_points(group=GROUP)))


def states() -> dict[str, str]:
    """Whether each framework can be imported; nothing is imported to find out."""
    return {name: "installed" if find_spec(name) else "not installed" for name in registered()}


def load(name: str | None) -> Framework:
    """Import a framework with its probes.

    Raises:
        UnavailableError: no name, an unknown one, or something is not installed.
        ProbesError: the import fails.
    """
    known = states()
    there = ", ".join(f"{one} ({state})" for one, state in known.items()) or "none"
    if name is None or name not in known:
        wrong = "name a framework" if name is None else f"no framework is called {name!r}"
        raise UnavailableError(f"{wrong}; there are {there}")
    if known[name] != "installed":
        raise UnavailableError(f"{name} is not installed; there are {there}")
    entry = registered()[name]
    try:
        framework: Framework = entry.load()
    except Exception as error:
        message = f"{name} is installed, but its probes ({entry.value}) do not load: "
        raise ProbesError(f"{message}{type(error).__name__}: {error}") from error
    missing = [install for module, install in framework.needs.items() if find_spec(module) is None]
    if missing:
        needed = " ".join(missing)
        raise UnavailableError(f"{name}: these are the losses of {framework.losses}, so install {needed} beside it")
    return framework


def versions(framework: Framework) -> dict[str, str]:
    """What the answers depend on, each with its version."""
    return {name: str(import_module(name).__version__) for name in framework.modules}
