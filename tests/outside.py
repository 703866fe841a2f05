"""Interpreters and installed distributions other than those of the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path


def run(script: str, *paths: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a script in an interpreter of its own, with directories put before and after everything installed.

    Args:
        script: the source.
        paths: directories of installed distributions, searched first.
        check: whether an exit status other than 0 is a failure.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert not check or result.returncode == 0, result.stderr[-4000:]
    return result


def install(project: Path, target: Path) -> None:
    """Lay a project out as an installer does: its packages, and beside them its metadata with the entry points."""
    configuration = tomllib.loads((project / "pyproject.toml").read_text())
    for package in configuration["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        shutil.copytree(project / package, target / Path(package).name, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = configuration["project"]
    write_metadata(target, metadata["name"], metadata["entry-points"], version=metadata["version"])


def plant(target: Path, name: str, sources: Mapping[str, str], entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """Install a distribution of single modules.

    Args:
        target: the directory to install into.
        name: the distribution's name.
        sources: from the name of each module to its source.
        entry_points: from each group to its entries.
    """
    for module, source in sources.items():
        (target / f"{module}.py").write_text(source)
    write_metadata(target, name, entry_points)


def write_metadata(
    target: Path, name: str, entry_points: Mapping[str, Mapping[str, str]], *, version: str = "1.0"
) -> None:
    """The part of an installed distribution that import machinery reads."""
    directory = target / f"{name}-{version}.dist-info"
    directory.mkdir(parents=True)
    (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{entry} = {value}" for entry, value in entries.items())])
        for group, entries in entry_points.items()
    ]
    (directory / "entry_points.txt").write_text("\n\n".join(groups) + "\n")
