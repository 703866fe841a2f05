"""How many rows make a block, from a byte budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Array = Any

# A block is read several times (exponentials, sum, gradient), so it has to stay in the cache, and it is cut by Python,
# so there must not be too many. At 1024 x 32,000 float32, loss and gradient in NumPy: 59 ms with blocks of 0.5 MB, 54
# with 1, 50 with 2, 53 with 4.
BLOCK_BYTES = 1 << 21

# Rows of hidden states in a block, at least; bytes of logits up to which there may be more in any case; and bytes up
# to which memory doesn't matter more than time.
FEWEST, LOGITS_BYTES, MOST_LOGITS_BYTES = 64, 1 << 23, 1 << 26


def rows_per_block(columns: int, itemsize: int = 4, block_bytes: int = BLOCK_BYTES) -> int:
    """The number of rows, at least one, whose float32 (or ``itemsize``-byte) columns fill a block."""
    return max(1, block_bytes // max(1, columns * itemsize))


def rows_of_logits(classes: int, features: int, share: float) -> int:
    """How many rows of hidden states make a block whose logits are thrown away again.

    Each block is added to the gradient of the weights, which costs less the more rows it has; its logits take rows /
    features of that gradient's memory: ``share`` of it, or less where that would be much.
    """
    wanted = min(int(share * features), rows_per_block(classes, block_bytes=MOST_LOGITS_BYTES))
    return max(FEWEST, features // 8, wanted, rows_per_block(classes, block_bytes=LOGITS_BYTES))


class Scratch:
    """Memory that one block after another is written to: a new piece for each costs more than writing does.

    At 4096 x 1000 it cost 0.3 of 2.1 ms: the C library gives it back and takes it again, page by page.
    """

    def __init__(self, empty_like: Callable[[Array], Array]) -> None:
        self._empty_like = empty_like
        self._memories: dict[str, Array] = {}

    def like(self, x: Array, name: str) -> Array:
        """The memory of that name, of the shape and dtype of x, whose columns and dtype are always the same."""
        memory = self._memories.get(name)
        if memory is None or len(memory) < len(x):
            memory = self._memories[name] = self._empty_like(x)
        return memory[: len(x)]
