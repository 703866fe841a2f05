"""Reading values where they are known: labels, masks and probabilities. One error each, naming value and place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import Validate

Array = Any


def readable(backend: Backend, x: Array, validate: Validate) -> Array | None:
    """x as something whose elements can be read, or None: its values are unknown, or nobody may look."""
    return None if validate is False else backend.concrete(x, sync=validate is True)


def first_true(backend: Backend, condition: Array, validate: Validate) -> int | None:
    """The flat position of the first True, or None: there is none, or none that can be read."""
    read = readable(backend, condition, validate)
    if read is None:
        return None
    xp = backend.namespace(read)
    if not bool(xp.any(read)):
        return None
    return int(xp.argmax(xp.astype(xp.reshape(read, (-1,)), xp.int32), axis=0))


def name_element(argument: str, raw: Array, flat: int, shape: tuple[Any, ...]) -> str:
    """``argument[position] is value``, for the element of ``raw`` at a flat position of ``shape``."""
    position = tuple(int(i) for i in np.unravel_index(flat, shape))
    value = raw[position] if position else raw
    where = f"[{', '.join(map(str, position))}]" if position else ""
    return f"{argument}{where} is {value.item() if hasattr(value, 'item') else np.asarray(value).item()}"
