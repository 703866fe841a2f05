"""From an array's type to its backend: who is asked, how often, and what is said where there is none."""

from __future__ import annotations

import importlib.metadata
import subprocess
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from outside import plant, run

import xentropy
from xentropy import registry

GROUP = "xentropy.backends"


class OwnArray(np.ndarray[Any, Any]):
    """A subclass in a module of its own: NumPy's backend, by the class it comes from."""


class Standard:
    """Speaks the Array API, through a namespace of NumPy's, and no distribution knows it."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.shape, self.dtype = values.shape, values.dtype

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return np


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 3)), np.float32(1.0), np.zeros(3).view(OwnArray)],
    ids=lambda x: type(x).__name__,
)
def test_numpy_arrays_scalars_and_subclasses(array: Any) -> None:
    assert registry.resolve(array).name == "numpy"


def test_whatever_speaks_the_array_api_has_the_default() -> None:
    assert registry.resolve(Standard(np.zeros(3))).name == "array-api"


def test_entry_points_are_those_of_the_project() -> None:
    """The installed metadata is up to date with what the tree says."""
    pyproject = Path(__file__).parent.parent / "pyproject.toml"
    declared = tomllib.loads(pyproject.read_text())["project"]["entry-points"][GROUP]
    installed = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    assert {"numpy", "torch", "tensorflow", "jax", "jaxlib", "dask"} == set(declared)
    assert declared.items() <= installed.items()


@pytest.mark.parametrize("value", [object(), "logits", [1.0], 1.0, None, {}, range(3)], ids=lambda x: type(x).__name__)
def test_unknown_types_are_named(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"logits must be .*{GROUP}.*{type(value).__name__}"):
        registry.resolve(value)
    with pytest.raises(TypeError, match=rf"logits must be .*{GROUP}.*{type(value).__name__}"):
        xentropy.cross_entropy(value, [0])


@pytest.mark.parametrize("value", [object(), "labels", None, {}], ids=lambda x: type(x).__name__)
def test_arguments_are_named(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^targets must be .*{type(value).__name__}"):
        xentropy.cross_entropy(np.zeros((2, 3)), value)
    if value is not None:
        with pytest.raises(TypeError, match=rf"^sample_weight must be .*{type(value).__name__}"):
            xentropy.cross_entropy(np.zeros((2, 3)), [0, 1], sample_weight=value)


def test_metadata_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second array of the same type, and a first one of another, cost no search."""
    first = registry.resolve(np.zeros(2))

    def searched(**_: Any) -> Any:
        raise AssertionError("searched again")

    monkeypatch.setattr(importlib.metadata, "entry_points", searched)
    assert registry.resolve(np.zeros(3)) is first

    class Another(np.ndarray[Any, Any]):
        pass

    assert registry.resolve(np.zeros(3).view(Another)) is first


# --- backends that don't load --------------------------------------------------------------------------------------

ARRAY = "class Array:\n    shape, dtype = (1, 2), 'float32'\n"
TWICE = """
import broken, xentropy

for attempt in range(2):
    try:
        xentropy.cross_entropy(broken.Array(), [0])
    except ImportError as error:
        print(error)
        print(type(error.__cause__).__name__, error.__cause__)
"""


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("raise RuntimeError('no such device')", "RuntimeError no such device"),
        ("import a_module_that_is_not_there", "ModuleNotFoundError No module named 'a_module_that_is_not_there'"),
        ("other = 1", "AttributeError module 'broken_backend' has no attribute 'backend'"),
        ("def (", "SyntaxError"),
    ],
    ids=["raises", "missing module", "missing object", "syntax"],
)
def test_a_backend_that_fails_to_load_says_so(tmp_path: Path, source: str, cause: str) -> None:
    """With its name, its place and the reason; a second time too, rather than as an unknown type."""
    entries = {GROUP: {"broken": "broken_backend:backend"}}
    plant(tmp_path, "broken", {"broken": ARRAY, "broken_backend": source}, entries)
    message, reason, *again = run(TWICE, tmp_path).stdout.splitlines()
    assert "'broken' (broken_backend:backend)" in message
    assert cause.partition(" ")[2] in message
    assert reason.startswith(cause)
    assert again[0].partition(" at 0x")[0] == message.partition(" at 0x")[0]


def test_a_broken_backend_is_nobody_elses_problem(tmp_path: Path) -> None:
    entries = {GROUP: {"broken": "broken_backend:backend"}}
    plant(tmp_path, "broken", {"broken": ARRAY, "broken_backend": "raise RuntimeError"}, entries)
    script = "import broken, numpy, xentropy; print(xentropy.cross_entropy(numpy.zeros((1, 4)), [0]))"
    result: subprocess.CompletedProcess[str] = run(script, tmp_path)
    assert float(result.stdout) == pytest.approx(np.log(4.0))
