"""What an expression came to, and whether two of them came to the same."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import numpy as np

from xentropy.parity.adapter import ParityAdapter
from xentropy.parity.ulp import distance

Array = np.ndarray[Any, Any]

SAME = 16.0
"""Units in the last place between two ways to compute the same number; another convention is a million away."""

SLIPS = (NameError, SyntaxError)
"""Errors of the probe's text, which say nothing about a loss."""


class SlipError(Exception):
    """The text of a probe is wrong."""


@dataclass(frozen=True)
class Outcome:
    """A value, words, or an error.

    Attributes:
        values: float64 for float64, float32 for everything narrower; None of words and errors.
        dtype: the dtype's bare name, "float" for a number of Python's own.
        words: where the value was a string.
        error: "type: message", the message's first line.
        warned: the warnings meant for users, each "type: message".
    """

    values: Array | None = None
    dtype: str = ""
    words: str = ""
    error: str = ""
    warned: tuple[str, ...] = ()

    def text(self, digits: int = 4) -> str:
        """In one line, with so many digits."""
        return shorten(self.error, 200, placeholder=" ...") or self.words or self._numbers(digits)

    def _numbers(self, digits: int) -> str:
        if self.values is None or self.values.size == 0:
            shape = () if self.values is None else self.values.shape
            return f"an empty array of shape {shape}"
        each = np.vectorize(lambda value: f"{value + 0.0:.{digits}g}", otypes=[object])(self.values).tolist()
        numbers = str(each).replace("'", "")
        return numbers if self.dtype == "float32" else f"{numbers}, {self.dtype}"


def evaluate(source: str, namespace: dict[str, Any], adapter: ParityAdapter) -> Outcome:
    """Run an expression and look at what it came to.

    Raises:
        SlipError: the expression is no Python, or has a name that is not there.
    """
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            found = _look(eval(source, namespace), adapter)
        except SLIPS as error:
            raise SlipError(f"{source}: {told(error)}") from error
        except Exception as error:
            found = Outcome(error=told(error))
    meant = {told(one.message): None for one in caught if one.category is UserWarning}
    return Outcome(found.values, found.dtype, found.words, found.error, tuple(meant))


def agreement(theirs: Outcome, ours: Outcome) -> float | None:
    """The largest distance in ulp of their dtype, None where they do not agree; errors agree by their type."""
    if theirs.error or ours.error:
        same = theirs.error.partition(":")[0] == ours.error.partition(":")[0]
        return 0.0 if same else None
    if theirs.values is None or ours.values is None:
        return 0.0 if theirs.words and theirs.words == ours.words else None
    if theirs.values.shape != ours.values.shape or theirs.dtype != ours.dtype:
        return None
    if theirs.values.size == 0:
        return 0.0
    unit = "float64" if theirs.dtype == "float" else theirs.dtype
    each = distance(ours.values, theirs.values.astype(np.float64), 0.0, unit)
    # A loss of 0 has no last place: nothing but 0 is near it.
    furthest = float(np.where((theirs.values == 0) & (ours.values != 0), np.inf, each).max())
    return furthest if furthest <= SAME else None


def digits_apart(theirs: Outcome, ours: Outcome) -> int:
    """How many digits tell them apart."""
    return next((digits for digits in (4, 8) if theirs.text(digits) != ours.text(digits)), 17)


def told(error: Warning | Exception | str) -> str:
    """An error's type and the first line of its message."""
    message = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    # Between double braces, some name the operation of a graph first.
    return f"{type(error).__name__}: {re.sub(r'{{.*?}} *', '', message)}"


def ulps(value: float) -> str:
    """How many units, in words."""
    return "to the last bit" if value == 0 else f"to {math.ceil(10 * value) / 10:g} ulp"


def _look(result: Any, adapter: ParityAdapter) -> Outcome:
    if isinstance(result, str):
        return Outcome(words=result)
    if adapter.owns(result):
        return Outcome(adapter.to_numpy(result), adapter.dtype_name(result))
    return Outcome(np.asarray(result, dtype=np.float64), type(result).__name__)
