"""optax's losses replaced by ours, for code that is not to be touched."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from xentropy.patching import Patch
from xentropy_jax import poly_loss, sigmoid_losses, softmax_losses

_OURS = {
    function.__name__: function
    for function in (
        poly_loss.poly_loss_cross_entropy,
        sigmoid_losses.sigmoid_binary_cross_entropy,
        sigmoid_losses.sigmoid_focal_loss,
        softmax_losses.safe_softmax_cross_entropy,
        softmax_losses.softmax_cross_entropy,
        softmax_losses.softmax_cross_entropy_with_integer_labels,
    )
}


def _places() -> Iterator[tuple[Any, str, Any]]:
    """Every module of optax's that holds one of the functions, by whatever name."""
    import optax.losses  # noqa: PLC0415  (JAX users need not have optax)

    theirs = {id(getattr(optax.losses, name)): ours for name, ours in _OURS.items()}
    for module in [module for name, module in sys.modules.items() if f"{name}.".startswith("optax.")]:
        for name, held in list(vars(module).items()):
            if id(held) in theirs:
                yield module, name, theirs[id(held)]


_patch = Patch(_places)


def patch() -> None:
    """Put ours in place of optax's, in ``optax``, ``optax.losses`` and the modules behind them, for the process.

    A name that a module of somebody else's has imported from optax before stays what it was, and so does a function
    that ``jax.jit`` has traced; one that it traces while ours are there keeps them.

    Raises:
        ImportError: optax is not installed.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> patch()
        >>> print(f"{optax.softmax_cross_entropy_with_integer_labels(jnp.array([20.0, 0.0]), jnp.array(0)):.3e}")
        2.061e-09
        >>> unpatch()
        >>> print(optax.softmax_cross_entropy_with_integer_labels(jnp.array([20.0, 0.0]), jnp.array(0)))
        0.0
    """
    _patch.patch()


def unpatch() -> None:
    """Take back one ``patch()``; the last one leaves optax as it was.

    Raises:
        RuntimeError: nothing is patched.
    """
    _patch.unpatch()


def patched() -> AbstractContextManager[None]:
    """``patch()`` on entry and ``unpatch()`` on exit; it nests.

    Example:
        >>> import optax
        >>> with patched():
        ...     optax.softmax_cross_entropy is softmax_losses.softmax_cross_entropy
        True
        >>> optax.softmax_cross_entropy is softmax_losses.softmax_cross_entropy
        False
    """
    return _patch.patched()
