"""A loss together with its gradient: the same call in every library, with autodiff or without."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from xentropy.dtypes import require_floating
from xentropy.head import linear_cross_entropy, shared_arrays
from xentropy.registry import resolve

Array = Any


def value_and_grad(loss: Callable[..., Array]) -> Callable[..., tuple[Array, Any]]:
    """The function that returns a scalar loss together with its gradient: the same call in every library.

    Args:
        loss: takes logits first and returns an array without axes. Where the library has autodiff, any such function
            will do; elsewhere (NumPy) it must return the unchanged result of one xentropy loss of these logits, with
            its other arguments free. ``linear_cross_entropy``, or a ``functools.partial`` of its options, is
            differentiated with respect to all that it multiplies; within another function, to the hidden states alone.

    Returns:
        A function of the logits and whatever else ``loss`` takes, returning (value, gradient): the gradient has the
        logits' shape and dtype. Of ``linear_cross_entropy`` it is a tuple, of hidden, weight and, where there is one,
        bias.

    Raises:
        ValueError: when called, if the loss is no scalar (``reduction="none"``).
        TypeError: when called, if the library has no autodiff and the loss is no plain xentropy loss.

    Example:
        >>> import numpy as np, xentropy
        >>> value, gradient = xentropy.value_and_grad(xentropy.cross_entropy)(np.array([[0.0, 20.0]]), np.array([1]))
        >>> print(f"{value:.4g}", gradient)
        2.061e-09 [[ 2.06115362e-09 -2.06115362e-09]]
    """

    def differentiated(logits: Array, *args: Any, **kwargs: Any) -> tuple[Array, Any]:
        if kwargs.get("reduction") == "none":
            raise ValueError("value_and_grad needs a scalar loss, got reduction='none'")
        call, arrays = _of_linear(loss, logits, args, kwargs) if _is_linear(loss) else (None, (logits,))
        argument = "logits" if call is None else "hidden"
        backend = resolve(logits, argument)
        require_floating(logits, argument)

        def scalar(*given: Array) -> Array:
            value = loss(*given, *args, **kwargs) if call is None else call(*given)
            if not hasattr(value, "shape"):
                raise TypeError(f"value_and_grad needs a loss that returns an array, got {type(value).__name__}")
            if len(backend.shape(value)) != 0:
                shape = backend.shape(value)
                raise ValueError(f"value_and_grad needs a scalar loss (not reduction='none'), got shape {shape}")
            return value

        value, gradients = backend.value_and_grad(scalar, arrays)
        return value, gradients[0] if call is None else gradients

    return differentiated


def _is_linear(loss: Callable[..., Array]) -> bool:
    while isinstance(loss, partial) and not loss.args:
        loss = loss.func
    return loss is linear_cross_entropy


def _of_linear(
    loss: Callable[..., Array], hidden: Array, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Array], tuple[Array, ...]]:
    """The loss as a function of what is differentiated, and that."""
    options: dict[str, Any] = {}
    while isinstance(loss, partial):
        options = {**loss.keywords, **options}
        loss = loss.func
    options.update(zip(("weight", "targets"), args, strict=False), **kwargs)
    weight, bias = options.pop("weight", None), options.pop("bias", None)
    if weight is None:
        raise TypeError("linear_cross_entropy needs a weight, of shape (classes, features)")
    shared = shared_arrays(resolve(hidden, "hidden"), hidden, weight, bias)

    def call(hidden: Array, weight: Array, bias: Array | None = None) -> Array:
        return linear_cross_entropy(hidden, weight, bias=bias, **options)

    return call, (hidden, *shared.arrays[1:])
