"""Gradients for libraries without autodiff: the last loss computed is noted together with its gradient."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

Array = Any

_entries: ContextVar[list[tuple[Array, Array, Array]] | None] = ContextVar("xentropy_tape", default=None)


def records() -> bool:
    """Whether somebody wants a gradient with the next loss."""
    return _entries.get() is not None


def record(value: Array, logits: Array, gradient: Array) -> Array:
    """Note the gradient of ``value`` with respect to ``logits``; the value is returned."""
    entries = _entries.get()
    assert entries is not None
    entries.append((value, logits, gradient))
    return value


def value_and_grad(loss: Callable[[Array], Array], logits: Array) -> tuple[Array, Array]:
    """Call the loss and hand out the gradient that it noted.

    Raises:
        TypeError: the loss returned anything but the result of one xentropy call on these logits.
    """
    token = _entries.set([])
    try:
        value = loss(logits)
        entries = _entries.get() or []
    finally:
        _entries.reset(token)
    if len(entries) != 1 or entries[0][0] is not value or entries[0][1] is not logits:
        raise TypeError(
            "value_and_grad: this array library has no autodiff, so the loss must return the unchanged result of one "
            f"xentropy loss of the logits it is given; it made {len(entries)} such calls and returned a "
            f"{type(value).__name__}"
        )
    return value, entries[0][2]
