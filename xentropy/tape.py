"""Gradients for libraries without autodiff: the last loss computed is noted together with its gradient."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

Array = Any

_entries: ContextVar[list[tuple[Array, Array, tuple[Array, ...]]] | None] = ContextVar("xentropy_tape", default=None)


def records() -> bool:
    """Whether somebody wants a gradient with the next loss."""
    return _entries.get() is not None


def record(value: Array, first: Array, gradients: tuple[Array, ...]) -> Array:
    """Note the gradients of ``value`` with respect to its ``first`` argument and others; the value is returned."""
    entries = _entries.get()
    assert entries is not None
    entries.append((value, first, gradients))
    return value


def value_and_grad(loss: Callable[..., Array], arrays: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
    """Call the loss and hand out the gradients that it noted.

    Raises:
        TypeError: the loss returned anything but the result of one xentropy call on the first of these arrays.
    """
    token = _entries.set([])
    try:
        value = loss(*arrays)
        entries = _entries.get() or []
    finally:
        _entries.reset(token)
    if len(entries) != 1 or entries[0][0] is not value or entries[0][1] is not arrays[0]:
        raise TypeError(
            "value_and_grad: this array library has no autodiff, so the loss must return the unchanged result of one "
            f"xentropy loss of the logits it is given; it made {len(entries)} such calls and returned a "
            f"{type(value).__name__}"
        )
    return value, entries[0][2][: len(arrays)]
