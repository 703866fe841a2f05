"""Rows whose target is one class index, where a compiler takes over memory: the forward's exponentials are kept.

The formulas of ``xentropy.softmax`` for the common case. A compiler that sees forward and backward together writes the
gradient over the exponentials that it is made of, so that keeping them takes no memory and saves computing them twice.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from xentropy import softmax
from xentropy.dtypes import name_of
from xentropy.rule import Arrays, Needs
from xentropy.softmax import exp_difference, masked_rows, statistics_of
from xentropy.sums import others_kept
from xentropy.targets import counted, label_and_mass

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import SigmoidOptions, SoftmaxOptions

Array = Any

# Logits, from where on keeping is not worth it: at 1024 x 32,000 XLA takes about the same time without, and under one
# framework 1.5 sizes of the logits instead of 2.3.
MANY = 2**24


def applies(options: SoftmaxOptions | SigmoidOptions, logits: Array) -> bool:
    """Whether what is kept has the dtype of the gradient to be written over it, and is known to be of moderate size."""
    known = all(isinstance(size, int) for size in logits.shape)
    return known and prod(logits.shape) <= MANY and name_of(logits.dtype) == options.compute


def keeping(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """The loss of every row; the exponentials; by what they have to be multiplied to be probabilities; and 1 - p_y."""
    x = masked_rows(backend, options, arrays[0], constants)
    xp = backend.namespace(x)
    label, mass = label_and_mass(backend, options, x, constants)
    origin, parts, total = others_kept(backend, x, label)
    own = backend.pick(x, label)
    s = statistics_of(backend, own, label, origin, total)
    maximum = backend.widen(s.maximum)
    loss = (maximum - backend.widen(own)) + s.log_normalizer
    if mass is not None:
        loss = mass * counted(xp, mass, loss)
    if constants[3] is not None:
        loss = xp.where(constants[3], loss, 0.0)
    # Where there is no other class, its origin may be anywhere.
    above = exp_difference(backend, xp.where(total == 0.0, maximum, backend.widen(origin)), maximum)
    return loss, parts, s.over_normalizer(above), s.of_others(1.0)


def gradient(
    backend: Backend,
    options: SoftmaxOptions,
    arrays: Arrays,
    constants: Arrays,
    cotangents: Arrays,
    needs: Needs,
    kept: Arrays = (),
) -> tuple[Array | None, ...]:
    """The gradient of the logits from what ``keeping`` kept, or else one that can be differentiated."""
    if not kept:
        return softmax.gradient(backend, options, arrays, constants, cotangents, needs)
    parts, scale, remainder = kept
    xp = backend.namespace(parts)
    label, mass = label_and_mass(backend, options, parts, constants)
    pull = backend.widen(cotangents[0])
    if mass is not None:
        pull = pull * mass
    if constants[3] is not None:
        pull = xp.where(constants[3], pull, 0.0)
    result = parts * xp.astype(pull * scale, parts.dtype)[:, None]
    return (backend.put(result, label, xp.astype(-pull * remainder, parts.dtype)),)
