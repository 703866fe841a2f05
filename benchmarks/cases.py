"""What is computed: one set of cases for time, memory and first calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SMOOTHING = 0.1


@dataclass(frozen=True)
class Case:
    """The mean loss of ``rows`` rows of logits.

    Attributes:
        rows: how many rows.
        classes: how many classes; elements a row where the kind is "binary".
        dtype: of the logits.
        kind: "labels" (class indices), "soft" (probabilities), "smoothed" (class indices, smoothing 0.1) or "binary".
    """

    rows: int
    classes: int
    dtype: str = "float32"
    kind: str = "labels"

    @property
    def name(self) -> str:
        """Such as ``32x10`` or ``1024x32000-bfloat16-soft``."""
        parts = [f"{self.rows}x{self.classes}"]
        parts += [part for part, plain in ((self.dtype, "float32"), (self.kind, "labels")) if part != plain]
        return "-".join(parts)

    @property
    def indexed(self) -> bool:
        """Whether the targets are class indices."""
        return self.kind in ("labels", "smoothed")

    @property
    def plain(self) -> bool:
        """Whether it is the usual one: class indices, float32."""
        return self.kind == "labels" and self.dtype == "float32"

    def logits(self) -> np.ndarray[Any, Any]:
        """float32, of shape (rows, classes): normal, of scale 3."""
        drawn = np.random.default_rng(0).standard_normal((self.rows, self.classes), dtype=np.float32)
        return 3.0 * drawn

    def targets(self) -> np.ndarray[Any, Any]:
        """Class indices of shape (rows,), or float32 of the logits' shape."""
        random = np.random.default_rng(1)
        if self.indexed:
            return random.integers(0, self.classes, self.rows)
        t = random.random((self.rows, self.classes), dtype=np.float32)
        return t if self.kind == "binary" else t / t.sum(axis=-1, keepdims=True)


SIZES = ((32, 10), (4096, 1000), (1024, 32_000), (512, 128_256))
CASES = (
    *(Case(rows, classes) for rows, classes in SIZES),
    *(Case(rows, classes, dtype="bfloat16") for rows, classes in SIZES),
    *(Case(1024, 32_000, kind=kind) for kind in ("soft", "smoothed")),
    Case(4096, 1000, kind="binary"),
)


def named(name: str) -> Case:
    """The case of that name."""
    return next(case for case in CASES if case.name == name)
