"""Runs an example as a newcomer does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script: str, directory: Path, *arguments: str, **environment: str) -> None:
    """Run a script in a process of its own, in this directory, with drawings into files."""
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "agg", **os.environ, **environment}
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *arguments],
        check=False,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
