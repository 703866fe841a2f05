"""Classes in several parts: the same cases and bounds as in the matrix, and the same numbers however many parts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from cases import Case
from engines import ENGINES, Whole, engine
from harness import Harness
from reference import ulp
from test_matrix import SMALLEST, assert_within

import xentropy

PARTS = (1, 2, 3, 4)
CASES = [case for case in Case if not case.value.binary and case.value.options.get("from_logits", True)]


@pytest.fixture
def spreading(backend: Harness) -> Iterator[Harness]:
    """A backend whose arrays can be spread."""
    if backend.name not in ENGINES:
        pytest.skip("its arrays have no engine of their own to spread them")
    yield backend


@cache
def evaluate(name: str, case: Case, parts: int, reduction: str) -> Whole:
    problem = case.value
    static = {key: value for key, value in problem.static.items() if key != "normalizer" or reduction == "mean"}
    wrt = ("logits", "targets") if problem.soft and name != "numpy" else ("logits",)
    return engine(name).evaluate(problem.arrays, {**static, "reduction": reduction}, parts, wrt)
