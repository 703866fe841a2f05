"""A backend that was asked for is really there, and really used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from harness import NAMES, Harness, Subject

import xentropy
from xentropy import registry

ENTRY_POINTS = {"array-api-strict": "array-api"}
TESTS = Path(__file__).parent


def test_every_requested_backend_is_under_test(pytestconfig: pytest.Config, requested: tuple[Harness, ...]) -> None:
    asked = {name.strip() for name in pytestconfig.getoption("--backends").split(",")} - {""}
    assert requested
    assert not asked or {backend.name for backend in requested} == asked


def test_backend_is_used(subject: Subject) -> None:
    """Arrays of the library go to its own backend and come back as arrays of the library."""
    logits = subject.harness.asarray(np.array([[1.0, 2.0], [0.5, 0.0]], dtype=np.float32))
    labels = subject.harness.asarray(np.array([0, 1]))
    assert isinstance(logits, subject.harness.array_type)
    assert registry.resolve(logits).name == ENTRY_POINTS.get(subject.harness.name, subject.harness.name)
    result = subject.run(xentropy.cross_entropy, {"logits": logits, "targets": labels}, reduction="none")
    assert isinstance(result, subject.harness.array_type)
    np.testing.assert_allclose(subject.harness.to_numpy(result), [1.3132617, 0.974077], rtol=1e-6)


def pytest_in_process(*arguments: str, without: str = "") -> subprocess.CompletedProcess[str]:
    hide = f"import sys; sys.modules[{without!r}] = None; " if without else "import sys; "
    code = hide + f"import pytest; sys.exit(pytest.main({['--collect-only', '-q', *arguments, __file__]!r}))"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=TESTS.parent, timeout=120, check=False
    )


def test_backend_that_does_not_import_fails_the_run() -> None:
    result = pytest_in_process("--backends=numpy,dask", without="dask")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "'dask' was requested" in result.stderr


def test_unknown_backend_fails_the_run() -> None:
    result = pytest_in_process("--backends=numpy,abacus")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "abacus" in result.stderr
    assert all(name in result.stderr for name in NAMES)


def test_requested_backends_are_collected() -> None:
    """The two tests above can fail: the same run with NumPy alone goes through."""
    result = pytest_in_process("--backends=numpy")
    assert result.returncode == pytest.ExitCode.OK, result.stderr
    assert "test_backend_is_used[numpy-eager]" in result.stdout
    assert "jax" not in result.stdout
