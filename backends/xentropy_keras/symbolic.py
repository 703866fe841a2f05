"""Losses of ``keras.KerasTensor``: a node of a functional model that computes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import keras

P = ParamSpec("P")

_FUNCTIONS: dict[str, Callable[..., Any]] = {}


class Crossentropy(keras.Operation):
    """One of this package's losses as a node of a functional model; made by calling the loss on KerasTensors.

    Args:
        loss: the name of the function.
        options: its arguments but for y_true and y_pred.
        name: the node's name.
    """

    def __init__(self, loss: str, options: dict[str, Any], *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.loss = loss
        self.options = dict(options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The losses of tensors."""
        return _FUNCTIONS[self.loss](y_true, y_pred, **self.options)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {"loss": self.loss, "options": self.options, "name": self.name}


def symbolic(function: Callable[P, Any]) -> Callable[P, Any]:
    """The function, taking KerasTensors too."""
    name, signature = function.__name__, inspect.signature(function)
    _FUNCTIONS[name] = function

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> Any:
        if not any(isinstance(x, keras.KerasTensor) for x in (*args, *kwargs.values())):
            return function(*args, **kwargs)
        options = dict(signature.bind(*args, **kwargs).arguments)
        y_true, y_pred = options.pop("y_true"), options.pop("y_pred")
        return Crossentropy(name, options)(y_true, y_pred)

    return called
