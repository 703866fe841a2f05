"""Softmax cross-entropy of rows of logits: statistics, loss and derivative.

For a row x with maximum m and any one class e set aside, let o be the largest of the other classes. With the excess

    s = exp(o - m) * (sum of exp(x_j - o) over j != e)

    logsumexp(x) = m + log1p(s + expm1(x_e - m))            Z = exp(logsumexp(x) - m) = 1 + s + expm1(x_e - m)
    loss         = sum_j t_j phi(l_j),  l_j = (m - x_j) + log Z
    dloss/dx_j   = U p_j - u_j,         u_j = t_j phi'(l_j),  U = sum_j u_j,  p_j = exp(x_j - m) / Z
    dloss/dx_e   = (U - u_e) - U s / Z

Every term is >= 0. The class set aside is the label, or the largest logit where targets are probabilities: its
exponential never enters the sum that is compared with it, so a confident row keeps its relative accuracy in the loss
and in the gradient. o - m carries its rounding error along, and x_j - o is small wherever exp(x_j - o) matters, so
the distance between the logits does not enlarge the error. phi is the focal factor (see ``xentropy.focal``), the
identity by default.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from xentropy import focal
from xentropy.rule import Arrays, Needs
from xentropy.sums import reachable, subtraction_error
from xentropy.targets import RowTargets, counted, row_targets

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import SoftmaxOptions

Array = Any


class Statistics(NamedTuple):
    """A few numbers per row, with the class set aside at ``excluded``; all but ``maximum`` are widened."""

    maximum: Array
    excluded: Array
    excess: Array
    normalizer: Array
    log_normalizer: Array

    def of_others(self, x: Array | float) -> Array:
        """x times s / Z, which is what the class set aside lacks to a probability of 1."""
        return x * self.excess / self.normalizer

    def over_normalizer(self, x: Array) -> Array:
        """x / Z."""
        return x / self.normalizer

    def narrowed(self, backend: Backend) -> Narrowed:
        """As little as the gradient needs."""
        xp = backend.namespace(self.maximum)
        numbers = (self.excess / self.normalizer, 1.0 / self.normalizer, self.log_normalizer)
        narrow = (xp.astype(number, self.maximum.dtype, copy=False) for number in numbers)
        return Narrowed(self.maximum, self.excluded, *narrow)


class Narrowed(NamedTuple):
    """Statistics that are kept for the gradient, one rounding away from ``Statistics``.

    They take fewer bytes than what they are made of: compilers would rather make the others again, for every class.
    """

    maximum: Array
    excluded: Array
    remainder: Array
    inverse: Array
    log_normalizer: Array

    def of_others(self, x: Array | float) -> Array:
        """x times s / Z."""
        return x * self.remainder

    def over_normalizer(self, x: Array) -> Array:
        """x / Z."""
        return x * self.inverse


AnyStatistics = Statistics | Narrowed


def statistics(backend: Backend, x: Array, label: Array | None) -> Statistics:
    """The statistics of rows x, of shape (rows, classes), setting the label (or the largest logit) aside."""
    excluded = backend.argmax(x) if label is None else label
    largest, others = backend.set_aside(x, excluded)
    return statistics_of(backend, backend.pick(x, excluded), excluded, largest, others)


def statistics_of(backend: Backend, own: Array, excluded: Array, largest: Array, others: Array) -> Statistics:
    """The same from the logit set aside and the sum of the others, measured from ``largest``, which one of them is.

    Or from what is larger than these, but below the one set aside by so much that no exponential is lost.
    """
    xp = backend.namespace(own)
    alone = others == 0.0
    maximum = backend.detach(xp.where(alone, own, xp.maximum(largest, own)))
    largest = xp.where(alone, maximum, largest)
    wide_maximum = backend.widen(maximum)
    excess = others * exp_difference(backend, backend.widen(largest), wide_maximum)
    above_one = excess + xp.expm1(backend.widen(own) - wide_maximum)
    normalizer = 1.0 + above_one
    return Statistics(maximum, excluded, excess, normalizer, backend.log1p(above_one))


def exp_difference(backend: Backend, a: Array, b: Array) -> Array:
    """exp(a - b) with the rounding error of the subtraction carried along."""
    xp = backend.namespace(a)
    difference = a - b
    error = subtraction_error(a, b, difference)
    return xp.exp(difference) * (1.0 + xp.where(xp.abs(difference) < math.inf, error, 0.0))


class Activated(NamedTuple):
    """Logits after softcap and temperature.

    Attributes:
        logits: less ``shift``, in the compute dtype.
        slope: their derivative by the given logits; None where it is 1.
        shift: a constant, widened, of shape (rows,), or 0.
        origin: the same before the temperature; None where it is 0.
    """

    logits: Array
    slope: Array | float | None
    shift: Array | float
    origin: Array | None = None


def activate(backend: Backend, options: SoftmaxOptions, logits: Array) -> Activated:
    """Softcap, then temperature, as distances from the row's largest: only so is their rounding that of the span.

    Infinite logits stay: a cap would put an excluded class back, and hide an overflow.
    """
    if not options.activates:
        return Activated(logits, None, 0.0)
    xp = backend.namespace(logits)
    finite = xp.abs(logits) < math.inf
    # Widened, so that all of it is rounded once.
    x = backend.widen(xp.where(finite, logits, 0.0))
    slope: Array | float = 1.0 / options.temperature
    if options.softcap is not None:
        ratio = backend.quotient(x, 0.0, options.softcap)
        # 1 - tanh^2 would cancel where the cap bites.
        tail = xp.exp(-2.0 * magnitude(xp, ratio))
        x = options.softcap * backend.tanh(ratio)
        slope = xp.astype(slope * 4.0 * tail / (1.0 + tail) ** 2, logits.dtype, copy=False)
    largest = reachable(backend, xp.max(xp.where(finite, x, -math.inf), axis=-1))
    x = backend.quotient(x, largest[:, None], options.temperature)
    # The selection also keeps compilers from contracting a product with the subtractions to come, which leaves its
    # rounding error where the label is the largest and the difference 0: 190 ulp of a confident row's loss, in XLA.
    x = xp.where(finite, xp.astype(x, logits.dtype, copy=False), logits)
    return Activated(x, slope, backend.quotient(largest, 0.0, options.temperature), largest)


def magnitude(xp: Any, x: Array) -> Array:
    """|x| with derivative 1 at 0: autodiff's 0 there would lose the second derivative of what is smooth in x."""
    return xp.where(x >= 0.0, x, -x)


def masked_rows(backend: Backend, options: SoftmaxOptions, logits: Array, constants: Arrays) -> Array:
    """Logits in the compute dtype, excluded classes at -inf, removed rows made harmless."""
    xp = backend.namespace(logits)
    _, _, class_mask, keep = constants
    x = xp.astype(logits, getattr(xp, options.compute), copy=False)
    # Before softcap and temperature, which leave it as it is: so no excluded class is the largest.
    if class_mask is not None:
        x = xp.where(class_mask, x, -math.inf)
    # After the mask, which may allow nothing in a removed row.
    if keep is not None:
        x = xp.where(keep[:, None], x, 0.0)
    return x


def _rows(backend: Backend, options: SoftmaxOptions, logits: Array, constants: Arrays) -> Activated:
    """Logits after every option that acts on them."""
    return activate(backend, options, masked_rows(backend, options, logits, constants))


def forward(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """The loss of every row."""
    return (_loss(backend, options, arrays, constants)[0],)


def forward_keeping(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """The loss of every row, and the statistics that its gradient needs."""
    loss, s = _loss(backend, options, arrays, constants)
    return loss, *s.narrowed(backend)


def _loss(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> tuple[Array, Statistics]:
    x, _, shift, _ = _rows(backend, options, arrays[0], constants)
    xp = backend.namespace(x)
    targets = row_targets(backend, options, x, arrays[1:], constants)
    s = statistics(backend, x, targets.label)
    loss = _label_loss(backend, options, x, s, targets) + _background_loss(backend, options, x, s, targets)
    if options.z_loss:
        loss = loss + options.z_loss * (shift + _logsumexp(backend, s)) ** 2
    keep = constants[3]
    return loss if keep is None else xp.where(keep, loss, 0.0), s


def _logsumexp(backend: Backend, s: AnyStatistics) -> Array:
    return backend.widen(s.maximum) + s.log_normalizer


def _label_nll(backend: Backend, x: Array, s: AnyStatistics) -> Array:
    return (backend.widen(s.maximum) - backend.widen(backend.pick(x, s.excluded))) + s.log_normalizer


def _label_loss(backend: Backend, options: SoftmaxOptions, x: Array, s: AnyStatistics, t: RowTargets) -> Array | float:
    if t.label_mass is None:
        return 0.0
    nll = counted(backend.namespace(x), t.label_mass, _label_nll(backend, x, s))
    return t.label_mass * focal.modulated(backend, nll, options.focal_gamma)


def _background_loss(
    backend: Backend, options: SoftmaxOptions, x: Array, s: AnyStatistics, t: RowTargets
) -> Array | float:
    if t.background is None:
        return 0.0
    xp = backend.namespace(x)
    below = counted(xp, t.background, s.maximum[:, None] - x)
    if options.focal_gamma == 0.0:
        mass = backend.total(t.background)
        return backend.dot(t.background, below) + mass * s.log_normalizer
    nll = below + xp.astype(s.log_normalizer, x.dtype)[:, None]
    return backend.dot(t.background, focal.modulated(backend, nll, options.focal_gamma))


def gradient(
    backend: Backend,
    options: SoftmaxOptions,
    arrays: Arrays,
    constants: Arrays,
    cotangents: Arrays,
    needs: Needs,
    kept: Arrays = (),
) -> tuple[Array | None, ...]:
    """The gradient of the logits and, where the targets are probabilities, theirs.

    It can be differentiated, but for the statistics that are ``kept`` from ``forward_keeping``.
    """
    x, slope, shift, _ = _rows(backend, options, arrays[0], constants)
    targets = row_targets(backend, options, x, arrays[1:], constants)
    s: AnyStatistics = (
        statistics(backend, x, targets.label) if not kept else Narrowed(*kept[:2], *map(backend.widen, kept[2:]))
    )
    cotangent = counted_cotangent(backend, cotangents[0], constants[3])
    z_pull = 2.0 * options.z_loss * (shift + _logsumexp(backend, s)) if options.z_loss else None
    of_logits = _logits_gradient(backend, options, x, s, targets, cotangent, z_pull) if needs[0] else None
    if of_logits is not None and slope is not None:
        of_logits = of_logits * slope
    if len(needs) == 1:
        return (of_logits,)
    return of_logits, _targets_gradient(backend, options, x, s, targets, cotangent) if needs[1] else None


def counted_cotangent(backend: Backend, cotangent: Array, keep: Array | None) -> Array:
    """A cotangent of the rows, widened, 0 of those that are removed."""
    wide = backend.widen(cotangent)
    return wide if keep is None else backend.namespace(wide).where(keep, wide, 0.0)


def _logits_gradient(
    backend: Backend,
    options: SoftmaxOptions,
    x: Array,
    s: AnyStatistics,
    t: RowTargets,
    cotangent: Array,
    z_pull: Array | None,
) -> Array:
    xp = backend.namespace(x)
    effective, others = _effective_background(backend, options, x, s, t)
    pull = others + _effective_label(backend, options, x, s, t, effective)
    row = xp.astype(s.over_normalizer(cotangent * (pull if z_pull is None else pull + z_pull)), x.dtype)
    result = xp.exp(x - s.maximum[:, None]) * row[:, None]
    if effective is not None:
        result = result - effective * xp.astype(cotangent, x.dtype)[:, None]
    own = others - s.of_others(pull)
    if z_pull is not None:
        own = own + z_pull * (1.0 - s.of_others(1.0))
    return backend.put(result, s.excluded, xp.astype(cotangent * own, x.dtype))


def _effective_background(
    backend: Backend, options: SoftmaxOptions, x: Array, s: AnyStatistics, t: RowTargets
) -> tuple[Array | None, Array | float]:
    """u_j of the background and its sum over all classes but the one set aside."""
    if t.background is None:
        return None, 0.0
    xp = backend.namespace(x)
    effective = t.background
    if options.focal_gamma:
        nll = (s.maximum[:, None] - x) + xp.astype(s.log_normalizer, x.dtype)[:, None]
        effective = effective * focal.slope(backend, nll, options.focal_gamma)
    spread = effective + xp.zeros_like(x)  # a scratch of its own for ``put``
    return effective, backend.total(backend.put(spread, s.excluded, 0.0))


def _effective_label(
    backend: Backend,
    options: SoftmaxOptions,
    x: Array,
    s: AnyStatistics,
    t: RowTargets,
    effective: Array | None,
) -> Array | float:
    """u of the class set aside."""
    own: Array | float = 0.0
    if t.label_mass is not None:
        nll = _label_nll(backend, x, s)
        factor = focal.slope(backend, nll, options.focal_gamma) if options.focal_gamma else 1.0
        own = t.label_mass * factor
    if effective is not None:
        own = own + backend.widen(backend.pick(effective, s.excluded))
    return own


def _targets_gradient(
    backend: Backend, options: SoftmaxOptions, x: Array, s: AnyStatistics, t: RowTargets, cotangent: Array
) -> Array:
    xp = backend.namespace(x)
    below = s.maximum[:, None] - x
    out = xp.logical_and(t.background == 0.0, below == math.inf)
    nll = xp.where(out, 0.0, below) + xp.astype(s.log_normalizer, x.dtype)[:, None]
    per_target = focal.modulated(backend, nll, options.focal_gamma) * t.per_probability
    return xp.where(out, 0.0, per_target) * xp.astype(cotangent, x.dtype)[:, None]
