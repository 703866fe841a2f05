"""Inputs at which losses of logits lose a number: the same probes for every framework that has such losses."""

from __future__ import annotations

from dataclasses import dataclass

from xentropy.conventions.answers import ROWS, SUM, sigmoid, softmax, softmax_gradient
from xentropy.conventions.probe import Probe


@dataclass(frozen=True)
class LogitLosses:
    """A framework's calls, for arrays by the names in ``xentropy.conventions.answers``.

    Attributes:
        array: makes an array of a list, ``{}`` being the list.
        labels: the loss of logits x and labels y.
        soft: that of logits x and probabilities t.
        binary: that of the logits z and targets v of single elements.
        total: the sum of losses that are ``{}``; ``{}`` itself where ``labels`` and ``soft`` return their mean.
        rest: what ours is given to return what ``labels`` and ``soft`` return; empty where that is their mean.
        column: whether elements have to be rows of one number, of which ``binary`` returns one each.
    """

    array: str
    labels: str
    soft: str
    binary: str
    total: str = "{}"
    rest: str = ROWS
    column: bool = False

    def gradient(self, loss: str) -> str:
        """The gradient by x of the total of losses."""
        return f"xentropy.value_and_grad(lambda x: {self.total.format(loss)})(x)[1]"


def edges(losses: LogitLosses) -> tuple[Probe, ...]:
    """The probes."""
    excluded, confident = "[[0.0, 0.0, -inf]]", "[[25.0, 0.0, 0.0]]"
    hard, soft, double = "[[1.0, 0.0, 0.0]]", "[[0.5, 0.5, 0.0]]", "[[1.0, 1.0, 0.0]]"
    return (
        _rows(losses, "a target of 0 at a logit of -inf", "labels", excluded, "[0]"),
        _rows(losses, "a target of 0 at a logit of -inf", "probabilities", excluded, soft),
        _gradient(losses, "targets that do not sum to 1", "probabilities", "[[1.0, 2.0, 3.0]]", double),
        _rows(losses, "a confident row", "labels", confident, "[0]"),
        _rows(losses, "a confident row", "probabilities", confident, hard),
        _gradient(losses, "a confident row", "labels", confident, "[0]"),
        _elements(losses, "a confident row", "a binary loss", ["-20.0"], ["0.0"]),
        _elements(losses, "infinite logits of a binary loss", "the right side", ["inf", "-inf"], ["1.0", "0.0"]),
        _elements(losses, "infinite logits of a binary loss", "the wrong side", ["-inf", "inf"], ["1.0", "0.0"]),
    )


def _rows(losses: LogitLosses, convention: str, case: str, logits: str, targets: str) -> Probe:
    name, call = ("y", losses.labels) if case == "labels" else ("t", losses.soft)
    given = f"x, {name} = {losses.array.format(logits)}, {losses.array.format(targets)}"
    return Probe(convention, call, {"yes": softmax(f"x, {name}{losses.rest}")}, case, given)


def _gradient(losses: LogitLosses, convention: str, case: str, logits: str, targets: str) -> Probe:
    value = _rows(losses, convention, case, logits, targets)
    name = "y" if case == "labels" else "t"
    # Not our plain mean, which divides by the sum of targets that do not sum to 1.
    ours = softmax_gradient(f"x, {name}{SUM if losses.rest else ', normalizer=len(x)'}")
    return Probe(convention, losses.gradient(value.call), {"yes": ours}, f"{case}, the gradient", value.given)


def _elements(losses: LogitLosses, convention: str, case: str, logits: list[str], targets: list[str]) -> Probe:
    item = "[{}]" if losses.column else "{}"
    lists = [f"[{', '.join(item.format(one) for one in each)}]" for each in (logits, targets)]
    given = f"z, v = {', '.join(losses.array.format(each) for each in lists)}"
    ours = sigmoid(f"z, v{ROWS}") + ("[:, 0]" if losses.column else "")
    return Probe(convention, losses.binary, {"yes": ours}, case, given)
