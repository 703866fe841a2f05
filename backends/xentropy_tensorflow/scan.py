"""Blocks of rows one after the other: a loop of Python where values are at hand, one of the graph elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from xentropy.backend import scan_blocks
from xentropy.rule import Arrays
from xentropy_tensorflow import namespace

Array = Any
Block = Callable[..., tuple[Arrays, Arrays]]


def scan_rows(
    fn: Block, carry: Arrays, rows: Sequence[Array | None], step: int, keep: Array | None
) -> tuple[Arrays, Arrays]:
    """See ``Backend.scan_rows``.

    Where rows may be removed, those that are not come first, so that the loop ends with the last of them.
    """
    first = rows[0]
    assert first is not None
    count = first.shape[0]
    if count is not None and count <= step:
        return fn(carry, *rows)
    if tf.executing_eagerly():
        return scan_blocks(namespace.concat, fn, carry, rows, step)
    # Not rows: what has one for all of them.
    cut = [a is not None and (a.shape[0] in (count, None) or (count is None and a.shape[0] != 1)) for a in rows]
    order = None
    if keep is not None:
        order = tf.argsort(tf.cast(tf.logical_not(keep), tf.int32), stable=True)
        rows = [tf.gather(a, order) if moves else a for a, moves in zip(rows, cut, strict=True)]
    carry, outputs = _looped(fn, carry, rows, cut, step, keep)
    if order is not None:
        back = tf.argsort(order)
        outputs = tuple(tf.gather(output, back) for output in outputs)
    return carry, outputs


def _looped(
    fn: Block, carry: Arrays, rows: Sequence[Array | None], cut: list[bool], step: int, keep: Array | None
) -> tuple[Arrays, Arrays]:
    """One block of what is left over, if anything, or of ``step`` rows; then whole ones, in a loop."""
    first: Any = rows[0]
    count: Any = first.shape[0]
    if count is None:
        count = tf.shape(first)[0]
        blocks = tf.maximum((count + step - 1) // step - 1, 0)
    else:
        blocks = (count + step - 1) // step - 1
    rest = count - blocks * step
    needed = blocks
    if keep is not None:
        kept = tf.reduce_sum(tf.cast(keep, tf.int32))
        needed = tf.maximum((kept - rest + step - 1) // step, 0)

    def block(start: Any, size: Any) -> list[Array | None]:
        return [_slice(a, start, size) if moves else a for a, moves in zip(rows, cut, strict=True)]

    carry, outputs = fn(carry, *block(0, rest))
    arrays = tuple(tf.TensorArray(o.dtype, blocks, element_shape=[step, *o.shape[1:]]) for o in outputs)
    absent = [part is None for part in carry]

    def body(i: Array, given: Arrays, arrays: Any) -> Any:
        known = iter(given)
        full = tuple(None if missing else next(known) for missing in absent)
        after, found = fn(full, *block(rest + i * step, step))
        written = tuple(array.write(i, f) for array, f in zip(arrays, found, strict=True))
        return i + 1, tuple(part for part in after if part is not None), written

    start = (tf.constant(0), tuple(part for part in carry if part is not None), arrays)
    # One after the other: what is computed ahead would be one more block of logits in memory.
    options: dict[str, Any] = {"parallel_iterations": 1, "maximum_iterations": blocks}
    _, after, arrays = tf.while_loop(lambda i, *_: i < needed, body, start, **options)
    known = iter(after)
    carry = tuple(None if missing else next(known) for missing in absent)
    return carry, tuple(
        namespace.concat([o, tf.reshape(array.stack(), [blocks * step, *_sizes(o)[1:]])])
        for o, array in zip(outputs, arrays, strict=True)
    )


def _sizes(a: Array) -> list[Any]:
    return [tf.shape(a)[i] if size is None else size for i, size in enumerate(a.shape)]


def _slice(a: Array, start: Any, size: Any) -> Array:
    if isinstance(size, int):
        # Not a slice: XLA refuses one that is larger than the array, in a loop that is never entered too.
        return tf.gather(a, start + tf.range(size))
    return a[start : start + size]
