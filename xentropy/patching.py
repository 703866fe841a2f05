"""Other people's functions replaced by ours, together, and put back together."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

Place = tuple[Any, str, Any]


class Patch:
    """Attributes of modules, classes and objects, or items of dicts, that are replaced together.

    Args:
        places: called when the patch is applied, so that nothing needs to be imported before; returns (owner, name,
            replacement) for every place, owners of which are dicts or have attributes.

    Example:
        >>> import math
        >>> patch = Patch(lambda: [(math, "pi", 3)])
        >>> with patch.patched():
        ...     print(math.pi)
        3
        >>> math.pi > 3
        True
    """

    def __init__(self, places: Callable[[], Iterable[Place]]) -> None:
        self._places = places
        self._lock = threading.RLock()
        self._depth = 0
        self._kept: list[tuple[Place, Any, bool]] = []

    def patch(self) -> None:
        """Put ours in place, for the whole process; once more than ``unpatch`` was called is enough."""
        with self._lock:
            if self._depth == 0:
                try:
                    for place in self._places():
                        self._replace(place)
                except BaseException:
                    self._restore()
                    raise
            self._depth += 1

    def unpatch(self) -> None:
        """Take back one ``patch``; the last one puts everything as it was.

        Raises:
            RuntimeError: nothing is patched.
        """
        with self._lock:
            if self._depth == 0:
                raise RuntimeError("unpatch() without patch(): nothing is patched")
            self._depth -= 1
            if self._depth == 0:
                self._restore()

    @contextmanager
    def patched(self) -> Iterator[None]:
        """``patch`` on entry, ``unpatch`` on exit, whatever happens in between. Nests."""
        self.patch()
        try:
            yield
        finally:
            self.unpatch()

    def _replace(self, place: Place) -> None:
        owner, name, replacement = place
        if isinstance(owner, dict):
            self._kept.append((place, owner[name], True))
            owner[name] = replacement
            return
        before = getattr(owner, name)
        # A module may hand a name out by __getattr__ and not have it: then it must not have it afterwards either.
        self._kept.append((place, before, name in vars(owner)))
        setattr(owner, name, replacement)

    def _restore(self) -> None:
        left = []
        while self._kept:
            (owner, name, replacement), before, own = self._kept.pop()
            found = owner.get(name) if isinstance(owner, dict) else getattr(owner, name, None)
            if found is not replacement:
                where = getattr(owner, "__name__", type(owner).__name__)
                left.append(f"{where}.{name} was replaced again while patched, and is left as it is: {found!r}")
            elif isinstance(owner, dict):
                owner[name] = before
            elif own:
                setattr(owner, name, before)
            else:
                delattr(owner, name)
        # Afterwards: a warning may be an error.
        for message in left:
            warnings.warn(message, RuntimeWarning, stacklevel=4)
