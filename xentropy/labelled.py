"""Rows whose target is one class index, where blocks can be written over: loss and gradient in one pass.

The formulas of ``xentropy.softmax`` for the common case, told by what is left in the block when its sum is taken. With
an origin o, e_j = exp(x_j - o) of the other classes, S the sum of these, and d = x_label - o,

    loss         = softplus(log S - d)
    dloss/dx_j   = e_j / (S + exp(d))
    dloss/dx_y   = -S / (S + exp(d))

S and d are float64, so the last two subtractions round nothing that float32 would show. The gradient costs one
multiplication of the block more than the loss, and no second exponential.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from xentropy.rule import Arrays, Needs
from xentropy.softmax import masked_rows
from xentropy.sums import Others
from xentropy.targets import counted, label_and_mass

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.blocks import Scratch
    from xentropy.options import SoftmaxOptions

Array = Any

# Well inside of float32.
LARGE = 2.0**100


def applies(options: SoftmaxOptions) -> bool:
    """Whether a row with these options has one label and its own logits, in a dtype that float64 is wider than."""
    extra = options.label_smoothing or options.z_loss or options.focal_gamma or options.softcap is not None
    return options.from_logits and options.compute == "float32" and not extra and options.temperature == 1.0


def joint(
    backend: Backend,
    options: SoftmaxOptions,
    arrays: Arrays,
    constants: Arrays,
    cotangent: Array | float | None,
    gradient: Array | None,
    scratch: Scratch,
) -> Array:
    """The loss of every row; and, into ``gradient``, that of the logits for a cotangent: widened, or one number."""
    x = masked_rows(backend, options, arrays[0], constants)
    label, mass = label_and_mass(backend, options, x, constants)
    into_gradient = gradient is not None and gradient.dtype == x.dtype
    rest = backend.others(x, label, gradient if into_gradient else scratch.like(x, "parts"))
    if gradient is not None:
        pull = cotangent if mass is None else cotangent * mass
        _gradient(backend, rest, label, pull, constants[3], gradient)
    return _loss(backend, rest.total, rest.ahead, mass, constants[3])


def keeping(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """The loss of every row, and the exponentials that its gradient is made of, where nothing can be written over."""
    x = masked_rows(backend, options, arrays[0], constants)
    label, mass = label_and_mass(backend, options, x, constants)
    rest = backend.others(x, label, None)
    return _loss(backend, rest.total, rest.ahead, mass, constants[3]), *rest[:3]


def gradient(
    backend: Backend,
    options: SoftmaxOptions,
    _arrays: Arrays,
    constants: Arrays,
    cotangents: Arrays,
    _needs: Needs,
    kept: Arrays,
) -> tuple[Array]:
    """The gradient of the logits from what ``keeping`` kept."""
    parts, total, ahead = kept
    xp = backend.namespace(parts)
    label, mass = label_and_mass(backend, options, parts, constants)
    keep = constants[3]
    pull = cotangents[0] if mass is None else cotangents[0] * mass
    factor = (pull if keep is None else xp.where(keep, pull, 0.0)) / (total + xp.exp(ahead))
    # By a power of two first, which rounds nothing and leaves sums of about 1: float32 might not hold the factor.
    first = xp.exp(-math.log(2.0) * xp.round(xp.log(xp.where(total > 0.0, total, 1.0)) / math.log(2.0)))
    result = parts * xp.astype(first, parts.dtype)[:, None] * xp.astype(factor / first, parts.dtype)[:, None]
    return (backend.put(result, label, xp.astype(-factor * total, parts.dtype)),)


def narrow_fits(xp: Any, size: Array) -> Array:
    """Where float32 holds a factor of this size, or its products with what is not extreme."""
    return xp.logical_or(size == 0.0, xp.logical_and(size > 1.0 / LARGE, size < LARGE))


def _loss(backend: Backend, total: Array, ahead: Array, mass: Array | None, keep: Array | None) -> Array:
    xp = backend.namespace(total)
    loss = backend.softplus(xp.log(total) - ahead)
    if mass is not None:
        loss = mass * counted(xp, mass, loss)
    return loss if keep is None else xp.where(keep, loss, 0.0)


def _gradient(
    backend: Backend, rest: Others, label: Array, pull: Array | float, keep: Array | None, gradient: Array
) -> None:
    xp = backend.namespace(gradient)
    if keep is not None:
        pull = xp.where(keep, pull, 0.0)
    scaled = factor = pull / (rest.total + xp.exp(rest.ahead))
    if not rest.is_below:
        fits = narrow_fits(xp, xp.abs(factor))
        if not bool(xp.all(fits)):
            # Far from 0, or with extreme weights, float32 holds the products and not their factor: so by two of them.
            first = xp.where(xp.logical_or(fits, rest.total == 0.0), 1.0, 1.0 / rest.total)
            backend.scale_into(rest.parts, rest.parts, first)
            scaled = factor / first
    backend.scale_into(gradient, rest.parts, scaled)
    backend.put(gradient, label, xp.astype(-factor * rest.total, gradient.dtype))
