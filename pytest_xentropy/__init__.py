"""The pytest plugin: the fixture ``parity``, its marker, a section in the report, properties in JUnit's file.

pytest imports this in every run of an environment that xentropy is installed in, so it imports nothing but pytest: a
run that asks for no parity pays for none.
"""

from __future__ import annotations

from pytest_xentropy.fixture import Parity, parity
from pytest_xentropy.marker import pytest_addoption, pytest_collection_modifyitems, pytest_configure
from pytest_xentropy.summary import pytest_terminal_summary

__all__ = [
    "Parity",
    "parity",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_terminal_summary",
]
