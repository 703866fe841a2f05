"""Elements with neither weights nor options, where blocks can be written over: loss and gradient in one pass.

The formulas of ``xentropy.sigmoid`` for the common case. With h = 1 where z > 0 and 0 where z < 0 (either at 0), the
sign s = 2 h - 1, and a = exp(-|z|),

    loss     = log1p(a) + z (h - y)
    dloss/dz = (h - y) - s a / (1 + a)

h - y cancels nothing that 1 - y or y would not lose.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from xentropy.rule import Arrays

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.blocks import Scratch
    from xentropy.options import SigmoidOptions

Array = Any


def applies(options: SigmoidOptions) -> bool:
    """Whether these options leave the loss as it is, in a dtype that float64 is wider than."""
    extra = options.label_smoothing or options.focal_gamma or options.focal_alpha is not None
    return options.from_logits and options.compute == "float32" and not extra


def joint(
    backend: Backend,
    options: SigmoidOptions,
    arrays: Arrays,
    constants: Arrays,
    cotangent: Array | float | None,
    gradient: Array | None,
    scratch: Scratch,
) -> Array:
    """The loss of every element; and, into ``gradient``, that of the logits for a cotangent: widened, or one number."""
    xp = backend.namespace(arrays[0])
    z, y = (xp.astype(array, xp.float32, copy=False) for array in arrays)
    small = backend.into(scratch.like(z, "small"), "abs", z)
    small *= -1.0
    small = backend.into(small, "exp", small)
    half = xp.astype(backend.asarray(0.5, z), z.dtype)
    above = backend.into(scratch.like(z, "above"), "copysign", half, z)
    above += 0.5
    above -= y
    losses = backend.log1p(small)
    if gradient is not None:
        other = scratch.like(z, "other")
        small /= backend.into(other, "add", small, half + 0.5)
        other = backend.into(other, "copysign", small, z)
        pull = cotangent if isinstance(cotangent, float) else xp.astype(cotangent, z.dtype, copy=False)
        other = backend.into(other, "subtract", above, other)
        other *= pull
        gradient[...] = other if gradient.dtype == other.dtype else xp.astype(other, gradient.dtype)
    product = backend.into(above, "multiply", above, z)
    seen = backend.concrete(product, sync=False)
    # Looked for first: a selection takes as long as all the rest in some libraries, and this is rare.
    if seen is None or not math.isfinite(float(xp.sum(seen))):
        # 0 times an infinite logit. What an infinite y, or one that is no number, made NaN stays so.
        product = xp.where(xp.logical_and(product != product, xp.abs(y) < math.inf), 0.0, product)  # noqa: PLR0124
    losses += product
    return losses


def joint_summed(
    backend: Backend,
    options: SigmoidOptions,
    arrays: Arrays,
    constants: Arrays,
    cotangent: Array | float | None,
    gradient: Array | None,
    scratch: Scratch,
) -> Array:
    """The sum of the losses of every row, widened, and the gradient."""
    pull = cotangent if cotangent is None or isinstance(cotangent, float) else cotangent[:, None]
    return backend.total(joint(backend, options, arrays, constants, pull, gradient, scratch))
