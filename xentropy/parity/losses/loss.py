"""A loss of anybody's, and whose arrays it takes."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
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
        gradient: the gradient of the sum of what the function returns, called with the same arguments, for a library
            without derivatives of its own; None asks the library.
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
        if not self.name:
            object.__setattr__(self, "name", _name_of(self.function))


def _name_of(function: Function) -> str:
    inner = _innermost(function)
    return str(getattr(inner, "__name__", type(inner).__name__))


def _innermost(function: Any) -> Any:
    inner = inspect.unwrap(function)
    while hasattr(inner, "func"):  # functools.partial
        inner = inspect.unwrap(inner.func)
    return inner


def arrays_of(loss: Loss) -> str:
    """The library whose arrays the loss takes, by the name that it is imported by.

    Raises:
        TypeError: nothing about the function tells.
    """
    if loss.arrays is not None:
        return loss.arrays
    known = discovery.registered()
    inner = _innermost(loss.function)
    modules = [getattr(inner, "__module__", None), *(base.__module__ for base in type(inner).__mro__)]
    for module in [*modules, *_annotated(inner, loss.targets_first)]:
        root = str(module).partition(".")[0]
        if root in known:
            return root
    raise TypeError(
        f"whose arrays does {loss.name} take? Say so: Loss({loss.name}, NAME), NAME being one of {', '.join(known)}"
    )


def _annotated(function: Function, second: bool) -> list[str]:
    """The module of the annotation of the argument that takes the logits."""
    try:
        hints = typing.get_type_hints(function)
        names = list(inspect.signature(function).parameters)
    except (NameError, TypeError, ValueError):  # a forward reference to nothing; a function without a signature
        return []
    at = 1 if second else 0
    hint = hints.get(names[at]) if len(names) > at else None
    return [getattr(hint, "__module__", "")]
