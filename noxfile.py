"""Every check of the project, one session each: ``nox -s tests-numpy`` runs one, ``nox`` runs them all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv"

PYPROJECT = nox.project.load_toml("pyproject.toml")
OLDEST, *_, NEWEST = nox.project.python_versions(PYPROJECT)
BACKENDS = list(PYPROJECT["project"]["entry-points"]["xentropy.parity"])
KERAS = BACKENDS[1:]
ARRAY_API = ["array-api-strict", "dask"]
FRAMEWORKS = [name for name in PYPROJECT["project"]["entry-points"]["xentropy.backends"] if name != "numpy"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")  # as in tests/page/conftest.py
EVERYTHING = f".[{','.join([*BACKENDS[1:], 'keras', 'parity'])}]"
BASELINE = "tests/parity-baseline.json"
# What tells whether backends agree, and what tells whether the versions at hand do what the shims ask of them; the
# sessions of the single backends run it all. `nox -s oldest -- -k ""` does so for the oldest versions.
TOGETHER = "agree or everywhere or examples or isolation or registry"
VERSIONS = "examples or requested or precision or value_and_grad or cold_start or (conventions and ours) or sound"

SMOKE = """
import importlib.util

import numpy as np
import xentropy

logits = np.log(np.asarray([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]], dtype=np.float32))
loss = xentropy.cross_entropy(logits, np.asarray([0, 1]), reduction="none")
assert np.allclose(loss, [0.2231, 0.3567], atol=1e-4), loss
for framework in ("numpy", "torch", "tensorflow", "jax", "keras", "dask"):
    assert importlib.util.find_spec(f"xentropy_{framework}"), framework
"""

if pyenv := shutil.which("pyenv"):
    # pyenv's shims refuse every version that is not selected, so select all that are installed.
    bare = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True, check=True).stdout
    os.environ.setdefault("PYENV_VERSION", ":".join(bare.split()))


def install(session: nox.Session, project: str, *groups: str, oldest: bool = False) -> None:
    """The project, editable, with these extras and dependency groups."""
    resolution = ["--resolution=lowest-direct"] if oldest else []
    session.install(*resolution, "-e", project, *nox.project.dependency_groups(PYPROJECT, *groups))


def pytest(
    session: nox.Session, backends: str, *paths: str, only: str = "", part: bool = False, **environment: str
) -> None:
    """The tests on these backends; a requested one that doesn't load fails the run, and so does none, but in a part."""
    parallel = ["--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal"]
    fine = [0, 5] if part and session.posargs else [0]
    arguments = [*paths, f"--backends={backends}", "-k", only, *parallel, *session.posargs]
    session.run("pytest", *arguments, env=environment, success_codes=fine)


@nox.session(name="tests-numpy")
def tests_numpy(session: nox.Session) -> None:
    """NumPy alone, what every user has."""
    install(session, ".[parity]", "test", "scikit-learn")
    pytest(session, "numpy")


@nox.session(name="tests-torch")
def tests_torch(session: nox.Session) -> None:
    """PyTorch without any other framework."""
    install(session, ".[torch,parity]", "test")
    pytest(session, "torch")


@nox.session(name="tests-tensorflow")
def tests_tensorflow(session: nox.Session) -> None:
    """TensorFlow without any other framework."""
    install(session, ".[tensorflow,parity]", "test")
    pytest(session, "tensorflow")


@nox.session(name="tests-jax")
def tests_jax(session: nox.Session) -> None:
    """JAX without any other framework."""
    install(session, ".[jax,parity]", "test", "optax")
    pytest(session, "jax")


@nox.session(name="tests-array-api")
def tests_array_api(session: nox.Session) -> None:
    """The default backend: the strictest Array API library there is, and a lazy one."""
    install(session, ".[parity]", "test", "array-api")
    pytest(session, ",".join(ARRAY_API))


@nox.session(name="tests-keras")
def tests_keras(session: nox.Session) -> None:
    """The Keras losses on each framework that Keras runs on."""
    install(session, ".[torch,tensorflow,jax,keras,parity]", "test")
    for engine in KERAS:
        pytest(session, engine, "tests/keras", KERAS_BACKEND=engine)


@nox.session
def peers(session: nox.Session) -> None:
    """The frameworks' own tests, run on ours; what must differ is listed in the tests."""
    install(session, ".[torch,tensorflow,jax,keras,parity]", "test", "peers")
    # A process each: some of these tests set up their framework for all that follows.
    for path in sorted(Path("tests/peers").glob("test_*.py")):
        for engine in KERAS if path.stem == "test_keras" else ["tensorflow"]:
            pytest(session, "numpy", str(path), part=True, KERAS_BACKEND=engine)


@nox.session
def examples(session: nox.Session) -> None:
    """Four frameworks train the same network to the same curve, and a language model trains unchanged."""
    install(session, ".[torch,tensorflow,jax,keras]", "test", "examples")
    # One process: the trainings that the tests look at are run once.
    session.run("pytest", "tests/examples", "--backends=numpy", *session.posargs)


@nox.session
def parity(session: nox.Session) -> None:
    """All frameworks in one process: the tests that compare them, and the command, as in examples/ci."""
    install(session, EVERYTHING, "test", "optax", "scikit-learn")
    pytest(session, ",".join(BACKENDS), "--junit-xml=parity.xml", only=TOGETHER)
    session.run("xentropy", "parity", f"--compare={BASELINE}", "--html=parity.html")


@nox.session(default=False)
def baseline(session: nox.Session) -> None:
    """What moved since the baseline was saved, and the new one to commit."""
    install(session, EVERYTHING, "optax")
    session.run("xentropy", "parity", f"--compare={BASELINE}", f"--save={BASELINE}", success_codes=[0, 1])


@nox.session
def recipe(session: nox.Session) -> None:
    """The recipe for CI in examples/ci, in a place of its own, with this tree as the xentropy that it installs."""
    session.install("nox[uv]")
    with tempfile.TemporaryDirectory() as directory:
        shutil.copytree("examples/ci", directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".nox"))
        # Not the tree itself: uv would take what it built of it before, whatever has changed since.
        session.run("uv", "build", "--wheel", "--out-dir", directory)
        (built,) = Path(directory).glob("*.whl")
        with session.chdir(directory):
            session.run("nox", "-s", "parity", env={"XENTROPY_SOURCE": f"{built}[parity]"})


@nox.session
def page(session: nox.Session) -> None:
    """The page of the parity report, in the Chromium that is installed: playwright's own is not downloaded."""
    if not any(map(shutil.which, BROWSERS)):
        # Who tests a change without a browser is told so; where all is to be checked, that is a fault.
        stop = session.error if os.environ.get("CI") else session.skip
        stop(f"the page is not tested: none of {', '.join(BROWSERS)} is installed")
    install(session, ".[parity]", "test", "page")
    session.run("pytest", "tests/page", "--backends=numpy", *session.posargs)


@nox.session(python=NEWEST)
def newest(session: nox.Session) -> None:
    """The newest Python and the newest frameworks."""
    install(session, EVERYTHING, "test", "array-api", "optax", "scikit-learn")
    pytest(session, ",".join([*BACKENDS, *ARRAY_API]), only=VERSIONS)


@nox.session(python=OLDEST)
def oldest(session: nox.Session) -> None:
    """The oldest Python and the lower bound of every dependency."""
    install(session, EVERYTHING, "test", "array-api", "optax", "scikit-learn", oldest=True)
    session.install("setuptools")  # PyTorch 2.9's compiler imports it, and declares so from Python 3.12 on
    pytest(session, ",".join([*BACKENDS, *ARRAY_API]), only=VERSIONS)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format, and a core that names no framework."""
    install(session, ".", "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    named = re.compile(rf"\b({'|'.join(FRAMEWORKS)})\b", re.IGNORECASE)
    for path in sorted(Path("xentropy").rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if found := named.search(line):
                session.error(f"{path}:{number}: the core names no framework, and here is {found[0]!r}")


@nox.session
def types(session: nox.Session) -> None:
    """The annotations, strictly: ours, and what a user of the drop-ins sees of them."""
    install(session, ".[torch,tensorflow,jax,keras,parity]", "types")
    session.run("mypy")
    # Without our configuration, which leaves the frameworks' own annotations out.
    session.run("mypy", "--config-file=", "--strict", "--ignore-missing-imports", "tests/typed")


@nox.session
def docs(session: nox.Session) -> None:
    """The API reference, warnings being errors, and every example in it, in the README and in the docstrings."""
    install(session, EVERYTHING, "test", "array-api", "optax", "scikit-learn", "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")
    session.run("pytest", "docs", *session.posargs)
    session.run("pytest", "--doctest-modules", "xentropy", "backends", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time and memory beside the frameworks' own losses: an hour or so on a machine that does nothing else."""
    install(session, EVERYTHING, "benchmarks")
    session.run("python", "-m", "benchmarks", "run", *session.posargs)
    session.run("python", "-m", "benchmarks", "linear")


@nox.session
def wheel(session: nox.Session) -> None:
    """A wheel, installed in an environment outside the tree, works there and is typed."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "types"))
    with tempfile.TemporaryDirectory() as directory:
        outside = Path(directory)
        session.run("uv", "build", "--wheel", "--out-dir", directory)
        session.run("uv", "venv", f"{outside / 'env'}", f"--python={session.virtualenv.interpreter or OLDEST}")
        python = outside / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
        (built,) = outside.glob("*.whl")
        session.run("uv", "pip", "install", f"--python={python}", f"{built}[parity]")
        (outside / "smoke.py").write_text(SMOKE)
        with session.chdir(outside):
            session.run(f"{python}", "smoke.py", external=True)
            session.run(f"{python}", "-m", "xentropy", "parity", "--backends=numpy", "--html=page.html", external=True)
            session.run("mypy", "--strict", f"--python-executable={python}", "smoke.py")
