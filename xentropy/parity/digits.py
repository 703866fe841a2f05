"""The handwritten digits that ship with the package: a real classifier's logits on real images."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Digits(NamedTuple):
    """The 1,797 digits of the UCI test set, in scikit-learn's order; ``data/README.md`` tells source and licence.

    Attributes:
        logits: float32, shape (1797, 10), what the classifier says.
        labels: int32, shape (1797,), the digit that was written.
        held_out: bool, shape (1797,), the half that the classifier was not trained on.
    """

    logits: Array
    labels: Array
    held_out: Array


@cache
def load_digits() -> Digits:
    """Read the shipped file; the arrays are read-only."""
    with (files("xentropy.parity") / "data" / "digits.npz").open("rb") as file, np.load(file) as stored:
        digits = Digits(stored["logits"], stored["labels"].astype(np.int32), stored["held_out"])
    for array in digits:
        array.setflags(write=False)
    return digits
