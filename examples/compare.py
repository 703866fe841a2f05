"""Run the four trainings, check that their loss curves coincide, and draw them one over the other.

    python examples/compare.py [--figure docs/figures/training-curves.svg]

Each training runs in a process of its own: frameworks that share one disagree about threads and memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import curves
import typer
from digits import RUNS

EXAMPLES = Path(__file__).parent
# Ten times what was measured. The frameworks add up their matrix products in different orders, so that logits differ by
# some 1e-6, a loss by about as much relative to itself, and the next step starts from there.
BOUND = 1e-5


def train(name: str) -> None:
    """Run one script."""
    script = EXAMPLES / f"digits_{name}.py"
    subprocess.run([sys.executable, script], check=True, env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ})


def main(
    figure: Annotated[Path, typer.Option(help="where to draw the curves, as SVG")] = RUNS / "training-curves.svg",
) -> None:
    """Train in PyTorch, Keras, TensorFlow and JAX; compare; draw."""
    with ThreadPoolExecutor(max_workers=2) as two_at_a_time:
        list(two_at_a_time.map(train, curves.STYLES))
    found = curves.read(RUNS)
    distances = curves.distances(found)
    worst = int(distances.argmax())
    print(f"largest distance between any two: {distances[worst]:.2e} of the loss, at step {worst} of {len(distances)}")
    curves.draw(found, figure)
    if not distances[worst] <= BOUND:
        raise SystemExit(f"the curves are further apart than {BOUND:.0e} of the loss")


if __name__ == "__main__":
    typer.run(main)
