"""Sums over the last axis whose rounding error doesn't grow with the number of terms."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any

# Terms added in the array's own dtype before the sum goes on in a wider one. Native float32 sums, pairwise ones
# included, err by 3 units of 2^-23 at 100 classes of scale 8; eight deep leaves less than 1. Summed across, not along,
# it costs what the native sum costs: 13 ms against 16 in NumPy, at 1024 x 32,000.
DEPTH = 8

# Up to this many terms the whole sum is a wide one: too short a row to average rounding errors out, and cheap.
SHORT = 256

# Terms that are split together in ``split_sum``.
BLOCK = 32

# Classes in a block of the two-level reduction, as near as their number allows, and at least and at most: XLA's time
# was within a tenth from 32 to 640 and twice as much below 16; a block of 25,013 erred by 3 units, one of 64 by 1.
WIDTH, NARROWEST, WIDEST = 64, 16, 512


def blocked_sum(backend: Backend, x: Array) -> Array:
    """The sum over the last axis, ``DEPTH`` terms at a time in the dtype of x and widened from there on."""
    xp = backend.namespace(x)
    columns = backend.shape(x)[-1]
    if not isinstance(columns, int) or columns <= SHORT:
        return xp.sum(backend.widen(x), axis=-1)
    whole = columns - columns % DEPTH
    head = x if whole == columns else x[..., :whole]
    head = xp.reshape(head, (*backend.shape(x)[:-1], DEPTH, whole // DEPTH))
    total = xp.sum(backend.widen(xp.sum(head, axis=-2)), axis=-1)
    return total if whole == columns else total + backend.widen(xp.sum(x[..., whole:], axis=-1))


def split_sum(backend: Backend, x: Array, largest: float | None = None) -> Array:
    """The sum over the last axis where nothing wider than x is at hand; ``largest``: a size that no term exceeds.

    Every term is split at a bit that is the same for all of a row: the upper parts add up without rounding, and the
    rounding of the lower parts does not show (Rump, Ogita and Oishi, 2008, "Accurate floating-point summation").
    """
    xp = backend.namespace(x)
    columns = backend.shape(x)[-1]
    if not isinstance(columns, int) or columns < 3:
        return xp.sum(x, axis=-1)
    if columns > BLOCK * BLOCK:
        head, tail = _split(backend, x, columns)
        total = split_sum(backend, xp.sum(head, axis=-1), None if largest is None else head.shape[-1] * largest)
        return total if tail is None else total + xp.sum(tail, axis=-1)
    apart = 2.0 ** (columns.bit_length() + 1)
    if largest is not None:
        upper = (x + apart * largest) - apart * largest
        return xp.sum(upper, axis=-1) + xp.sum(x - upper, axis=-1)
    scale = xp.max(xp.abs(backend.detach(x)), axis=-1, keepdims=True) * apart
    upper = (x + scale) - scale
    total = xp.sum(upper, axis=-1) + xp.sum(x - upper, axis=-1)
    return xp.where(scale[..., 0] < math.inf, total, xp.sum(x, axis=-1))


class Others(NamedTuple):
    """The exponentials of rows without one class each.

    Attributes:
        parts: exp(x - origin) for some origin of each row, and 0 at the excluded class; shape (rows, classes).
        total: their sum, widened, shape (rows,); 0 where all of them are -inf.
        ahead: by how much the excluded logit is above the origin, widened, shape (rows,); NaN where it is inf.
        is_below: whether the origin is the largest of them everywhere, so that a total is 0 or at least 1.
        origin: what they are measured from, widened, shape (rows,).
    """

    parts: Array
    total: Array
    ahead: Array
    is_below: bool
    origin: Array


# Natural logarithms between which a sum of float32 exponentials has lost no term to underflow that it would show.
NEAR = 55.0
# How far ahead of the origin a class may be: its float32 exponential is not inf, and the loss of one that is further
# ahead is below e^-80, where float32 ends.
FAR = 80.0


def others(backend: Backend, x: Array, excluded: Array, memory: Array | None = None) -> Others:
    """The exponentials of the classes but the excluded one, written to ``memory`` of x's shape if there is any.

    They are measured from 0, so that neither a maximum nor a subtraction passes over x, and no difference is rounded.
    Only rows too far from 0 for that are measured from the largest of the others; and short ones, where the error of an
    exponential (2.4 units in some libraries, none in exp(0)) would not average out. What a row is measured from depends
    on that row alone, and so do its bits.
    """
    if backend.shape(x)[-1] <= SHORT:
        return others_below(backend, x, excluded)
    xp = backend.namespace(x)
    own = backend.pick(x, excluded)
    close = xp.abs(own) < NEAR
    many = int(xp.count_nonzero(close))
    # Where most are far, sums of subnormal numbers would take 14 times as long, for nothing.
    if 2 * many < len(close):
        found = others_below(backend, x, excluded)
        return found if many == 0 else _redone(backend, found, x, excluded, close, others)
    parts = backend.into(backend.empty_like(x) if memory is None else memory, "exp", x)
    parts = backend.put(parts, excluded, 0.0)
    found = Others(parts, backend.total(parts), backend.widen(own), False, backend.widen(xp.zeros_like(own)))
    close = xp.logical_and(close, xp.abs(xp.log(found.total)) < NEAR)
    return found if bool(xp.all(close)) else _redone(backend, found, x, excluded, ~close, others_below)


def _redone(
    backend: Backend, found: Others, x: Array, excluded: Array, where: Array, again: Callable[..., Others]
) -> Others:
    """The same with what ``again`` finds for some of the rows."""
    (rows,) = backend.namespace(x).nonzero(where)
    redone = again(backend, x[rows], excluded[rows])
    for name in ("parts", "total", "ahead", "origin"):
        getattr(found, name)[rows] = getattr(redone, name)
    return found._replace(is_below=False)


def others_below(backend: Backend, x: Array, excluded: Array) -> Others:
    """The same, measured from the largest of the others, or from the excluded one where there is no other."""
    xp = backend.namespace(x)
    own = backend.widen(backend.pick(x, excluded))
    largest, parts = _below_largest(backend, x, excluded)
    total = backend.total(parts)
    origin = xp.where(total == 0.0, own, backend.widen(largest))
    return Others(parts, total, xp.where(own == math.inf, math.nan, own - origin), True, origin)


def others_unwritten(backend: Backend, x: Array, excluded: Array) -> Others:
    """The same where nothing is written over and nobody can say which rows are far from 0: each has its own origin."""
    columns = backend.shape(x)[-1]
    if not isinstance(columns, int) or columns <= SHORT:
        return others_below(backend, x, excluded)
    xp = backend.namespace(x)
    own = backend.pick(x, excluded)
    largest = xp.max(_reduced_others(backend, x, excluded, xp.max, -math.inf), axis=-1)
    near = xp.logical_and(xp.abs(largest) < NEAR - math.log(columns), xp.abs(own) < NEAR)
    origin = backend.detach(xp.where(near, 0.0, xp.maximum(largest, own - FAR)))
    parts = xp.exp(x - origin[:, None])
    total = backend.total(_reduced_others(backend, parts, excluded, xp.sum, 0.0))
    ahead = backend.widen(own) - backend.widen(origin)
    return Others(parts, total, xp.where(own == math.inf, math.nan, ahead), False, backend.widen(origin))


def others_kept(backend: Backend, x: Array, excluded: Array) -> tuple[Array, Array, Array]:
    """What the other classes are measured from, their exponentials (0 at the excluded class), and the sum of these.

    For compilers that take the memory of the exponentials for the gradient that is made of them.
    """
    xp = backend.namespace(x)
    largest = xp.max(_reduced_others(backend, x, excluded, xp.max, -math.inf), axis=-1)
    own = backend.detach(backend.pick(x, excluded))
    # From 2^27 on, FAR is no multiple of what float32 can tell apart, and the exponential put out of sight might be
    # inf: the second derivative would be NaN.
    own = xp.where(xp.abs(own) < 2.0**27, own - FAR, own)
    origin = xp.maximum(reachable(backend, largest), own)
    parts = backend.put(xp.exp(x - origin[:, None]), excluded, 0.0)
    rows, columns = backend.shape(x)
    width = block_width(columns, WIDTH, min(columns // 4, WIDEST), backend.devices())
    blocks = parts if width is None else xp.sum(backend.reshape(parts, (rows, columns // width, width)), axis=-1)
    return origin, parts, backend.widen(split_sum(backend, blocks, float(width or 1)))


def _reduced_others(backend: Backend, x: Array, excluded: Array, reduce: Callable[..., Array], neutral: float) -> Array:
    """All classes but one, reduced block by block: (rows, blocks).

    The block that holds the excluded class is gathered and reduced without it: a ``neutral`` put into x would copy it.
    """
    columns = backend.shape(x)[-1]
    width = block_width(columns, WIDTH, min(columns // 4, WIDEST), backend.devices())
    if width is None:
        return masked_put(backend, x, excluded, neutral)
    blocks = backend.reshape(x, (backend.shape(x)[0], columns // width, width))
    holder = excluded // width
    held = masked_put(backend, backend.pick(blocks, holder), excluded - holder * width, neutral)
    return masked_put(backend, reduce(blocks, axis=-1), holder, reduce(held, axis=-1)[:, None])


def set_aside(backend: Backend, x: Array, excluded: Array) -> tuple[Array, Array]:
    """The largest of the other classes, and the sum of exp(x - largest) over them, widened; x is (rows, classes).

    Measured from the largest of the others, the sum is at least 1 and never meets a subnormal number, which some
    kernels flush to 0, however far the excluded class is above.
    """
    largest, parts = _below_largest(backend, x, excluded)
    return largest, backend.total(parts)


def _below_largest(backend: Backend, x: Array, excluded: Array) -> tuple[Array, Array]:
    """The largest of the other classes, 0 where all of them are -inf, and the exponentials measured from it."""
    x = backend.without(x, excluded)
    largest = reachable(backend, backend.namespace(x).max(x, axis=-1))
    return largest, backend.exp_below(x, largest)


def set_aside_two_level(backend: Backend, x: Array, excluded: Array) -> tuple[Array, Array]:
    """The same as ``set_aside`` for compilers that fuse exp into a sum only when nothing masks it.

    Every block of a row is reduced whole, to its maximum and its sum; the one that holds the excluded class is gathered
    from x, reduced again without it, and put in its place; then the blocks merge. At 1024 x 32,000 on two cores
    XLA takes 13 ms for this, 45 for a mask, and 8 for the sum of exponentials alone.
    """
    xp = backend.namespace(x)
    columns = backend.shape(x)[-1]
    width = (
        block_width(columns, WIDTH, min(columns // 4, WIDEST), backend.devices()) if isinstance(columns, int) else None
    )
    if width is None:
        return set_aside(backend, x, excluded)
    blocks = xp.reshape(x, (*backend.shape(x)[:-1], columns // width, width))
    tops = reachable(backend, xp.max(blocks, axis=-1))
    sums = xp.sum(xp.exp(blocks - tops[..., None]), axis=-1)
    holder = excluded // width
    held = masked_put(backend, backend.pick(blocks, holder), excluded - holder * width, -math.inf)
    top = reachable(backend, xp.max(held, axis=-1))
    tops = masked_put(backend, tops, holder, top[:, None])
    sums = masked_put(backend, sums, holder, xp.sum(xp.exp(held - top[:, None]), axis=-1)[:, None])
    # A block of nothing but -inf has a sum of 0, and no maximum that counts.
    tops = xp.where(sums == 0.0, -math.inf, tops)
    largest = reachable(backend, xp.max(tops, axis=-1))
    return largest, backend.dot(sums, xp.exp(tops - largest[:, None]))


@cache
def block_width(columns: int, near: int, most: int, devices: int = 1) -> int | None:
    """The divisor of the number of classes nearest to ``near``; a rest cut off would cost a copy of everything.

    On many devices, of those that leave as many blocks for each: a compiler that has spread the classes over them would
    have to collect them all to cut them otherwise.
    """
    fits = (width for width in range(NARROWEST, most + 1) if columns % width == 0)
    return min(
        fits, key=lambda width: (-_evenness(columns // width, devices), abs(math.log(width / near))), default=None
    )


def _evenness(count: int, devices: int) -> int:
    """The largest power of two that divides the count, as far as there are devices."""
    return min(count & -count, devices)


def reachable(backend: Backend, largest: Array) -> Array:
    """The largest logit as a constant to subtract: 0 where there is none above -inf, so that nothing is NaN."""
    xp = backend.namespace(largest)
    return backend.detach(xp.where(largest == -math.inf, 0.0, largest))


def subtraction_error(a: Array, b: Array | float, difference: Array) -> Array:
    """(a - b) - difference without rounding, for the rounded difference (Knuth's two-sum)."""
    part = difference - a
    return (a - (difference - part)) - (b + part)


def masked_put(backend: Backend, x: Array, index: Array, value: Array | float) -> Array:
    """x, (rows, columns), with ``value`` at column ``index[row]`` of every row; an index outside puts nothing."""
    here = backend.columns(x)[None, :] == index[:, None]
    return backend.namespace(x).where(here, value, x)


def _split(backend: Backend, x: Array, columns: int) -> tuple[Array, Array | None]:
    """x as whole blocks, of shape (..., blocks, BLOCK), and what is left over."""
    xp = backend.namespace(x)
    devices = backend.devices()
    width = block_width(columns, BLOCK, 2 * BLOCK, devices) if devices > 1 else None
    if width is not None:
        return xp.reshape(x, (*backend.shape(x)[:-1], columns // width, width)), None
    whole = columns - columns % BLOCK
    head = x if whole == columns else x[..., :whole]
    head = xp.reshape(head, (*backend.shape(x)[:-1], whole // BLOCK, BLOCK))
    return head, None if whole == columns else x[..., whole:]
