"""What classes in parts cost, by arithmetic: bytes, memory and time of a step, on devices that nobody has to have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Way(NamedTuple):
    """A way to compute the loss of float32 logits of which every device has a slice.

    Attributes:
        gathered: bytes that each device contributes for each row to an all-gather.
        reduced: the same to all-reduces.
        exchanges: how many there are; ours begins with one of a message, whose 1,024 bytes are not counted here.
        moves: how often a logit, or a number of its size, is read or written, forward and back; None where it was only
            measured.
        memory: the most that it holds beside the logits, in their sizes, the gradient included.
    """

    gathered: int
    reduced: int
    exchanges: int
    moves: int | None
    memory: float


# Moves: ours reads the logits, writes exponentials (whose sum is taken in the cache), reads and writes them for the
# gradient. The three reductions read for the maximum, then subtract, take exponentials, add up, divide and multiply.
WAYS = {
    "xentropy": Way(gathered=32, reduced=0, exchanges=2, moves=4, memory=1.0),
    "three all-reduces": Way(gathered=0, reduced=12, exchanges=3, moves=10, memory=1.0),
    "loss_parallel": Way(gathered=0, reduced=12, exchanges=3, moves=None, memory=4.0),
}
ROWS, CLASSES, DEVICES = 2**20, 256_000, (8, 16, 32, 64)
# Of one H100 SXM: bytes a second from its memory, and over NVLink in one direction; and the time to begin an exchange.
MEMORY, LINK, LATENCY = 3.35e12, 4.5e11, 2e-5
# Rows at a time: as many as a device holds of logits of 1,000 classes a device or more.
MICRO_BATCH = 2**14


def received(way: Way, devices: int) -> float:
    """Bytes that a device receives for each row, in rings."""
    return (devices - 1) * way.gathered + 2 * (devices - 1) / devices * way.reduced


def seconds(way: Way, devices: int) -> tuple[float | None, float]:
    """Of a step of ``ROWS``: in the device's memory, and in exchanges."""
    size = ROWS * CLASSES / devices * 4
    exchanging = ROWS * received(way, devices) / LINK + ROWS / MICRO_BATCH * way.exchanges * LATENCY
    return None if way.moves is None else way.moves * size / MEMORY, exchanging


def lines() -> Iterator[str]:
    """The table, in Markdown."""
    yield "| devices | way | received a row | logits and loss at a time | in memory | in exchanges |"
    yield "|---|---|---|---|---|---|"
    for devices in DEVICES:
        for name, way in WAYS.items():
            size = MICRO_BATCH * CLASSES / devices * 4
            moving, exchanging = seconds(way, devices)
            moved = "" if moving is None else f"{1e3 * moving:.0f} ms"
            yield (
                f"| {devices} | {name} | {received(way, devices):,.0f} B | {(1 + way.memory) * size / 2**30:.2f} GiB | "
                f"{moved} | {1e3 * exchanging:.1f} ms |"
            )
