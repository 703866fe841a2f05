"""scikit-learn's log loss replaced by ours, for code that is not to be touched."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from xentropy.patching import Patch
from xentropy_numpy.classification import log_loss


def _places() -> Iterator[tuple[Any, str, Any]]:
    """Every module of scikit-learn's that holds the function, and the scorer that calls it."""
    import sklearn.metrics  # noqa: PLC0415  (NumPy users need not have scikit-learn)

    theirs = sklearn.metrics.log_loss

    for module in [module for name, module in sys.modules.items() if f"{name}.".startswith("sklearn.")]:
        for name, held in list(vars(module).items()):
            if held is theirs:
                yield module, name, log_loss
    for scorer in sklearn.metrics._scorer._SCORERS.values():
        if scorer._score_func is theirs:
            yield scorer, "_score_func", log_loss


_patch = Patch(_places)


def patch() -> None:
    """Put ours in place of scikit-learn's, in ``sklearn.metrics`` and the "neg_log_loss" scorer, for the process.

    A name that a module of somebody else's has imported from scikit-learn before stays what it was, and so does a
    scorer that ``make_scorer`` or ``get_scorer`` has made before. ``d2_log_loss_score`` stays as it is.

    Raises:
        ImportError: scikit-learn is not installed.

    Example:
        >>> import numpy as np, sklearn.metrics
        >>> labels, p = [0, 1], np.array([1e-5, 1.0], dtype=np.float32)
        >>> patch()
        >>> print(f"{sklearn.metrics.log_loss(labels, p, normalize=False):.4e}")
        1.0119e-05
        >>> unpatch()
        >>> print(f"{sklearn.metrics.log_loss(labels, p, normalize=False):.4e}")
        1.0133e-05
    """
    _patch.patch()


def unpatch() -> None:
    """Take back one ``patch()``; the last one leaves scikit-learn as it was.

    Raises:
        RuntimeError: nothing is patched.
    """
    _patch.unpatch()


def patched() -> AbstractContextManager[None]:
    """``patch()`` on entry and ``unpatch()`` on exit; it nests.

    Example:
        >>> import sklearn.metrics
        >>> with patched():
        ...     sklearn.metrics.log_loss is log_loss
        True
        >>> sklearn.metrics.log_loss is log_loss
        False
    """
    return _patch.patched()
