"""What is asked of a framework's own loss, and what could be the answer. Code is text, so that what is shown ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from xentropy.parity.adapter import ParityAdapter

QUESTIONS = {
    "first arguments": "Which comes first, what is predicted or the targets?",
    "takes": "Logits or probabilities?",
    "axis of the classes": "Which axis are the classes on?",
    "default reduction": "What comes back unasked: each loss, their sum or their mean?",
    "probabilities are clipped": "What is the loss of a probability of 0 or 1 on the wrong side?",
    "rows of probabilities are divided by their sum": "Is a row that does not sum to 1 made to?",
    "denominator of a weighted mean": "What is a weighted sum divided by?",
    "pos_weight": "What does a weight of the positive class multiply?",
    "label smoothing": "Who gets a share, and does the weight of a class follow it?",
    "ignored rows": "Which rows count for nothing, and does the mean count them?",
    "NaN logits in an ignored row": "Do they reach the loss, or the gradient?",
    "nothing to average": "What is the mean of no rows?",
    "a label out of range": "An error, or which number?",
    "dtype of the loss of half-precision logits": "That of the logits, or a wider one?",
    "a target of 0 at a logit of -inf": "Does 0 times infinity count for nothing?",
    "targets that do not sum to 1": "Is the gradient that of the loss?",
    "a confident row": "Is there a loss left to learn from?",
    "infinite logits of a binary loss": "Is it the limit, 0 or inf?",
}
"""Every convention and its question, in the order of the report."""


@dataclass(frozen=True)
class Raises:
    """An answer that no call of ours gives: the framework refuses.

    Attributes:
        pattern: a regular expression of what has to be in "type: message" of its error.
    """

    pattern: str


Answers = Mapping[str, str | Raises]

NO_SUCH_OPTION = Raises(r"^TypeError: .*unexpected keyword argument")


@dataclass(frozen=True)
class Probe:
    """One call of a framework's own loss.

    Attributes:
        convention: a key of ``QUESTIONS``.
        call: an expression; its value is a number, an array of the framework's, or words that are the answer.
        answers: in words, each with the expression of ours that gives what the framework gives if it is the right one.
        case: tells the probes of one convention apart.
        given: statements that come before the expressions: the arrays of this probe alone.
    """

    convention: str
    call: str
    answers: Answers = field(default_factory=dict)
    case: str = ""
    given: str = ""

    def __post_init__(self) -> None:
        if self.convention not in QUESTIONS:
            raise ValueError(f"convention must be one of {', '.join(QUESTIONS)}; got {self.convention!r}")


@dataclass(frozen=True)
class Framework:
    """Make one in a package of the framework's and register it under ``xentropy.conventions``.

    The entry point's name is the name that the framework is imported by.

    Attributes:
        losses: whose losses these are, in words.
        own: statements that import them.
        drop_in: statements that import ours by the same names; empty where there are none.
        arrays: statements that import what the probes need and make the arrays they share.
        probes: in any order.
        adapter: how arrays are read.
        modules: whose versions decide what the losses do.
        needs: modules that have to be importable beside the framework, each with what to install for it.
        note: what else the answers depend on.
    """

    losses: str
    own: str
    drop_in: str
    arrays: str
    probes: tuple[Probe, ...]
    adapter: ParityAdapter
    modules: tuple[str, ...]
    needs: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def names(function: Callable[..., Any]) -> str:
    """The names of a function's first two arguments: for the probes' expressions."""
    return ", ".join(list(signature(function).parameters)[:2])
