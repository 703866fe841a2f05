"""What is computed: hidden states, the weight of a vocabulary, labels; one set of cases for time and for memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

IGNORED = -100
WEIGHT_SCALE = 0.05


@dataclass(frozen=True)
class LinearCase:
    """The mean loss of ``rows`` hidden states, with the gradients of these and of the weight.

    Attributes:
        rows: how many rows.
        features: numbers in a row of hidden, and of weight.
        classes: rows of weight.
        dtype: of hidden and weight.
        ignored: whether every other label is -100.
        chunk_rows: rows in a block of ours; None for as many as it chooses itself.
    """

    rows: int
    features: int
    classes: int
    dtype: str = "float32"
    ignored: bool = False
    chunk_rows: int | None = None

    @property
    def name(self) -> str:
        """Such as ``1024x512x32000`` or ``1024x512x32000-bfloat16-ignored``."""
        parts = [f"{self.rows}x{self.features}x{self.classes}"]
        parts += ["bfloat16"] if self.dtype == "bfloat16" else []
        return "-".join(parts + (["ignored"] if self.ignored else []))

    @property
    def tiny(self) -> LinearCase:
        """The same with hardly anything to compute: what a library sets up once, it sets up for this."""
        return replace(self, rows=4, features=8, classes=16)

    @property
    def of_gradients(self) -> int:
        """Bytes of both gradients, which are part of every peak."""
        return (self.rows + self.classes) * self.features * (2 if self.dtype == "bfloat16" else 4)

    @property
    def options(self) -> dict[str, int]:
        """What ours is called with."""
        chosen = {"ignore_index": IGNORED if self.ignored else None, "chunk_rows": self.chunk_rows}
        return {name: value for name, value in chosen.items() if value is not None}

    def arrays(self) -> tuple[Array, Array, Array]:
        """Hidden and weight, normal, float32; labels, uniform."""
        random = np.random.default_rng(0)
        hidden = random.standard_normal((self.rows, self.features), dtype=np.float32)
        weight = random.standard_normal((self.classes, self.features), dtype=np.float32)
        weight *= np.float32(WEIGHT_SCALE)
        labels = random.integers(0, self.classes, self.rows)
        if self.ignored:
            labels[::2] = IGNORED
        return hidden, weight, labels


CASES = (
    LinearCase(1024, 512, 32_000),
    LinearCase(2048, 384, 128_256),
    LinearCase(1024, 512, 32_000, ignored=True),
    LinearCase(1024, 512, 32_000, dtype="bfloat16"),
)
# Memory against the number of rows, in blocks of the same size.
LADDER = tuple(LinearCase(rows, 256, 32_000, chunk_rows=128) for rows in (256, 512, 1024, 2048, 4096, 8192))


def named(name: str) -> LinearCase:
    """The case of a name; any sizes, so that a trial can be small."""
    sizes, *flags = name.split("-")
    rows, features, classes = (int(size) for size in sizes.split("x"))
    dtype = "bfloat16" if "bfloat16" in flags else "float32"
    return LinearCase(rows, features, classes, dtype, "ignored" in flags)
