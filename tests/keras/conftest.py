"""Keras's drop-ins, on the one backend that KERAS_BACKEND names; without it, nothing here is collected."""

from __future__ import annotations

import os
from importlib.metadata import packages_distributions

import pytest

if os.environ.get("KERAS_BACKEND") and "keras" not in packages_distributions():
    raise pytest.UsageError("KERAS_BACKEND is set, but Keras is not installed: pip install -e '.[keras]'")

collect_ignore_glob = [] if os.environ.get("KERAS_BACKEND") else ["test_*.py"]

KERAS_ITSELF = (
    # Its torch backend's way to NumPy, its JAX backend's way to shapes.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:Explicitly requested dtype int64:UserWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings that Keras raises by itself are none of ours."""
    for item in items:
        if "/keras/" in item.path.as_posix():
            for warning in KERAS_ITSELF:
                item.add_marker(pytest.mark.filterwarnings(warning))
