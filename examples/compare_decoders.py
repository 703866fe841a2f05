"""Train the decoders with the dense and with the linear loss, check that their losses coincide, and print the memory.

    python examples/compare_decoders.py [--batch 32] [--steps 4]

Each training runs in a process of its own, one after the other: memory is a process's, and time is shared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import decoder
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

EXAMPLES = Path(__file__).parent
NAMES, LOSSES = ("torch", "keras", "jax"), ("dense", "linear")
# Twice what was measured. The losses round differently, in the seventh digit; so do gradients, and then the weights.
BOUND = 1e-5

Found = dict[str, dict[str, dict]]


def train(name: str, loss: str, batch: int, steps: int) -> dict:
    """Run one script; what it wrote."""
    script = [EXAMPLES / f"decoder_{name}.py", f"--loss={loss}", f"--batch={batch}", f"--steps={steps}"]
    subprocess.run([sys.executable, *script], check=True, env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ})
    return json.loads((decoder.RUNS / f"decoder_{name}_{loss}.json").read_text())


def table(found: Found) -> Table:
    """Losses, memory and time of all trainings."""
    shown = Table("", "losses", "peak memory, MB", "dense / linear", "s a step")
    for name, both in found.items():
        for loss, run in both.items():
            ratio = f"{both['dense']['bytes'] / run['bytes']:.1f}" if loss == "linear" else ""
            losses = " ".join(f"{value:.5f}" for value in run["losses"])
            shown.add_row(f"{name}, {loss}", losses, f"{run['bytes'] / 1e6:.0f}", ratio, f"{run['seconds']:.2f}")
    return shown


def distance(found: Found) -> float:
    """How far the losses of any two trainings are apart at any step, relative to the smaller."""
    losses = np.array([run["losses"] for both in found.values() for run in both.values()])
    return float((np.ptp(losses, axis=0) / losses.min(axis=0)).max())


def main(batch: int = decoder.BATCH, steps: int = decoder.STEPS) -> None:
    """Train in PyTorch, Keras and JAX; compare; print."""
    found = {name: {loss: train(name, loss, batch, steps) for loss in LOSSES} for name in NAMES}
    Console().print(table(found))
    apart = distance(found)
    print(f"largest distance between any two: {apart:.1e} of the loss")
    if not apart <= BOUND:
        raise SystemExit(f"the losses are further apart than {BOUND:.0e}")


if __name__ == "__main__":
    typer.run(main)
