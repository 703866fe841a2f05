"""Programs on a handful of numbers, computed by NumPy in PyTorch's own memory.

An operation of PyTorch's costs 1.5 to 4 us however small its tensor is, one of NumPy's 0.5 to 2, and a loss has some 30
of them. Nothing is recorded here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from xentropy.program import Program
from xentropy_numpy.backend import backend as numpy_backend
from xentropy_torch.transforms import is_plain

Array = Any
Parts = tuple[tuple[Array, ...], ...]

# Elements: from here on PyTorch's threads and faster exp win.
SMALL = 1 << 13


def parted(counts: tuple[int, int], flat: Any) -> tuple[Any, Any, Any]:
    """Arrays, constants and weights, of which so many come first and second."""
    first, last = counts[0], counts[0] + counts[1]
    return flat[:first], flat[first:last], flat[last:]


def value(backend: Any, program: Program, parts: Parts) -> Array:
    """The program's value, of arrays, constants and weights."""
    if not _is_small(parts):
        with torch.no_grad():
            return program.value(backend, *parts)
    return torch.from_numpy(np.asarray(numpy_backend.run(program.value, *_to_numpy(parts))))


def value_and_gradient(backend: Any, program: Program, parts: Parts) -> tuple[Array, Array]:
    """The program's value, and the gradient of the first array."""
    if not _is_small(parts):
        with torch.no_grad():
            return program.value_and_gradient(backend, *parts)
    value, gradient = numpy_backend.run(program.value_and_gradient, *_to_numpy(parts))
    return torch.from_numpy(np.asarray(value)), torch.from_numpy(gradient)


def _is_small(parts: Parts) -> bool:
    x = parts[0][0]
    fits = x.numel() <= SMALL and x.device.type == "cpu"
    return fits and all(a is None or (is_plain(a) and a.dtype != torch.bfloat16) for part in parts for a in part)


def _to_numpy(parts: Parts) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(None if a is None else a.detach().resolve_neg().numpy() for a in part) for part in parts)
