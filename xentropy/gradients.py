"""A loss together with its gradient: the same call in every library, with autodiff or without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any

from xentropy.dtypes import require_floating
from xentropy.head import linear_cross_entropy
from xentropy.linear_arguments import shared_arrays
from xentropy.registry import resolve

Array = Any

_LINEAR = signature(linear_cross_entropy)


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
    if _is_linear(loss):
        return _of_linear(loss)

    def differentiated(logits: Array, *args: Any, **kwargs: Any) -> tuple[Array, Array]:
        _require_scalar(kwargs)
        resolve(logits)
        require_floating(logits, "logits")
        value, (gradient,) = _both(lambda x: loss(x, *args, **kwargs), (logits,), "logits")
        return value, gradient

    return differentiated


def _is_linear(loss: Callable[..., Array]) -> bool:
    while isinstance(loss, partial):
        loss = loss.func
    return loss is linear_cross_entropy


def _of_linear(loss: Callable[..., Array]) -> Callable[..., tuple[Array, tuple[Array, ...]]]:
    """The function that returns the linear loss, perhaps with options bound, with all of its gradients."""

    def differentiated(*args: Any, **kwargs: Any) -> tuple[Array, tuple[Array, ...]]:
        args, kwargs = _bound(loss, args, kwargs)
        given = _LINEAR.bind(*args, **kwargs).arguments
        _require_scalar(given)
        hidden = given.pop("hidden")
        shared = shared_arrays(resolve(hidden, "hidden"), hidden, given.pop("weight"), given.pop("bias", None))

        def call(hidden: Array, weight: Array, bias: Array | None = None) -> Array:
            return linear_cross_entropy(hidden, weight, bias=bias, **given)

        return _both(call, (hidden, *shared.arrays[1:]), "hidden")

    return differentiated


def _bound(
    loss: Callable[..., Array], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """All arguments, those that a ``functools.partial`` holds included."""
    while isinstance(loss, partial):
        args, kwargs = (*loss.args, *args), {**loss.keywords, **kwargs}
        loss = loss.func
    return args, kwargs


def _require_scalar(given: Mapping[str, Any]) -> None:
    if given.get("reduction") == "none":
        raise ValueError("value_and_grad needs a scalar loss, got reduction='none'")


def _both(loss: Callable[..., Array], arrays: tuple[Array, ...], argument: str) -> tuple[Array, tuple[Array, ...]]:
    backend = resolve(arrays[0], argument)

    def scalar(*given: Array) -> Array:
        value = loss(*given)
        if not hasattr(value, "shape"):
            raise TypeError(f"value_and_grad needs a loss that returns an array, got {type(value).__name__}")
        if len(backend.shape(value)) != 0:
            shape = backend.shape(value)
            raise ValueError(f"value_and_grad needs a scalar loss (not reduction='none'), got shape {shape}")
        return value

    return backend.value_and_grad(scalar, arrays)
