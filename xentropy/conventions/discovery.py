"""Finding the frameworks whose losses can be asked."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, packages_distributions, version

from xentropy.conventions.probe import Framework
from xentropy.parity import discovery
from xentropy.parity.discovery import is_installed

GROUP = "xentropy.conventions"


class UnavailableError(Exception):
    """There is no such framework here; the message says which there are, or what to install."""


class ProbesError(Exception):
    """The probes of an installed framework do not load."""


def registered() -> dict[str, EntryPoint]:
    """Every framework's entry point by name, in the order of the names."""
    return discovery.registered(GROUP)


def states() -> dict[str, str]:
    """Whether each framework can be imported; nothing is imported to find out."""
    return {name: "installed" if is_installed(name) else "not installed" for name in registered()}


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
    framework: Framework = discovery.imported(registered()[name], "probes ({}) do not load", ProbesError)
    missing = [install for module, install in framework.needs.items() if not is_installed(module)]
    if missing:
        needed = " ".join(missing)
        raise UnavailableError(f"{name}: these are the losses of {framework.losses}; pip install {needed}")
    return framework


def versions(framework: Framework) -> dict[str, str]:
    """What the answers depend on, each with its version.

    Raises:
        ProbesError: a module cannot be imported, or has no version.
    """
    return {name: _version(name) for name in framework.modules}


def _version(module: str) -> str:
    try:
        found = getattr(import_module(module), "__version__", None)
        # A package may be installed under another name than the one that it is imported by.
        return str(found or version(packages_distributions().get(module.partition(".")[0], [module])[0]))
    except PackageNotFoundError as error:
        message = f"{module}, named in Framework.modules, has no __version__, and no package of it is installed"
        raise ProbesError(message) from error
    except ImportError as error:
        raise ProbesError(f"{module}, named in Framework.modules, cannot be imported: {error}") from error
