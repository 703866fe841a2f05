"""xentropy is never the reason that a framework is imported, and its core names none."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Harness
from outside import run

import xentropy

CORE = Path(xentropy.__file__).parent
FRAMEWORKS = ("torch", "tensorflow", "jax", "jaxlib", "keras", "cupy", "dask", "optax", "sklearn")
NAMED = re.compile(r"torch|tensorflow|keras|cupy|dask|(?<![a-z])jax", re.IGNORECASE)

# --- what is imported ----------------------------------------------------------------------------------------------

IMPORT = "import xentropy"
USE_WITH_NUMPY = """
import numpy as np
import xentropy

x, y = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], dtype=np.float32), np.array([0, 2])
xentropy.cross_entropy(x, y, label_smoothing=0.1, class_weight=[1.0, 2.0, 3.0], precision="float64")
xentropy.cross_entropy(x, [0, 2], reduction="none")
xentropy.binary_cross_entropy(x, np.ones_like(x))
xentropy.token_statistics(x, y)
xentropy.value_and_grad(xentropy.cross_entropy)(x, y)
try:
    xentropy.cross_entropy([[1.0]], y)
except TypeError:
    pass
"""
ARRAYS = {
    "numpy": "import numpy as np; x, y = np.zeros((2, 3)), np.array([0, 1])",
    "torch": "import torch; x, y = torch.zeros(2, 3), torch.tensor([0, 1])",
    "tensorflow": "import tensorflow as tf; x, y = tf.zeros([2, 3]), tf.constant([0, 1])",
    "jax": "import jax.numpy as jnp; x, y = jnp.zeros((2, 3)), jnp.array([0, 1])",
    "array-api-strict": "import array_api_strict as xp; x, y = xp.zeros((2, 3)), xp.asarray([0, 1])",
    "dask": "import dask.array as da; x, y = da.zeros((2, 3)), da.from_array([0, 1])",
}
USE = """
import xentropy
xentropy.cross_entropy(x, y)
xentropy.cross_entropy(x, [0, 1], class_weight=[1.0, 2.0, 3.0], precision="float64")
xentropy.binary_cross_entropy(x, x)
xentropy.token_statistics(x, y)
xentropy.value_and_grad(xentropy.cross_entropy)(x, y)
"""

STAND_IN = """
def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages with the frameworks' names and a class for every name in them, whether those are installed or not."""
    directory = tmp_path_factory.mktemp("planted")
    for name in FRAMEWORKS:
        (directory / name).mkdir()
        (directory / name / "__init__.py").write_text(STAND_IN)
    return directory


def imported(script: str, planted: Path, *, first: bool = False, after: str = "") -> set[str]:
    """The frameworks that a script imports.

    Args:
        script: the source.
        planted: stand-ins for the frameworks.
        first: whether the stand-ins hide the frameworks themselves.
        after: what comes before the script, and is not to be counted.
    """
    place = f"import sys; sys.path.{'insert(0, ' if first else 'append('}{str(planted)!r})"
    seen = f"{{name for name in {FRAMEWORKS} if name in sys.modules}}"
    report = f"import json; print(json.dumps(sorted({seen} - before)))"
    return set(json.loads(run("\n".join([place, after, f"before = {seen}", script, report])).stdout.splitlines()[-1]))


@pytest.mark.parametrize("first", [True, False], ids=["stand-ins", "installed"])
@pytest.mark.parametrize("script", [IMPORT, USE_WITH_NUMPY], ids=["import", "use"])
def test_numpy_alone_imports_no_framework(script: str, planted: Path, first: bool) -> None:
    assert imported(script, planted, first=first) == set()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_that_test_can_fail(name: str, planted: Path) -> None:
    """A script that does import a framework is caught."""
    assert imported(f"{IMPORT}\nimport importlib; importlib.import_module({name!r})", planted, first=True) == {name}


def test_a_core_that_imports_a_framework_is_caught(planted: Path, tmp_path: Path) -> None:
    """The same test of a copy of the package with one line more."""
    copy = tmp_path / "xentropy"
    copy.mkdir()
    for source in CORE.glob("*.py"):
        (copy / source.name).write_text(source.read_text())
    here = str(tmp_path)
    ours = f"assert xentropy.__file__.startswith({here!r})"
    script = f"sys.path.insert(0, {here!r})\n{USE_WITH_NUMPY}\n{ours}"
    assert imported(script, planted, first=True) == set()
    with (copy / "softmax.py").open("a") as source:
        source.write("\nimport torch\n")
    assert imported(script, planted, first=True) == {"torch"}


def test_each_framework_alone(backend: Harness, planted: Path) -> None:
    """Calling xentropy on arrays of one library imports nothing that the library has not imported by itself."""
    assert imported(USE, planted, after=ARRAYS[backend.name]) == set()


# --- what the sources say ------------------------------------------------------------------------------------------


def names_in(source: str) -> Iterator[tuple[int, str]]:
    """Every identifier and every string of a source, with its line."""
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 1)
        match node:
            case ast.Name(id=text) | ast.Attribute(attr=text) | ast.arg(arg=text) | ast.keyword(arg=str(text)):
                yield line, text
            case ast.FunctionDef(name=text) | ast.AsyncFunctionDef(name=text) | ast.ClassDef(name=text):
                yield line, text
            case ast.Constant(value=str(text)):
                yield line, text
            case ast.Import(names=names):
                yield from ((line, text) for alias in names for text in (alias.name, alias.asname or ""))
            case ast.ImportFrom(module=module, names=names):
                yield line, module or ""
                yield from ((line, text) for alias in names for text in (alias.name, alias.asname or ""))


def frameworks_named(source: str) -> list[tuple[int, str]]:
    return [(line, found[0]) for line, text in names_in(source) if (found := NAMED.search(text))]


CORE_SOURCES = sorted(CORE.glob("*.py"))


@pytest.mark.parametrize("path", CORE_SOURCES, ids=[path.stem for path in CORE_SOURCES])
def test_the_core_names_no_framework(path: Path) -> None:
    assert frameworks_named(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "from jax import numpy",
        "import something as keras",
        "def is_torch(x): ...",
        "class TensorFlowThing: ...",
        "if name == 'cupy': ...",
        "x.dask_key",
        "f(torch=1)",
        "lambda jax: jax",
        '"""Works on PyTorch and torch."""',
        "f'{x} of tensorflow'",
    ],
)
def test_a_named_framework_is_found(source: str) -> None:
    assert frameworks_named(source)


def test_nothing_else_is_taken_for_a_framework() -> None:
    assert frameworks_named("ajax = 'a task of a tensor that flows'  # not even torch in a comment") == []


def imports_of(source: str) -> set[str]:
    """The root modules that a source imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(source)))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in whole | parts}


@pytest.mark.parametrize("path", CORE_SOURCES, ids=[path.stem for path in CORE_SOURCES])
def test_the_core_imports_numpy_and_array_api_compat_alone(path: Path) -> None:
    foreign = imports_of(path.read_text()) - sys.stdlib_module_names
    assert foreign <= {"xentropy", "numpy", "array_api_compat"}


@pytest.mark.parametrize("shim", ["numpy", "torch", "tensorflow", "jax", "dask"])
def test_each_shim_imports_its_own_framework_alone(shim: str) -> None:
    """Looked up where it is installed, without importing it."""
    from importlib.util import find_spec

    found = find_spec(f"xentropy_{shim}")
    assert found is not None
    assert found.origin is not None
    sources = sorted(Path(found.origin).parent.glob("*.py"))
    assert sources
    for path in sources:
        others = imports_of(path.read_text()) & set(FRAMEWORKS) - {shim}
        assert others <= ({"sklearn"} if shim == "numpy" else {"optax"} if shim == "jax" else {"keras"}), path
