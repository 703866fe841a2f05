"""The four starting examples, from every backend, each as its own array type."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from harness import Subject

import xentropy

EXAMPLES = {
    # The positive class has probability 0.8, and is the answer.
    "binary": (xentropy.binary_cross_entropy, [0.8], [1.0], {"from_logits": False}, 0.2231),
    # Class 0 has probability 0.7, and is named by a one-hot row.
    "categorical": (xentropy.cross_entropy, [[0.7, 0.2, 0.1]], [[1.0, 0.0, 0.0]], {"from_logits": False}, 0.3567),
    # The first again, with an integer for a label.
    "binary_label": (xentropy.binary_cross_entropy, [0.8], [1], {"from_logits": False}, 0.2231),
    # Logits, and a class index.
    "logits": (xentropy.cross_entropy, [[1.2, -0.5, 0.1]], [0], {}, 0.4158),
}


def exact(logits: np.ndarray[Any, Any], *, from_logits: bool = True) -> float:
    """For the first class, in float64, of the float32 numbers the backends get: far more than 4 ulp of float32 need."""
    x = logits.astype(np.float64).reshape(-1)
    return math.log(math.fsum(np.exp(x))) - float(x[0]) if from_logits else -math.log(x[0])


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(subject: Subject, name: str) -> None:
    function, logits, targets, options, to_four_digits = EXAMPLES[name]
    given = {"logits": np.array(logits, dtype=np.float32), "targets": np.array(targets)}
    if given["targets"].dtype.kind == "f":
        given["targets"] = given["targets"].astype(np.float32)
    result = subject.run(function, given, **options)
    assert isinstance(result, subject.harness.array_type)
    value = float(subject.harness.to_numpy(result))
    assert round(value, 4) == to_four_digits
    assert abs(value - exact(given["logits"], **options)) <= 4 * np.spacing(np.float32(value))
