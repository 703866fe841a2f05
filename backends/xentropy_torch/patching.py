"""Ours in PyTorch's place, and out of it again.

Only functions are replaced. The classes of ``torch.nn`` call ``torch.nn.functional`` by name, so that every instance,
made before, inside or after, is ours while patched and PyTorch's otherwise; and as no class is replaced, isinstance,
pickling and subclasses are as they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.overrides
from torch.distributions import bernoulli, continuous_bernoulli, geometric

from xentropy.patching import Patch
from xentropy_torch import functional


def _places() -> Iterator[tuple[Any, str, Any]]:
    for ours in (
        functional.cross_entropy,
        functional.nll_loss,
        functional.binary_cross_entropy,
        functional.binary_cross_entropy_with_logits,
    ):
        yield torch.nn.functional, ours.__name__, ours
    # Not in PyTorch's older versions.
    if hasattr(torch.nn.functional, "linear_cross_entropy"):
        yield torch.nn.functional, "linear_cross_entropy", functional.linear_cross_entropy
    for module in (bernoulli, continuous_bernoulli, geometric):
        yield module, "binary_cross_entropy_with_logits", functional.binary_cross_entropy_with_logits


_PATCH = Patch(_places)


def _forget() -> None:
    """Empty the tables of overridable functions, which PyTorch fills with those that it finds in its modules."""
    for value in vars(torch.overrides).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


def patch() -> None:
    """Put ours in the place of PyTorch's losses, for the whole process, until ``unpatch``.

    ``torch.nn.functional`` and with it the modules of ``torch.nn``, and the distributions that hold one of its losses.
    A function that somebody imported by name before stays what it was, and so does what TorchScript has compiled.

    Example:
        >>> import torch, xentropy_torch
        >>> xentropy_torch.patch()
        >>> torch.nn.functional.cross_entropy is xentropy_torch.cross_entropy
        True
        >>> xentropy_torch.unpatch()
    """
    _PATCH.patch()
    _forget()


def unpatch() -> None:
    """Take back one ``patch``; the last one puts everything as it was.

    Raises:
        RuntimeError: nothing is patched.

    Example:
        >>> import torch, xentropy_torch
        >>> xentropy_torch.patch()
        >>> xentropy_torch.unpatch()
        >>> torch.nn.functional.cross_entropy is xentropy_torch.cross_entropy
        False
    """
    try:
        _PATCH.unpatch()
    finally:
        _forget()


@contextmanager
def patched() -> Iterator[None]:
    """``patch`` on entry, ``unpatch`` on exit, whatever happens in between. Nests.

    Example:
        >>> import torch, xentropy_torch
        >>> loss = torch.nn.CrossEntropyLoss()
        >>> logits, label = torch.tensor([[20.0, 0.0]]), torch.tensor([0])
        >>> with xentropy_torch.patched():
        ...     print(f"{loss(logits, label):.4g}")
        2.061e-09
        >>> print(f"{loss(logits, label):.4g}")
        0
    """
    patch()
    try:
        yield
    finally:
        unpatch()
