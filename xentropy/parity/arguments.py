"""The options of ``xentropy parity`` that are about a loss of the caller's, as the command line declares them."""

from __future__ import annotations

from typing import Annotated

import typer

PANEL = "Of LOSS"


def _option(text: str, *names: str, **more: object) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(*names, help=text, rich_help_panel=PANEL, **more)  # type: ignore[arg-type]
    return option


LossName = Annotated[
    str | None,
    typer.Argument(
        metavar="LOSS",
        help="A loss of your own, as package.module:function, called with logits and targets: in the report it stands "
        "for its framework's own, and is held against --against.",
    ),
]
Against = Annotated[
    str, _option("exact, xentropy, a framework's name for its own loss, or another package.module:function.")
]
Arrays = Annotated[str | None, _option("Whose arrays LOSS takes, where its annotations don't say it.", metavar="NAME")]
AgainstArrays = Annotated[str | None, _option("The same of the other.", metavar="NAME")]
TargetsFirst = Annotated[bool, _option("LOSS is called with targets and logits.", "--targets-first")]
Reduction = Annotated[str, _option("What the losses return: none, sum or mean.")]
Targets = Annotated[str, _option("What the losses take: indices, probabilities or binary.")]
Probabilities = Annotated[bool, _option("They take probabilities in place of logits.", "--probabilities")]
LabelSmoothing = Annotated[float, _option("Which they do.", min=0.0, max=1.0)]
IgnoreIndex = Annotated[int | None, _option("The target that they ignore.")]
Quantities = Annotated[str | None, _option("Of loss, gradient, curvature, separated by commas; what both can tell.")]
Ulp = Annotated[float | None, _option("How far apart they may be; left out, 4 and the span of the logits.")]
Rtol = Annotated[float | None, _option("The same as a part of the number.")]
Atol = Annotated[float, _option("Added to that.")]
Examples = Annotated[int, _option("How many cases are drawn beside those of the families.", min=1)]

NAMES = (
    *("against", "arrays", "against_arrays", "targets_first", "reduction", "targets", "probabilities"),
    *("label_smoothing", "ignore_index", "quantities", "ulp", "rtol", "atol", "examples"),
)
"""All of these by the names of the command's parameters."""
