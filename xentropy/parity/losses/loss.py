"""A loss of anybody's, and whose arrays it takes."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from xentropy.parity import discovery

Function = Callable[..., Any]


@dataclass(frozen=True)
class Loss:
    """A loss, and what has to be known to call it.

    Attributes:
        function: called as ``function(logits, targets)``, with logits of shape (rows, classes), or (rows,) where the
            cases are binary; where a case has sample weights, with these as ``sample_weight``. It returns a loss for
            each row, of shape (rows,), or one number, as ``reduction`` of ``assert_parity`` says.
        arrays: the library whose arrays it takes, by the name that it is imported by; None reads it off the function:
            from the module it comes from, the classes of a callable object, or the annotation of its first argument.
        gradient: the gradient of the sum of what the function returns, called with the same arguments: for a library
            without derivatives of its own, or in place of the library's. None asks the library.
        targets_first: whether it is called as ``function(targets, logits)``.
        name: what reports call it.

    Example:
        >>> import numpy as np
        >>> def mine(logits, targets):
        ...     log_p = logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
        ...     return -np.take_along_axis(log_p, targets[:, None], axis=-1)[:, 0]
        >>> Loss(mine, "numpy").name
        'mine'
    """

    function: Function
    arrays: str | None = None
    gradient: Function | None = None
    targets_first: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function is {self.function!r}; a loss is called with logits and targets")
        if self.gradient is not None and not callable(self.gradient):
            raise TypeError(f"gradient is {self.gradient!r}; it is called with what the loss is called with")
        if not self.name:
            object.__setattr__(self, "name", _name_of(self.function))


def _name_of(function: Function) -> str:
    *_, inner = _layers(function)
    return str(getattr(inner, "__name__", type(inner).__name__))


def _layers(function: Any) -> Iterator[Any]:
    """The function, what it wraps, and so on: a compiled one tells by its outer layers whose arrays it takes."""
    while function is not None:
        yield function
        function = function.func if isinstance(function, partial) else getattr(function, "__wrapped__", None)


def arrays_of(loss: Loss) -> str:
    """The library whose arrays the loss takes, by the name that it is imported by.

    Raises:
        TypeError: nothing about the function tells.
    """
    if loss.arrays is not None:
        return loss.arrays
    for module in [*_modules(loss.function), _annotated(loss.function, loss.targets_first)]:
        name = discovery.owner(str(module).partition(".")[0])
        if name is not None:
            return name
    known = ", ".join(discovery.registered())
    raise TypeError(
        f"whose arrays does {loss.name} take? Annotate its logits, or say Loss({loss.name}, NAME), in a shell --arrays "
        f"NAME, NAME being one of {known}"
    )


def _modules(function: Function) -> Iterator[str | None]:
    for layer in _layers(function):
        yield getattr(layer, "__module__", None)
        yield from (base.__module__ for base in type(layer).__mro__)


def _annotated(function: Function, second: bool) -> str | None:
    """The module of the annotation of the argument that takes the logits."""
    *_, inner = _layers(function)
    try:
        hints = typing.get_type_hints(inner if inspect.isroutine(inner) else type(inner).__call__)
        # Of the outer layer: what a partial has set already is no argument any more.
        names = list(inspect.signature(function).parameters)
    except (NameError, TypeError, ValueError):  # a forward reference to nothing; a function without a signature
        return None
    at = 1 if second else 0
    hint = hints.get(names[at]) if len(names) > at else None
    return getattr(hint, "__module__", None)
