"""Rows with one label each whose classes are in several parts: of ``xentropy.shards``, the common case.

Here it is the label that is set aside, as it is where the classes are not in parts; so no part has to look for its
largest logit. A part says of every row

    origin   what its exponentials are measured from
    total    the sum of exp(x_j - origin) over its classes, but the label
    label    the label's logit, and its class weight, if the label is here

and all parts together are one row of ``xentropy.softmax`` that has its label set aside.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from xentropy import focal
from xentropy.labelled import narrow_fits
from xentropy.rule import Arrays, Needs
from xentropy.shards import Outcome, label_here, label_weight, nothing_of, of_no_class
from xentropy.softmax import counted_cotangent, exp_difference, masked_rows, statistics_of
from xentropy.targets import counted

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import SoftmaxOptions
    from xentropy.sums import Others

Array = Any


class Record(NamedTuple):
    """What a part says of every row, widened, of shape (rows,); of several parts, (rows, parts).

    Attributes:
        origin: what the exponentials are measured from; anything where the total is 0.
        total: their sum.
        own: the label's logit, 0 where the label is elsewhere.
        weight: the label's class weight, 0 where the label is elsewhere.
        here: 1 where the label is here, 0 elsewhere; None where ``weight`` says as much.
    """

    origin: Array
    total: Array
    own: Array
    weight: Array
    here: Array | None

    def fields(self) -> Arrays:
        """The arrays that there are, in order."""
        return tuple(field for field in self if field is not None)

    def filled(self, fields: Arrays) -> Record:
        """The same kind of record with other arrays."""
        origin, total, own, weight, *here = fields
        return Record(origin, total, own, weight, here[0] if here else None)


class Merged(NamedTuple):
    """A row of all parts, (rows,); widened but for the maximum.

    Attributes:
        maximum: the largest logit, or what stands for it; constant.
        excess: the sum of exp(x - maximum) over all classes but the label.
        normalizer: the sum over all classes.
        pull: what the label counts for in the gradient.
        z_pull: the derivative of the z-loss by the log-sum-exp; None without it.
    """

    maximum: Array
    excess: Array
    normalizer: Array
    pull: Array
    z_pull: Array | None


def applies(options: SoftmaxOptions) -> bool:
    """Whether rows with these options, and labels, have only their label as a target, and their own logits."""
    return not (options.label_smoothing or options.activates)


def kind(options: SoftmaxOptions, *, labelled: bool, weighted: bool) -> Record:
    """Which fields a record has."""
    return Record(0.0, 0.0, 0.0, 0.0, 0.0 if weighted else None)


def forward(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """The fields of a part's ``Record``, and which of its logits it has set aside: the label, or the first.

    ``constants`` are (label, class_weight, class_mask, keep) of this part's classes; the label is -1 elsewhere.
    """
    if backend.shape(arrays[0])[-1] == 0:
        fields = kind(options, labelled=True, weighted=constants[1] is not None).fields()
        return nothing_of(backend, options, arrays, len(fields))
    x = masked_rows(backend, options, arrays[0], constants)
    label, here = label_here(backend, x, constants)
    aside = backend.pick(x, label)
    origin, total = backend.set_aside(x, label)
    return (*_fields(backend, x, (label, here, aside), (backend.widen(origin), total), constants), label)


def forward_holding(
    backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays, memory: Array
) -> Arrays:
    """The same, its exponentials written to ``memory``; then the logit set aside, and their origin.

    Only where arrays can be written over, and there are classes.
    """
    x = masked_rows(backend, options, arrays[0], constants)
    label, here = label_here(backend, x, constants)
    aside = backend.pick(x, label)
    rest: Others = backend.others(x, label, memory)
    if rest.parts is not memory:
        # Of short rows, and of those that are far from 0.
        memory[...] = rest.parts
    # Of logits far below 0 that are measured from there, the sum is small, and lost where it is compared with 1.
    xp = backend.namespace(rest.total)
    small = xp.logical_and(rest.total > 0.0, rest.total < 1.0)
    nearer = xp.where(small, xp.floor(xp.log(xp.where(small, rest.total, 1.0))), 0.0)
    moved = rest.origin + nearer, rest.total * xp.exp(-nearer)
    fields = _fields(backend, x, (label, here, aside), moved, constants)
    return (*fields, label, backend.widen(aside), rest.origin)


def _fields(
    backend: Backend, x: Array, place: tuple[Array, Array, Array], rest: tuple[Array, Array], constants: Arrays
) -> Arrays:
    xp = backend.namespace(x)
    (label, here, aside), (origin, total) = place, rest
    # Where the label is elsewhere, what was set aside is added again; where that is nothing, in a finite stand-in.
    alone = xp.logical_and(aside == -math.inf, total == 0.0)
    safe = xp.where(alone, 0.0, aside)
    narrow = xp.astype(origin, x.dtype, copy=False)
    every = statistics_of(backend, safe, label, narrow, total)
    all_of_it = xp.where(alone, 0.0, every.normalizer)
    weight, flag = label_weight(backend, x, label, here, constants)
    found = Record(
        xp.where(here, origin, backend.widen(every.maximum)),
        xp.where(here, total, all_of_it),
        backend.widen(xp.where(here, aside, 0.0)),
        weight,
        flag,
    )
    return found.fields()


def merge(
    backend: Backend, options: SoftmaxOptions, parts: Record, _index: Array | int, keep: Array | None, dtype: Any
) -> Outcome:
    """The loss of rows whose parts are given, (rows, parts) a field; the same seen from every part.

    ``dtype`` is that of the parts' logits.
    """
    xp = backend.namespace(parts.total)
    here = parts.weight if parts.here is None else parts.here
    found = xp.sum(here, axis=-1)
    own = backend.pick(parts.own, backend.argmax(here))
    empty = parts.total == 0.0
    place = backend.detach(xp.where(empty, -math.inf, parts.origin))
    largest = xp.max(place, axis=-1)
    some = xp.where(largest == -math.inf, 0.0, largest)
    shrunk = exp_difference(backend, xp.where(empty, some[:, None], place), some[:, None] + xp.zeros_like(place))
    s = statistics_of(backend, own, None, some, backend.total(xp.where(empty, 0.0, parts.total * shrunk)))
    weight = xp.where(found == 1.0, xp.sum(parts.weight, axis=-1), math.nan)
    weight = weight if keep is None else xp.where(keep, weight, 0.0)
    nll = counted(xp, weight, (s.maximum - own) + s.log_normalizer)
    pull = weight if not options.focal_gamma else weight * focal.slope(backend, nll, options.focal_gamma)
    loss, z_pull = weight * focal.modulated(backend, nll, options.focal_gamma), None
    if options.z_loss:
        lse = s.maximum + s.log_normalizer
        loss, z_pull = loss + options.z_loss * lse**2, 2.0 * options.z_loss * lse
    loss = loss if keep is None else xp.where(keep, loss, 0.0)
    merged = Merged(xp.astype(s.maximum, dtype, copy=False), s.excess, s.normalizer, pull, z_pull)
    return Outcome(loss, xp.where(found == 1.0, weight, 1.0), found, merged)


def gradient(
    backend: Backend,
    options: SoftmaxOptions,
    arrays: Arrays,
    constants: Arrays,
    cotangents: Arrays,
    _needs: Needs,
) -> tuple[Array | None, ...]:
    """The gradient of a part's logits; arguments as those of ``shards.gradient``."""
    if backend.shape(arrays[0])[-1] == 0:
        return (of_no_class(backend, arrays[0], (*cotangents, *constants[6:-1])),)
    label, merged = constants[4], Merged(*constants[6:-1])
    x = masked_rows(backend, options, arrays[0], constants[:4])
    xp = backend.namespace(x)
    cotangent = counted_cotangent(backend, cotangents[0], constants[3])
    row, at_label = _rows(cotangent, merged)
    result = xp.exp(x - merged.maximum[:, None]) * xp.astype(row, x.dtype)[:, None]
    here = constants[0] >= 0
    return (backend.put(result, label, xp.where(here, xp.astype(at_label, x.dtype), backend.pick(result, label))),)


def gradient_held(
    backend: Backend, constants: Arrays, cotangent: Array, kept: tuple[Arrays, Array, Array], held: Array
) -> Array:
    """The same, over the exponentials that ``forward_holding`` has written.

    ``kept`` is what was set aside and all of ``Merged``; then the logit set aside, and the origin.
    """
    (label, *fields), aside, origin = kept
    merged, xp = Merged(*fields), backend.namespace(held)
    maximum = backend.widen(merged.maximum)
    cotangent = counted_cotangent(backend, cotangent, constants[3])
    row, at_label = _rows(cotangent, merged)
    # No exponential where there is none to be measured: a row of -inf has any origin.
    factor = row * xp.exp(xp.where(origin == maximum, 0.0, origin - maximum))
    size = xp.abs(factor)
    fits = narrow_fits(xp, size)
    if backend.concrete(fits, sync=False) is not None and not bool(xp.all(fits)):
        # float32 holds the products and not their factor: so by two of them.
        half = xp.sqrt(size)
        backend.scale_into(held, held, half)
        factor = xp.where(size == 0.0, 0.0, factor / xp.where(half == 0.0, 1.0, half))
    backend.scale_into(held, held, factor)
    elsewhere = row * xp.exp(aside - maximum)
    return backend.put(held, label, xp.astype(xp.where(constants[0] >= 0, at_label, elsewhere), held.dtype))


def _rows(cotangent: Array, merged: Merged) -> tuple[Array, Array]:
    """What exp(x - maximum) is multiplied with, and what there is at the label."""
    remainder = merged.excess / merged.normalizer
    pull = merged.pull if merged.z_pull is None else merged.pull + merged.z_pull
    own = -merged.pull * remainder
    if merged.z_pull is not None:
        own = own + merged.z_pull * (1.0 - remainder)
    return cotangent * pull / merged.normalizer, cotangent * own
