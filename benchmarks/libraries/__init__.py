"""One module a library, each with ``PACKAGES``, ``MODES`` and ``contenders()``."""

from __future__ import annotations

from importlib.util import find_spec

# What each library's comparison needs.
NEEDS = {"torch": "torch", "jax": "optax", "tensorflow": "tensorflow", "numpy": "scipy"}


def installed() -> list[str]:
    """The libraries that can be compared here."""
    return [name for name, package in NEEDS.items() if find_spec(package)]
