"""Who holds the parts of the classes: one engine a backend, each of which runs a loss in any number of parts."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

# The backend's name under test, and the module of its engine.
PARTS = (1, 2, 3, 4)
# In how many parts of one size the numbers of classes under test can be cut, where an engine has no others.
EVEN = {"jax": (1, 2, 4)}
ENGINES = {"numpy": "threads", "torch": "processes", "jax": "devices", "tensorflow": "replicas"}


@dataclass(frozen=True)
class Whole:
    """What the parts say together, after it was asserted that they agree where they must.

    Attributes:
        value: the loss, the same in every part.
        gradients: of each array that was differentiated, put together along the classes again.
    """

    value: np.ndarray[Any, Any]
    gradients: tuple[np.ndarray[Any, Any], ...]


class Engine(Protocol):
    """A module of this package."""

    def evaluate(
        self, arrays: Mapping[str, np.ndarray[Any, Any]], static: Mapping[str, Any], parts: int, wrt: tuple[str, ...]
    ) -> Whole:
        """``xentropy.cross_entropy`` in parts, and its gradients; a loss of "none" is summed to be differentiated.

        ``arrays`` are all array arguments of the whole by name, ``static`` all others, ``wrt`` what is differentiated:
        of "logits" and "targets".
        """


def engine(name: str) -> Engine:
    """The engine of a backend."""
    module: Any = importlib.import_module(f"engines.{ENGINES[name]}")
    return module


def slices(classes: int, parts: int) -> list[slice]:
    """As even as PyTorch cuts: all of a size, but the last ones, which may be smaller or empty."""
    size = -(-classes // parts)
    return [slice(min(i * size, classes), min((i + 1) * size, classes)) for i in range(parts)]


def cut(arrays: Mapping[str, np.ndarray[Any, Any]], where: slice) -> dict[str, np.ndarray[Any, Any]]:
    """The arguments of one part."""
    along = {"logits", "class_weight", "class_mask"}
    if arrays["targets"].dtype.kind == "f":
        along = along | {"targets"}
    return {name: a[..., where] if name in along else a for name, a in arrays.items()}
