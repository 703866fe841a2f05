"""Rows whose classes are in several parts: what each part says of its own, how that merges, and each part's gradient.

A part looks at its classes alone. With the largest of its logits set aside, it says of every row

    top      the largest logit
    excess   the sum of exp(x_j - top) over its other classes
    label    the label's logit, and its class weight, if the label is here
    mass     the sum of its targets t_j, at the largest logit and elsewhere, and the sum of t_j (top - x_j)

With m the largest top, of part w, and d = m - top of each part, everything that ``xentropy.softmax`` needs of a row is

    excess = excess_w + sum of exp(-d) (1 + excess) over the other parts          Z = 1 + excess
    loss   = (m - x_label) t_label + sum of (mass d + sum of t_j (top - x_j)) + (all of t) log Z

Every term is >= 0, and the largest logit of all is in no sum: nothing cancels. The derivative is that of
``xentropy.softmax``, and needs no more than these few numbers of a row, which every part has then.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from xentropy import focal
from xentropy.dtypes import name_of
from xentropy.rule import Arrays, Needs
from xentropy.softmax import activate, counted_cotangent, exp_difference, masked_rows
from xentropy.targets import counted

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import SoftmaxOptions

Array = Any


class Mass(NamedTuple):
    """Targets of a part: at its largest logit, elsewhere, and what the loss is of, measured from the largest logit."""

    at_top: Array
    rest: Array
    below: Array


class Record(NamedTuple):
    """What a part says of every row, widened, of shape (rows,); of several parts, (rows, parts).

    Attributes:
        top: the largest logit, less the origin; -inf where there is none above that.
        excess: the sum of exp(x - top) over the others.
        origin: what ``activate`` has subtracted, before the temperature; None where it did nothing.
        own: the label's logit, 0 where the label is elsewhere; None where targets are probabilities.
        weight: the label's class weight, 0 where the label is elsewhere.
        here: 1 where the label is here, 0 elsewhere; None where ``weight`` says as much.
        soft: probabilities, with class weights, without smoothing; None where targets are indices.
        uniform: class weights of the allowed classes, of which each has its share of the smoothing; None without it.
        allowed: how many classes are allowed; None without smoothing.
    """

    top: Array
    excess: Array
    origin: Array | None = None
    own: Array | None = None
    weight: Array | None = None
    here: Array | None = None
    soft: Mass | None = None
    uniform: Mass | None = None
    allowed: Array | None = None

    def fields(self) -> Arrays:
        """The arrays that there are, in order."""
        found: list[Array] = []
        for field in self:
            found.extend(field if isinstance(field, Mass) else () if field is None else (field,))
        return tuple(found)

    def filled(self, fields: Arrays) -> Record:
        """The same kind of record with other arrays."""
        rest = iter(fields)

        def one(field: Any) -> Any:
            if isinstance(field, Mass):
                return Mass(*(next(rest) for _ in field))
            return None if field is None else next(rest)

        return Record(*map(one, self))


class Merged(NamedTuple):
    """A row of all parts, widened, of shape (rows,), and how a part's own logits are to be read.

    Attributes:
        maximum: the largest logit, measured as the logits of this part are; constant.
        mine: whether it is of this part.
        excess: the sum of exp(x - maximum) over all other classes.
        normalizer: Z, that and 1.
        log_normalizer: its logarithm.
        label: what the label counts for in the gradient, u_label; 0 where targets are probabilities.
        others: the sum of all u_j but that of the largest logit.
        pull: the sum of all u_j.
        share: of the smoothing, for each allowed class; None without it.
        z_pull: the derivative of the z-loss by the log-sum-exp; None without it.
    """

    maximum: Array
    mine: Array
    excess: Array
    normalizer: Array
    log_normalizer: Array
    label: Array
    others: Array
    pull: Array
    share: Array | None
    z_pull: Array | None


def kind(options: SoftmaxOptions, *, labelled: bool, weighted: bool) -> Record:
    """Which fields a record has: a number where there is one."""
    mass = Mass(0.0, 0.0, 0.0)
    return Record(
        0.0,
        0.0,
        0.0 if options.activates else None,
        0.0 if labelled else None,
        0.0 if labelled else None,
        0.0 if labelled and weighted else None,
        None if labelled else mass,
        mass if options.label_smoothing else None,
        0.0 if options.label_smoothing else None,
    )


def forward(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """The fields of a part's ``Record``, and which of its logits it has set aside.

    ``constants`` are (label, class_weight, class_mask, keep) of this part's classes; the label is -1 elsewhere.
    """
    if backend.shape(arrays[0])[-1] == 0:
        return _of_no_class(backend, options, arrays, constants)
    rows = activate(backend, options, masked_rows(backend, options, arrays[0], constants))
    x = rows.logits
    xp = backend.namespace(x)
    label, here = label_here(backend, x, constants)
    largest, own, weight, flag = backend.argmax(x), None, None, None
    if label is not None:
        own = xp.where(here, backend.pick(x, label), 0.0)
        # Of equals, the label: so its logit tells whether it is the one set aside.
        largest = xp.where(xp.logical_and(here, own == backend.pick(x, largest)), label, largest)
        weight, flag = label_weight(backend, x, label, here, constants)
    top, excess = _set_aside(backend, x, largest)
    masses = _masses(backend, options, x, top, largest, arrays[1:], constants)
    wide = None if own is None else backend.widen(own)
    found = Record(backend.widen(top), excess, rows.origin, wide, weight, flag, *masses)
    return (*found.fields(), largest)


def _of_no_class(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """Of a part that has no classes, as the last one may."""
    fields = kind(options, labelled=len(arrays) == 1, weighted=constants[1] is not None).fields()
    nothing, *rest = nothing_of(backend, options, arrays, len(fields))
    return (nothing - math.inf, *rest)


def nothing_of(backend: Backend, options: SoftmaxOptions, arrays: Arrays, fields: int) -> Arrays:
    """Fields of 0, and a logit set aside, of logits without classes: functions of these all the same."""
    xp = backend.namespace(arrays[0])
    nothing = backend.widen(xp.sum(xp.astype(arrays[0], getattr(xp, options.compute)), axis=-1))
    return (*(nothing for _ in range(fields)), backend.as_index(xp.astype(nothing, xp.int32)))


def own_label(backend: Backend, label: Array, start: Any, classes: int) -> Array:
    """Labels of all classes as a part counts its own, of which ``start`` is the first; -1 elsewhere, and for -1."""
    xp = backend.namespace(label)
    own = label - start
    inside = xp.logical_and(xp.logical_and(own >= 0, own < classes), label >= 0)
    return xp.where(inside, own, -1)


def label_here(backend: Backend, x: Array, constants: Arrays) -> tuple[Array | None, Array | None]:
    """The label, 0 where it is elsewhere, and where it is here."""
    label = constants[0]
    if label is None:
        return None, None
    here = label >= 0
    return backend.namespace(x).where(here, label, 0), here


def label_weight(
    backend: Backend, x: Array, label: Array, here: Array | None, constants: Arrays
) -> tuple[Array, Array | None]:
    """The label's class weight, 0 elsewhere; and, if there are class weights, 1 where the label is here."""
    xp = backend.namespace(x)
    flag = backend.widen(xp.astype(here, x.dtype))
    if constants[1] is None:
        return flag, None
    weight = xp.take(xp.astype(constants[1][0, :], x.dtype), label, axis=0)
    return backend.widen(xp.where(here, weight, 0.0)), flag


def _set_aside(backend: Backend, x: Array, largest: Array) -> tuple[Array, Array]:
    """The largest logit, and the excess; 0, not NaN, where there is no other class or none at all above -inf."""
    xp = backend.namespace(x)
    top = backend.pick(x, largest)
    origin, total = backend.set_aside(x, largest)
    alone = total == 0.0
    start = backend.widen(xp.where(alone, 0.0, origin))
    end = backend.widen(backend.detach(xp.where(alone, 0.0, top)))
    return top, total * exp_difference(backend, start, end)


def _masses(
    backend: Backend,
    options: SoftmaxOptions,
    x: Array,
    top: Array,
    largest: Array,
    probabilities: Arrays,
    constants: Arrays,
) -> tuple[Mass | None, Mass | None, Array | None]:
    soft, uniform = _backgrounds(backend, options, x, probabilities, constants)
    of_soft = None if soft is None else _mass(backend, x, top, largest, soft)
    if uniform is None:
        return of_soft, None, None
    xp = backend.namespace(x)
    allowed = xp.ones_like(x) if constants[2] is None else xp.where(constants[2], xp.ones_like(x), 0.0)
    return of_soft, _mass(backend, x, top, largest, uniform), backend.total(allowed)


def _mass(backend: Backend, x: Array, top: Array, largest: Array, t: Array) -> Mass:
    xp = backend.namespace(x)
    # A constant, 0 where there is nothing above -inf.
    reference = backend.detach(xp.where(top == -math.inf, 0.0, top))
    below = backend.dot(t, counted(xp, t, reference[:, None] - x))
    rest = backend.total(backend.put(t + xp.zeros_like(t), largest, 0.0))
    return Mass(backend.widen(backend.pick(t, largest)), rest, below)


def _backgrounds(
    backend: Backend, options: SoftmaxOptions, x: Array, probabilities: Arrays, constants: Arrays
) -> tuple[Array | None, Array | None]:
    """The targets of this part, without smoothing, and what smoothing takes its share of; (rows, classes) each."""
    xp = backend.namespace(x)
    _, class_weight, class_mask, keep = constants[:4]
    weight = None if class_weight is None else xp.astype(class_weight, x.dtype)
    soft = uniform = None
    if probabilities:
        soft = xp.astype(probabilities[0], x.dtype, copy=False)
        if class_mask is not None:
            soft = xp.where(xp.logical_and(soft != 0.0, xp.logical_not(class_mask)), math.nan, soft)
        soft = soft if weight is None else soft * weight
    if options.label_smoothing:
        uniform = xp.ones_like(x) if weight is None else weight + xp.zeros_like(x)
        uniform = uniform if class_mask is None else xp.where(class_mask, uniform, 0.0)
    if keep is not None:
        soft = None if soft is None else xp.where(keep[:, None], soft, 0.0)
        uniform = None if uniform is None else xp.where(keep[:, None], uniform, 0.0)
    return soft, uniform


class Outcome(NamedTuple):
    """What is known of every row once the parts are merged, widened, of shape (rows,).

    Attributes:
        loss: the loss.
        weight: what the row counts for in a mean.
        found: in how many parts its label is; 1 where targets are probabilities.
        merged: what the gradient needs, a ``Merged`` of the record's own kind.
    """

    loss: Array
    weight: Array
    found: Array
    merged: Any


def merge(
    backend: Backend, options: SoftmaxOptions, parts: Record, index: Array | int, keep: Array | None, dtype: Any
) -> Outcome:
    """The loss of rows whose parts are given, (rows, parts) a field, seen from the part of this index.

    ``dtype`` is that of the part's logits.
    """
    xp = backend.namespace(parts.top)
    places = places_of(backend, options, parts)
    excess, above_one = _excess(backend, parts, places)
    log_normalizer = backend.log1p(above_one)
    label = _label_of(backend, options, parts, places, log_normalizer, keep)
    share = _share(backend, options, parts)
    loss, others, pull = label.loss, label.others, label.pull
    if not has_focal_background(options, labelled=parts.own is not None):
        background = _background_of(backend, options, parts, places, log_normalizer, share)
        loss, others, pull = loss + background.loss, others + background.others, pull + background.pull
    z_pull = None
    if options.z_loss:
        lse = backend.quotient(places.largest, 0.0, options.temperature if parts.origin is not None else 1.0)
        lse = lse + log_normalizer
        loss, z_pull = loss + options.z_loss * lse**2, 2.0 * options.z_loss * lse
    merged = Merged(
        xp.astype(seen_from(backend, parts, places, index), dtype, copy=False),
        places.winner == index,
        excess,
        1.0 + above_one,
        log_normalizer,
        label.pull,
        others,
        pull,
        share,
        z_pull,
    )
    loss = loss if keep is None else xp.where(keep, loss, 0.0)
    return Outcome(loss, _row_weight(backend, parts, label), label.found, merged)


def has_focal_background(options: SoftmaxOptions, *, labelled: bool) -> bool:
    """Whether targets beside the label have a focal factor each, which nobody knows before the parts are merged."""
    return options.focal_gamma != 0.0 and (not labelled or options.label_smoothing != 0.0)


def focal_background(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """A part's share of the loss of all targets but the label, and of ``others`` and ``pull``, once it is merged.

    ``constants`` are those of ``gradient``.
    """
    if backend.shape(arrays[0])[-1] == 0:
        return nothing_of(backend, options, arrays, 3)[:3]
    largest, merged = constants[4], Merged(*constants[6:-1])
    x = activate(backend, options, masked_rows(backend, options, arrays[0], constants[:4])).logits
    xp = backend.namespace(x)
    t = _background(backend, options, x, arrays[1:], constants, merged)
    assert t is not None
    nll = counted(xp, t, _nll(backend, x, merged))
    effective = t * focal.slope(backend, nll, options.focal_gamma)
    loss = backend.dot(t, focal.modulated(backend, nll, options.focal_gamma))
    rest = backend.total(backend.put(effective + xp.zeros_like(t), largest, 0.0))
    pull = backend.total(effective)
    return loss, xp.where(merged.mine, rest, pull), pull


def with_background(backend: Backend, outcome: Outcome, sums: Arrays, keep: Array | None) -> Outcome:
    """The outcome with the sums over all parts of what ``focal_background`` returns."""
    loss, others, pull = sums
    if keep is not None:
        loss = backend.namespace(loss).where(keep, loss, 0.0)
    merged = outcome.merged
    merged = merged._replace(others=merged.others + others, pull=merged.pull + pull)
    return outcome._replace(loss=outcome.loss + loss, merged=merged)


def _nll(backend: Backend, x: Array, merged: Merged) -> Array:
    """Of every class."""
    return (merged.maximum[:, None] - x) + backend.namespace(x).astype(merged.log_normalizer, x.dtype)[:, None]


def _background(
    backend: Backend, options: SoftmaxOptions, x: Array, probabilities: Arrays, constants: Arrays, merged: Merged
) -> Array | None:
    """All targets but the label, (rows, classes)."""
    xp = backend.namespace(x)
    soft, uniform = _backgrounds(backend, options, x, probabilities, constants)
    if soft is not None and options.label_smoothing:
        soft = (1.0 - options.label_smoothing) * soft
    if uniform is None:
        return soft
    uniform = uniform * xp.astype(merged.share, x.dtype)[:, None]
    return uniform if soft is None else soft + uniform


class Places(NamedTuple):
    """Where the parts are: what their logits are measured from, on one scale; which has the largest, and how far off.

    ``distance`` is 0, not infinite, in parts without any logit above -inf; ``empty`` tells which these are.
    """

    key: Array
    winner: Array
    largest: Array
    distance: Array
    empty: Array


def places_of(backend: Backend, options: SoftmaxOptions, parts: Record) -> Places:
    """See ``Places``; every field is a constant."""
    xp = backend.namespace(parts.top)
    top = backend.detach(parts.top)
    # Where logits were activated, all finite ones are measured from the origin, and the largest of them is 0.
    key = top if parts.origin is None else xp.where(xp.abs(top) < math.inf, parts.origin, top)
    winner = backend.argmax(key)
    largest = backend.pick(key, winner)
    empty = key == -math.inf
    return Places(key, winner, largest, _below(backend, options, parts, key, empty, largest), empty)


def _below(backend: Backend, options: SoftmaxOptions, parts: Record, key: Array, empty: Array, largest: Array) -> Array:
    xp = backend.namespace(key)
    start = xp.where(empty, largest[:, None], key)
    if parts.origin is None:
        return largest[:, None] - start
    return backend.quotient(largest[:, None] + xp.zeros_like(start), start, options.temperature)


def seen_from(backend: Backend, parts: Record, places: Places, index: Array | int) -> Array:
    """The largest logit of all, measured as those of one part are."""
    if parts.origin is None:
        return places.largest
    column = backend.as_index(backend.namespace(places.key).zeros_like(places.winner)) + index
    return backend.pick(places.distance, column)


def shrunk_by(backend: Backend, parts: Record, places: Places) -> Array:
    """exp(-d) of every part, 0 where it has nothing above -inf; (rows, parts)."""
    xp = backend.namespace(parts.top)
    if parts.origin is None:
        # With the rounding error of the difference.
        start = xp.where(places.empty, places.largest[:, None], places.key)
        shrunk = exp_difference(backend, start, places.largest[:, None] + xp.zeros_like(start))
    else:
        shrunk = xp.exp(-places.distance)
    return xp.where(places.empty, 0.0, shrunk)


def _excess(backend: Backend, parts: Record, places: Places) -> tuple[Array, Array]:
    """The excess of all parts, and what Z is above 1: the same number, with the derivative by the largest logit."""
    xp = backend.namespace(parts.top)
    wins = backend.columns(places.key)[None, :] == places.winner[:, None]
    shrunk = shrunk_by(backend, parts, places)
    # The derivative by a part's largest logit, which is a constant in all else.
    top = xp.where(places.empty, 0.0, parts.top)
    lift = xp.expm1(top - backend.detach(top))
    inside = xp.where(wins, parts.excess, shrunk * (1.0 + parts.excess + lift))
    excess = backend.total(inside)
    at_largest = backend.pick(parts.top, places.winner)
    return excess, excess + xp.expm1(at_largest - backend.detach(at_largest))


class _Label(NamedTuple):
    loss: Array
    others: Array
    pull: Array
    weight: Array | None
    found: Array


def _label_of(
    backend: Backend, options: SoftmaxOptions, parts: Record, places: Places, log_normalizer: Array, keep: Array | None
) -> _Label:
    """The label's share of the loss, and of what the gradient needs."""
    xp = backend.namespace(parts.top)
    if parts.own is None:
        none = xp.zeros_like(log_normalizer)
        return _Label(none, none, none, None, xp.ones_like(none))
    here = parts.weight if parts.here is None else parts.here
    found = xp.sum(here, axis=-1)
    part = backend.argmax(here)
    own = backend.pick(parts.own, part)
    weight = xp.where(found == 1.0, xp.sum(parts.weight, axis=-1), math.nan)
    weight = weight if keep is None else xp.where(keep, weight, 0.0)
    if parts.origin is None:
        nll = (places.largest - own) + log_normalizer
    else:
        nll = (backend.pick(places.distance, part) - own) + log_normalizer
    mass = weight if not options.label_smoothing else (1.0 - options.label_smoothing) * weight
    nll = counted(xp, mass, nll)
    pull = mass if not options.focal_gamma else mass * focal.slope(backend, nll, options.focal_gamma)
    set_aside = xp.logical_and(part == places.winner, own == backend.pick(parts.top, part))
    others = xp.where(set_aside, 0.0, pull)
    return _Label(mass * focal.modulated(backend, nll, options.focal_gamma), others, pull, weight, found)


def _share(backend: Backend, options: SoftmaxOptions, parts: Record) -> Array | None:
    if parts.allowed is None:
        return None
    xp = backend.namespace(parts.top)
    count = backend.total(parts.allowed)
    return options.label_smoothing / xp.where(count == 0.0, 1.0, count)


class _Background(NamedTuple):
    loss: Array | float
    others: Array | float
    pull: Array | float


def _background_of(
    backend: Backend, options: SoftmaxOptions, parts: Record, places: Places, log_normalizer: Array, share: Array | None
) -> _Background:
    """The share in the loss of all targets but the label's, and their sums without the largest logit and with it."""
    loss: Array | float = 0.0
    others: Array | float = 0.0
    pull: Array | float = 0.0
    kept = 1.0 - options.label_smoothing if options.label_smoothing else 1.0
    for mass, coefficient in ((parts.soft, kept), (parts.uniform, share)):
        if mass is None or (type(coefficient) is float and coefficient == 0.0):
            continue
        xp = backend.namespace(mass.rest)
        wins = backend.columns(places.key)[None, :] == places.winner[:, None]
        all_of_it = mass.at_top + mass.rest
        nothing = xp.logical_or(all_of_it == 0.0, places.distance == 0.0)
        far = backend.total(mass.below + xp.where(nothing, 0.0, all_of_it * places.distance))
        total = backend.total(all_of_it)
        loss = loss + coefficient * (far + total * log_normalizer)
        others = others + coefficient * backend.total(mass.rest + xp.where(wins, 0.0, mass.at_top))
        pull = pull + coefficient * total
    return _Background(loss, others, pull)


def _row_weight(backend: Backend, parts: Record, label: _Label) -> Array:
    """What each row counts for in a mean: 1 where its label is unusable, so that its NaN stays one."""
    xp = backend.namespace(parts.top)
    if parts.soft is not None:
        return backend.total(parts.soft.at_top + parts.soft.rest)
    return xp.where(label.found == 1.0, label.weight, 1.0)


def gradient(
    backend: Backend,
    options: SoftmaxOptions,
    arrays: Arrays,
    constants: Arrays,
    cotangents: Arrays,
    needs: Needs,
) -> tuple[Array | None, ...]:
    """The gradient of a part's logits and, where targets are probabilities, theirs.

    ``constants`` are the part's own four, then which logit it has set aside, the cotangent of the row's weight, the
    fields of ``Merged``, and keep once more. ``cotangents`` is that of the loss.
    """
    if backend.shape(arrays[0])[-1] == 0:
        # What parts with classes read, and nothing else: each of it is an exchange on the way back.
        alike = (*cotangents, *constants[6:-1]), (*cotangents, *constants[5:-1])
        each = zip(arrays, needs, alike[: len(arrays)], strict=True)
        return tuple(of_no_class(backend, a, read) if need else None for a, need, read in each)
    largest, of_weight, merged = constants[4], constants[5], Merged(*constants[6:-1])
    rows = activate(backend, options, masked_rows(backend, options, arrays[0], constants[:4]))
    x = rows.logits
    cotangent = counted_cotangent(backend, cotangents[0], constants[3])
    background = _background(backend, options, x, arrays[1:], constants, merged)
    of_logits = of_soft = None
    if needs[0]:
        of_logits = _logits_gradient(backend, options, x, background, (constants[0], largest), cotangent, merged)
        of_logits = of_logits if rows.slope is None else of_logits * rows.slope
    if len(needs) > 1 and needs[1]:
        of_soft = _soft_gradient(backend, options, x, background, constants, (cotangent, of_weight), merged)
    return (of_logits,) if len(needs) == 1 else (of_logits, of_soft)


def of_no_class(backend: Backend, x: Array, alike: Arrays) -> Array:
    """The gradient of a part without classes: nothing, but a function of what all parts hold alike.

    So this part comes along where the others exchange its derivative.
    """
    total = sum((backend.widen(a) for a in alike if a is not None and "float" in name_of(a.dtype)), 0.0)
    return x + backend.namespace(x).astype(total, x.dtype)[:, None]


def _logits_gradient(
    backend: Backend,
    options: SoftmaxOptions,
    x: Array,
    background: Array | None,
    places: tuple[Array | None, Array],
    cotangent: Array,
    merged: Merged,
) -> Array:
    xp = backend.namespace(x)
    pull = merged.pull if merged.z_pull is None else merged.pull + merged.z_pull
    row = xp.astype(cotangent * pull / merged.normalizer, x.dtype)
    result = xp.exp(x - merged.maximum[:, None]) * row[:, None]
    if background is not None:
        if options.focal_gamma:
            background = background * focal.slope(backend, _nll(backend, x, merged), options.focal_gamma)
        result = result - background * xp.astype(cotangent, x.dtype)[:, None]
    label, here = label_here(backend, x, places)
    if label is not None:
        off = xp.where(here, xp.astype(cotangent * merged.label, x.dtype), 0.0)
        result = backend.put(result, label, backend.pick(result, label) - off)
    largest = places[1]
    remainder = merged.excess / merged.normalizer
    own = merged.others - merged.pull * remainder
    if merged.z_pull is not None:
        own = own + merged.z_pull * (1.0 - remainder)
    own = xp.where(merged.mine, xp.astype(cotangent * own, x.dtype), backend.pick(result, largest))
    return backend.put(result, largest, own)


def _soft_gradient(
    backend: Backend,
    options: SoftmaxOptions,
    x: Array,
    background: Array | None,
    constants: Arrays,
    cotangents: tuple[Array, Array],
    merged: Merged,
) -> Array:
    xp = backend.namespace(x)
    nll = _nll(backend, x, merged)
    out = xp.logical_and(background == 0.0, nll == math.inf)
    per_target = xp.where(out, 0.0, focal.modulated(backend, xp.where(out, 0.0, nll), options.focal_gamma))
    of_loss, of_weight = (xp.astype(c, x.dtype)[:, None] for c in cotangents)
    result = (1.0 - options.label_smoothing) * per_target * of_loss + of_weight
    return result if constants[1] is None else result * xp.astype(constants[1], x.dtype)
