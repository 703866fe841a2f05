"""scikit-learn's row in the README's table of differences: what its log_loss says, and what ours does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics
from conventions import Differences

import xentropy_numpy

SCIKIT_LEARN = Differences("scikit-learn")


@SCIKIT_LEARN.row(
    "label 0 and a float32 probability of 1e-5 for class 1", "1.0014e-05, from 1 - p rounded", "1.0000e-05"
)
def _() -> None:
    p = np.array([1e-5], dtype=np.float32)
    assert f"{sklearn.metrics.log_loss([0], p, labels=[0, 1]):.4e}" == "1.0014e-05"
    assert f"{xentropy_numpy.log_loss([0], p, labels=[0, 1]):.4e}" == "1.0000e-05"


@pytest.mark.parametrize("check", SCIKIT_LEARN.parameters)
def test_difference(check: Callable[[], None]) -> None:
    check()


def test_the_readme_says_so() -> None:
    SCIKIT_LEARN.assert_told()
