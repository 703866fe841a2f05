"""Loss curves: read, compare, draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

# Colours of Okabe and Ito, which stay apart for every kind of colour vision. Where curves coincide, the widths show
# all of them.
STYLES = {"torch": ("#D55E00", 8.0), "keras": ("#009E73", 5.5), "tensorflow": ("#E69F00", 3.0), "jax": ("black", 0.8)}


class Curve(NamedTuple):
    """What one training wrote: its loss at every step in nats, and its accuracy on the held-out digits."""

    framework: str
    losses: np.ndarray
    accuracy: float


def read(directory: Path) -> dict[str, Curve]:
    """The curves that the four scripts wrote into this directory."""
    found = {name: json.loads((directory / f"{name}.json").read_text()) for name in STYLES}
    return {name: Curve(c["framework"], np.array(c["losses"]), c["accuracy"]) for name, c in found.items()}


def distances(curves: dict[str, Curve]) -> np.ndarray:
    """At every step, how far the largest and the smallest loss are apart, relative to the smallest."""
    losses = np.stack([curve.losses for curve in curves.values()])
    return np.ptp(losses, axis=0) / losses.min(axis=0)


def draw(curves: dict[str, Curve], figure_path: Path) -> None:
    """The curves one over the other, and below them their differences. The same curves give the same bytes."""
    plt.rcParams.update({"svg.hashsalt": "xentropy", "font.size": 11, "axes.axisbelow": True})
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(11, 6.5), sharex=True, height_ratios=(2, 1.2), layout="constrained"
    )
    centre = np.mean([curve.losses for curve in curves.values()], axis=0)
    for name, (colour, width) in STYLES.items():
        curve = curves[name]
        above.semilogy(curve.losses, color=colour, linewidth=width, label=curve.framework)
        below.plot((curve.losses / centre - 1) * 1e6, color=colour, linewidth=1.0)
    above.set(
        title="One training in four frameworks, each with xentropy: the losses one over the other",
        ylabel="loss of the batch (nats)",
    )
    below.set(ylabel="difference from their\nmean (millionths of it)", xlabel="step", xlim=(0, len(centre) - 1))
    below.set_title(f"Largest distance between any two: {distances(curves).max():.1e} of the loss", fontsize=11)
    for axes in (above, below):
        axes.grid(color="0.9")
    above.legend(frameon=False)
    figure.savefig(figure_path, facecolor="white", metadata={"Date": None})
    plt.close(figure)
