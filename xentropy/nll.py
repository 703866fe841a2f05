"""Loss of rows of log-probabilities that are already there: -sum_j t_j x_j, rows not renormalised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xentropy.rule import Arrays, Needs
from xentropy.targets import RowTargets, counted, row_targets

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import SoftmaxOptions

Array = Any


def _rows(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> tuple[Array, RowTargets]:
    xp = backend.namespace(arrays[0])
    x = xp.astype(arrays[0], getattr(xp, options.compute), copy=False)
    keep = constants[3]
    if keep is not None:
        x = xp.where(keep[:, None], x, 0.0)
    return x, row_targets(backend, options, x, arrays[1:], constants)


def forward(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """The loss of every row."""
    x, t = _rows(backend, options, arrays, constants)
    xp = backend.namespace(x)
    loss: Array | float = 0.0
    if t.label is not None:
        loss = loss + t.label_mass * counted(xp, t.label_mass, -backend.widen(backend.pick(x, t.label)))
    if t.background is not None:
        loss = loss + backend.dot(t.background, counted(xp, t.background, -x))
    keep = constants[3]
    return (loss if keep is None else xp.where(keep, loss, 0.0),)


def gradient(
    backend: Backend,
    options: SoftmaxOptions,
    arrays: Arrays,
    constants: Arrays,
    cotangents: Arrays,
    needs: Needs,
) -> tuple[Array | None, ...]:
    """The gradient of the log-probabilities and, where the targets are probabilities, theirs."""
    x, t = _rows(backend, options, arrays, constants)
    xp = backend.namespace(x)
    cotangent = backend.widen(cotangents[0])
    if constants[3] is not None:
        cotangent = xp.where(constants[3], cotangent, 0.0)
    of_x = xp.zeros_like(x)
    if t.label is not None:
        of_x = backend.put(of_x, t.label, xp.astype(-cotangent * t.label_mass, x.dtype))
    rows = xp.astype(cotangent, x.dtype)[:, None]
    if t.background is not None:
        of_x = of_x - t.background * rows
    if len(needs) == 1:
        return (of_x,)
    of_targets = counted(xp, t.background, -x) * t.per_probability * rows if needs[1] else None
    return of_x if needs[0] else None, of_targets
