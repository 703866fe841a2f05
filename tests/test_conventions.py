"""The column of xentropy itself in the README's table, on every backend."""

from __future__ import annotations

import numpy as np
import pytest
from conventions import (
    CLASS_WEIGHTS,
    LABELS,
    LOGITS,
    ONE_HOT,
    PROBABILITIES,
    ROWS,
    SAMPLE_WEIGHTS,
    SMOOTHED,
    Column,
    first_parameters,
)
from harness import Subject

import xentropy

COLUMN = Column("xentropy")
ARRAYS = {"logits": LOGITS, "targets": LABELS}


@COLUMN.cell("first arguments", "`logits, targets`")
def _(eager: Subject) -> None:
    for function in (xentropy.cross_entropy, xentropy.binary_cross_entropy, xentropy.token_statistics):
        assert first_parameters(function) == "logits, targets"


@COLUMN.cell("takes", "logits; `from_logits=False`: probabilities")
def _(eager: Subject) -> None:
    found = eager.value(xentropy.cross_entropy, ARRAYS, reduction="none")
    np.testing.assert_allclose(found, ROWS, rtol=1e-6)
    given = {"logits": PROBABILITIES, "targets": LABELS}
    found = eager.value(xentropy.cross_entropy, given, reduction="none", from_logits=False)
    np.testing.assert_allclose(found, ROWS, rtol=1e-6)


@COLUMN.cell("axis of the classes", "last; `axis`")
def _(eager: Subject) -> None:
    given = {"logits": np.ascontiguousarray(LOGITS.T), "targets": LABELS}
    np.testing.assert_allclose(eager.value(xentropy.cross_entropy, given, axis=0, reduction="none"), ROWS, rtol=1e-6)


@COLUMN.cell("default reduction", "mean")
def _(eager: Subject) -> None:
    np.testing.assert_allclose(eager.value(xentropy.cross_entropy, ARRAYS), ROWS.mean(), rtol=1e-6)


@COLUMN.cell("probabilities are clipped", "no")
def _(eager: Subject) -> None:
    given = {"logits": np.array([[0.0, 1.0]], dtype=np.float32), "targets": np.array([0])}
    assert eager.value(xentropy.cross_entropy, given, from_logits=False) == np.inf


@COLUMN.cell("rows of probabilities are divided by their sum", "no")
def _(eager: Subject) -> None:
    given = {"logits": np.array([[0.25, 0.25]], dtype=np.float32), "targets": np.array([0])}
    found = eager.value(xentropy.cross_entropy, given, from_logits=False)
    np.testing.assert_allclose(found, -np.log(0.25), rtol=1e-6)


@COLUMN.cell("denominator of a weighted mean", "Σ sample weight · class weight, of labels and probabilities alike")
def _(eager: Subject) -> None:
    weights = {"class_weight": CLASS_WEIGHTS, "sample_weight": SAMPLE_WEIGHTS}
    each = np.array([1.0, 9.0])
    for targets in (LABELS, ONE_HOT):
        found = eager.value(xentropy.cross_entropy, {"logits": LOGITS, "targets": targets, **weights})
        np.testing.assert_allclose(found, (ROWS * each).sum() / each.sum(), rtol=1e-6)


@COLUMN.cell("label smoothing", "(1 - ε) t + ε/C; binary: y (1 - ε) + ε/2")
def _(eager: Subject) -> None:
    found = eager.value(xentropy.cross_entropy, ARRAYS, label_smoothing=0.1, reduction="none")
    np.testing.assert_allclose(found, SMOOTHED, rtol=1e-6)
    given = {"logits": np.array([2.0], dtype=np.float32), "targets": np.array([1])}
    found = eager.value(xentropy.binary_cross_entropy, given, label_smoothing=0.1)
    np.testing.assert_allclose(found, np.log1p(np.exp(-2.0)) + 0.05 * 2.0, rtol=1e-6)


@COLUMN.cell("ignored rows", "`ignore_index`, any integer: loss 0, not in the denominator")
def _(eager: Subject) -> None:
    for ignored in (-100, 2, 7):
        given = {"logits": LOGITS, "targets": np.array([0, ignored])}
        found = eager.value(xentropy.cross_entropy, given, ignore_index=ignored)
        np.testing.assert_allclose(found, ROWS[0], rtol=1e-6)
        found = eager.value(xentropy.cross_entropy, given, ignore_index=ignored, reduction="none")
        np.testing.assert_allclose(found, [ROWS[0], 0.0], rtol=1e-6)


@COLUMN.cell("nothing to average", "0")
def _(eager: Subject) -> None:
    given = {"logits": LOGITS, "targets": np.array([-1, -1])}
    assert eager.value(xentropy.cross_entropy, given, ignore_index=-1) == 0.0
    assert eager.value(xentropy.cross_entropy, {"logits": LOGITS[:0], "targets": LABELS[:0]}) == 0.0


@COLUMN.cell("a label out of range", "`IndexError`; NaN where values are unknown")
def _(eager: Subject) -> None:
    given = {"logits": LOGITS, "targets": np.array([0, 3])}
    if eager.knows_values:
        with pytest.raises(IndexError, match=r"targets\[1\] is 3"):
            eager.run(xentropy.cross_entropy, given)
    found = eager.value(xentropy.cross_entropy, given, reduction="none", validate=False)
    np.testing.assert_array_equal(np.isnan(found), [False, True])


@COLUMN.cell("dtype of the loss of half-precision logits", "float32")
def _(eager: Subject) -> None:
    for dtype in {"float16", "bfloat16"} & set(eager.harness.floats):
        logits = eager.harness.asarray(LOGITS, dtype)
        found = eager.run(xentropy.cross_entropy, {"logits": logits, "targets": LABELS})
        assert eager.harness.dtype(found) == "float32"


@pytest.mark.parametrize("convention", COLUMN.cells)
def test_cell(convention: str, eager: Subject) -> None:
    COLUMN.check(convention, eager)


def test_the_readme_says_so() -> None:
    COLUMN.assert_told()
