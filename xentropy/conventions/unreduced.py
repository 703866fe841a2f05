"""Probes of losses of logits that return one loss each and leave the rest to whoever calls them."""

from __future__ import annotations

from xentropy.conventions.answers import ROWS, SUM, softmax, softmax_gradient
from xentropy.conventions.edges import LogitLosses
from xentropy.conventions.probe import NO_SUCH_OPTION, Probe


def unknown(losses: LogitLosses, convention: str, option: str, ours: str = "", given: str = "") -> Probe:
    """A probe with an option that the loss of labels may not have, and that ours has by this name or another."""
    name = ours or option
    return Probe(
        convention,
        f"{losses.labels.removesuffix(')')}, {option})",
        {"there is no such option": NO_SUCH_OPTION, f"as our {name}": softmax(f"x, y, {name}{ROWS}")},
        option.partition("=")[0],
        given,
    )


def unknown_probabilities(losses: LogitLosses, softmax_of_x: str) -> tuple[Probe, ...]:
    """What would be asked of probabilities, of losses that may not take them."""
    return tuple(
        unknown(losses, convention, "from_logits=False", given=f"x = {softmax_of_x}")
        for convention in ("probabilities are clipped", "rows of probabilities are divided by their sum")
    )


def unknown_weights(losses: LogitLosses) -> tuple[Probe, ...]:
    """Weights w of the classes and s of the rows, of losses that may not take them."""
    convention = "denominator of a weighted mean"
    return (
        unknown(losses, convention, "weight=w", "class_weight=w"),
        unknown(losses, convention, "sample_weight=s"),
    )


def weighted_nan(losses: LogitLosses) -> tuple[Probe, Probe]:
    """NaN logits in a row whose loss is multiplied by a weight of 0."""
    convention, reached, unreached = "NaN logits in an ignored row", "they do: 0 times NaN", "they don't reach it"
    given = (
        f"x, y = {losses.array.format('[[nan, 0.0], [0.0, 0.0]]')}, {losses.array.format('[1, 0]')}\n"
        f"s = {losses.array.format('[0.0, 1.0]')}"
    )
    theirs, ours = f"s * {losses.labels}", f"s * {softmax(f'x, y{ROWS}')}"
    value = {unreached: softmax(f"x, y, sample_weight=s{ROWS}"), reached: ours}
    gradient = {unreached: softmax_gradient(f"x, y, sample_weight=s{SUM}"), reached: losses.gradient(ours)}
    return (
        Probe(convention, theirs, value, "the loss, times a weight of 0", given),
        Probe(convention, losses.gradient(theirs), gradient, "its gradient", given),
    )
