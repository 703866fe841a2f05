"""What the tests need of a backend, and the one place where they call xentropy through it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import xentropy

Array = Any

SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")


class Harness(ABC):
    """An array library under test."""

    name: str
    # The class, or classes, that every eager result is an instance of.
    array_type: type | tuple[type, ...]
    modes: tuple[str, ...] = ("eager",)
    floats: tuple[str, ...] = ("float32", "float64")
    integers: tuple[str, ...] = (*SIGNED, *UNSIGNED)
    autodiff: bool = True
    # Whether an eager call may look at the values of its arguments at no cost.
    reads_values: bool = True
    # Whether it computes one number a row in float64, unasked.
    wide: bool = True
    # A function of one example to one of a batch, in libraries that trace it with the values unknown.
    vmap: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None
    # Whether arrays have strides that the user sees and sets.
    strided: bool = False

    @abstractmethod
    def asarray(self, values: np.ndarray[Any, Any], dtype: str | None = None) -> Array:
        """An array of this library, in the dtype of ``values`` unless another is named."""

    @abstractmethod
    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """The values; bfloat16 comes back as float32, which holds it exactly."""

    def dtype(self, x: Array) -> str:
        """The bare name of an array's dtype."""
        return str(getattr(x.dtype, "name", x.dtype)).rsplit(".", 1)[-1]

    def compile(self, mode: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        """The function as the mode runs it."""
        assert mode == "eager", mode
        return fn

    def value_and_grad(
        self, mode: str, fn: Callable[..., Array], values: Sequence[Array], wrt: Sequence[int]
    ) -> tuple[Array, Sequence[Array]]:
        """A scalar function's value, and its gradients by this library's own autodiff."""
        assert tuple(wrt) == (0,), "a library without autodiff differentiates with respect to logits only"
        value, gradient = xentropy.value_and_grad(fn)(*values)
        return value, (gradient,)

    def float64(self) -> AbstractContextManager[Any]:
        """Where the library needs a switch to have float64 arrays at all, that switch."""
        return nullcontext()

    def tidy(self) -> None:  # noqa: B027  (most libraries leave nothing behind)
        """Called after every test: what keeps growing can be given back."""


@dataclass(frozen=True)
class Subject:
    """One backend in one mode: what most tests are repeated for."""

    harness: Harness
    mode: str

    @property
    def id(self) -> str:
        """As it reads in a test's name."""
        return f"{self.harness.name}-{self.mode}"

    @property
    def knows_values(self) -> bool:
        """Whether a wrong label raises here; where values are unknown it gives NaN."""
        return self.mode == "eager" and self.harness.reads_values

    def run(self, function: Callable[..., Any], arrays: Mapping[str, Any], **options: Any) -> Any:
        """``function(**arrays, **options)`` in the library's own arrays.

        NumPy arrays in ``arrays`` are converted; every array there is an argument of the compiled function, whereas
        ``options`` are constants of it.
        """
        call, values = self._bind(function, arrays, options)
        return self.harness.compile(self.mode, call)(*values)

    def value(self, function: Callable[..., Any], arrays: Mapping[str, Any], **options: Any) -> np.ndarray[Any, Any]:
        """The result of ``run`` as a NumPy array."""
        return self.harness.to_numpy(self.run(function, arrays, **options))

    def run_gradient(
        self, function: Callable[..., Any], arrays: Mapping[str, Any], wrt: Sequence[str] = ("logits",), **options: Any
    ) -> tuple[Array, tuple[Array, ...]]:
        """The value and the gradients with respect to the arrays named in ``wrt``."""
        call, values = self._bind(function, arrays, options)
        names = list(arrays)
        value, gradients = self.harness.value_and_grad(self.mode, call, values, [names.index(name) for name in wrt])
        return value, tuple(gradients)

    def gradient(
        self, function: Callable[..., Any], arrays: Mapping[str, Any], wrt: str = "logits", **options: Any
    ) -> np.ndarray[Any, Any]:
        """The gradient with respect to one array, as a NumPy array."""
        _, (gradient,) = self.run_gradient(function, arrays, (wrt,), **options)
        return self.harness.to_numpy(gradient)

    def _bind(
        self, function: Callable[..., Any], arrays: Mapping[str, Any], options: Mapping[str, Any]
    ) -> tuple[Callable[..., Any], list[Array]]:
        values = [self.harness.asarray(v) if isinstance(v, np.ndarray) else v for v in arrays.values()]
        # Types belong to the key: 1, 1.0 and True are equal, and not the same option.
        settled = tuple((name, type(value), value) for name, value in options.items())
        try:
            return _call_once(function, tuple(arrays), settled), values
        except TypeError:  # an option that is an array or a list, and has no hash
            return _call(function, tuple(arrays), settled), values


def _call(
    function: Callable[..., Any], names: tuple[str, ...], options: tuple[tuple[str, type, Any], ...]
) -> Callable[..., Any]:
    constants = {name: value for name, _, value in options}

    def call(*given: Array) -> Any:
        return function(**dict(zip(names, given, strict=True)), **constants)

    return call


# The same call of the same options is the same function, so that a library that compiles does so once.
_call_once = cache(_call)
