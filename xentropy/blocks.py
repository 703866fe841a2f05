"""How many rows make a block, from a byte budget."""

from __future__ import annotations

# A block is read several times (maximum, exponentials, sum), so it has to stay in a core's own cache: at
# 1024 x 32,000 float32, blocks of 0.5 to 2 MB were within a few per cent of each other and half the time of one call.
BLOCK_BYTES = 1 << 20


def rows_per_block(columns: int, itemsize: int = 4, block_bytes: int = BLOCK_BYTES) -> int:
    """The number of rows, at least one, whose float32 (or ``itemsize``-byte) columns fill a block."""
    return max(1, block_bytes // max(1, columns * itemsize))
