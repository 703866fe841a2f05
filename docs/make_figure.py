"""Draw the README's picture: relative error against confidence, each framework's own loss and xentropy.

    pip install -e ".[all]" --group peers --group figures && python docs/make_figure.py

Every line is measured here and now, on the installed versions, in this one process.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import optax
import scipy
from matplotlib.axes import Axes

from xentropy.parity import discovery
from xentropy.parity.confidence import LEVELS, Curve, curves, make_case, worst
from xentropy.parity.reference import reference

FIGURE = Path(__file__).parent / "figures" / "error-against-confidence.svg"

# The framework's name, and in brackets the package that its own loss comes from; colours of Okabe and Ito, which stay
# apart for every kind of colour vision; dashes tell the lines apart in grey.
FRAMEWORKS = {
    "torch": ("PyTorch", "", "#D55E00", "-"),
    "tensorflow": ("TensorFlow", "", "#E69F00", "--"),
    "jax": ("JAX", f"optax {optax.__version__}", "#CC79A7", "-."),
    "numpy": ("NumPy", f"SciPy {scipy.__version__}", "#009E73", ":"),
}
OURS = "#0072B2"


def measure() -> list[Curve]:
    """The four frameworks' own losses, then ours."""
    found = curves({name: discovery.load(name) for name in FRAMEWORKS})
    return sorted(map(with_gradient, found), key=lambda curve: not curve.own)


def with_gradient(curve: Curve) -> Curve:
    """SciPy's log_softmax has no derivative: its gradient is softmax - 1, as people write it."""
    if curve.gradient is not None:
        return curve
    case = make_case()
    gradient = scipy.special.softmax(case.logits, axis=-1)[:, 0] - 1
    return replace(curve, gradient=worst(gradient, reference(case).gradient[:, 0]))


def label(curve: Curve) -> str:
    """What the curve is called in the legend."""
    name, package, *_ = FRAMEWORKS[curve.backend]
    if not curve.own:
        return f"xentropy on {name}"
    return f"{name} ({package})" if package else f"{name} {discovery.load(curve.backend).version.partition('+')[0]}"


def draw(axes: Axes, title: str, found: list[Curve], quantity: str) -> None:
    """One panel."""
    for curve in found:
        *_, colour, dashes = FRAMEWORKS[curve.backend]
        colour = colour if curve.own else OURS
        axes.loglog(LEVELS, getattr(curve, quantity), dashes, color=colour, label=label(curve), linewidth=1.8)
    axes.axhline(1.0, color="0.4", linewidth=0.8)
    axes.text(1e-35, 1.4, "error 1: the answer is exactly 0", ha="right", va="bottom", color="0.3", fontsize=9)
    axes.set(xlim=(3.0, 1e-36), ylim=(1e-8, 8.0), title=title, xlabel="exact loss -log p (nats); more confident →")
    axes.grid(color="0.9")


def main() -> None:
    """Measure, draw, save."""
    found = measure()
    # The same drawing from the same numbers: no date, no random ids.
    plt.rcParams.update({"svg.hashsalt": "xentropy", "font.size": 11, "axes.axisbelow": True})
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), sharey=True, layout="constrained")
    draw(left, "Loss", found, "loss")
    draw(right, "Gradient at the label", found, "gradient")
    left.set_ylabel("largest relative error (float32)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(FIGURE, facecolor="white", metadata={"Date": None})
    for curve in found:
        print(f"{label(curve):28}  loss {curve.loss.max():9.2e}  gradient {curve.gradient.max():9.2e}")


if __name__ == "__main__":
    main()
