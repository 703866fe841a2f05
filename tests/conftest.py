"""Which backends are under test, and the parameters that repeat a test for each of them.

A test asks by the names of its arguments:

- ``backend``: every backend; ``differentiating``, ``plain``, ``vmap``, ``strided``, ``spreading``: those that have
  autodiff, that have none, that map over a batch, that have arrays with strides of their own beside NumPy, that have
  groups which classes can be spread over;
- ``subject``: every backend in every mode (torch.compile takes seconds a test, so only where marked ``compiled``);
- ``spreading`` and ``parts``: those with groups, and every number of parts;
- ``eager``: every backend in eager mode, where compiling would show nothing new;
- ``subject`` and ``case``: with every case of the table; ``case`` alone: the table;
- ``subject`` and ``width``, or ``half``: with every dtype of floats, or of half-precision floats, that it has;
- ``all_subjects``: all of them at once, and NumPy if it is not among them, to be compared with each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

# Before TensorFlow is imported: its start-up notes are not ours to judge.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import harness
import pytest
from cases import Case
from engines import ENGINES, EVEN, PARTS
from harness import Harness, Subject
from hypothesis import HealthCheck, settings

settings.register_profile(
    "tests", derandomize=True, deadline=None, max_examples=25, suppress_health_check=list(HealthCheck), database=None
)
settings.load_profile("tests")

ENVIRONMENT = "XENTROPY_TEST_BACKENDS"
REQUESTED = pytest.StashKey[tuple[Harness, ...]]()

BACKENDS = {
    "backend": lambda backend: True,
    "differentiating": lambda backend: backend.autodiff,
    "plain": lambda backend: not backend.autodiff,
    "vmap": lambda backend: backend.vmap is not None,
    "strided": lambda backend: backend.strided,
    "spreading": lambda backend: backend.name in ENGINES,
}
WIDTHS = {
    "width": ("float16", "bfloat16", "float32", "float64"),
    "half": ("float16", "bfloat16"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backends",
        default=os.environ.get(ENVIRONMENT, ""),
        help=f"comma-separated backends to test, of {', '.join(harness.NAMES)}; one that doesn't import fails the "
        f"run (default: ${ENVIRONMENT}, else all that are installed)",
    )
    parser.addoption(
        "--modes",
        default="",
        help="comma-separated modes to repeat the tests in, of eager, jit, xla and compile (default: all); tests of "
        "one mode by name run in any case",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "compiled: also repeated under torch.compile")
    config.addinivalue_line("markers", "soft_gradient: only where soft targets have a gradient")
    names = [name.strip() for name in config.getoption("--backends").split(",") if name.strip()]
    if not names:
        names = [name for name in harness.NAMES if harness.importable(name)]
    unknown = [name for name in names if name not in harness.NAMES]
    if unknown:
        raise pytest.UsageError(f"--backends: no backend {', '.join(unknown)}; choose from {', '.join(harness.NAMES)}")
    try:
        config.stash[REQUESTED] = tuple(harness.load(name) for name in harness.NAMES if name in names)
    except harness.UnavailableError as error:
        raise pytest.UsageError(str(error)) from error
    if modes := config.getoption("--modes"):
        for backend in config.stash[REQUESTED]:
            backend.modes = tuple(mode for mode in backend.modes if mode in modes.split(","))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file named after a backend (test_..._torch.py) is about that one alone: collected where it is under test."""
    about = {name for name in harness.NAMES if collection_path.stem.endswith("_" + name.replace("-", "_"))}
    return True if about - {backend.name for backend in config.stash[REQUESTED]} else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    requested = metafunc.config.stash[REQUESTED]
    names = metafunc.fixturenames
    if {"spreading", "parts"} <= set(names):
        spread = [backend for backend in requested if BACKENDS["spreading"](backend)]
        pairs = [(backend, parts) for backend in spread for parts in EVEN.get(backend.name, PARTS)]
        ids = [f"{backend.name}-{parts}parts" for backend, parts in pairs]
        metafunc.parametrize(("spreading", "parts"), pairs, ids=ids)
        return
    for name in BACKENDS.keys() & set(names):
        chosen = [backend for backend in requested if BACKENDS[name](backend)]
        metafunc.parametrize(name, chosen, ids=[backend.name for backend in chosen])
    if "eager" in names:
        metafunc.parametrize(
            "eager", [Subject(backend, "eager") for backend in requested], ids=lambda s: s.harness.name
        )
    if "subject" not in names:
        if "case" in names:
            metafunc.parametrize("case", list(Case), ids=[case.id for case in Case])
        return
    marked = {marker.name for marker in metafunc.definition.iter_markers()}
    chosen = list(subjects(requested, compiled="compiled" in marked or "case" in names))
    if "soft_gradient" in marked:
        chosen = [subject for subject in chosen if subject.harness.autodiff]
    if "case" in names:
        with_targets = "soft_gradient" in marked
        pairs = [(s, c) for s in chosen for c in Case if runs(s, c) and (c.value.soft or not with_targets)]
        # By module: what is asked of one case follows on each other, in one worker, which compiles it once.
        ids = [f"{s.id}-{case.id}" for s, case in pairs]
        metafunc.parametrize(("subject", "case"), pairs, ids=ids, scope="module")
    elif width := next(iter(WIDTHS.keys() & set(names)), ""):
        widths = [(s, dtype) for s in chosen for dtype in WIDTHS[width] if dtype in s.harness.floats]
        metafunc.parametrize(("subject", width), widths, ids=[f"{s.id}-{dtype}" for s, dtype in widths])
    else:
        metafunc.parametrize("subject", chosen, ids=[subject.id for subject in chosen])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that the backends under test leave nothing to do for are reported as deselected, not as skipped."""
    alone = [backend.name for backend in config.stash[REQUESTED]] == ["numpy"]
    pointless = [
        item
        for item in items
        if (alone and "all_subjects" in getattr(item, "fixturenames", ())) or "NOTSET" in item.name
    ]
    config.hook.pytest_deselected(items=pointless)
    items[:] = [item for item in items if item not in set(pointless)]


def pytest_runtest_teardown(item: pytest.Item) -> None:
    for backend in item.config.stash[REQUESTED]:
        backend.tidy()


def subjects(requested: Iterable[Harness], *, compiled: bool) -> Iterator[Subject]:
    """Every backend in every mode, torch.compile only where it is asked for."""
    for backend in requested:
        for mode in backend.modes:
            if mode != "compile" or compiled:
                yield Subject(backend, mode)


def runs(subject: Subject, case: Case) -> bool:
    """Whether a case is run on a subject: everywhere, but for torch.compile."""
    return subject.mode != "compile" or case.value.compiled


@pytest.fixture(scope="session")
def requested(pytestconfig: pytest.Config) -> tuple[Harness, ...]:
    """All backends under test."""
    return pytestconfig.stash[REQUESTED]


@pytest.fixture(scope="session")
def all_subjects(requested: tuple[Harness, ...]) -> tuple[Subject, ...]:
    """All backends under test in all their modes, beside NumPy, which every user has."""
    together = dict.fromkeys((harness.load("numpy"), *requested))
    return tuple(subjects(together, compiled=True))
