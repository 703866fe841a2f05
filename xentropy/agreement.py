"""Before anything is exchanged: do all parts of a group do the same? If one cannot, all of them say so, and none waits.

Each part sends one message of a fixed size: what it is about to do, or the error that it met.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any
T = TypeVar("T")

# Bytes of a message.
SIZE = 1024
_ERROR = 600


class Parts(NamedTuple):
    """Where this part's classes are among all classes.

    Attributes:
        start: the number of classes before them; an integer, or an array of the library without axes.
        total: the number of all classes.
    """

    start: Any
    total: int


def agree(
    backend: Backend, group: Any, like: Array, attempt: Callable[[], tuple[T, int, Mapping[str, Any]]]
) -> tuple[T, Parts]:
    """What ``attempt`` returns first, once all parts are known to have come that far, with the same intentions.

    Args:
        backend: the backend, which may say that its parts agree by their nature.
        group: all parts.
        like: an array of the library.
        attempt: returns what is wanted, how many classes this part has, and all that must be the same everywhere.

    Raises:
        RuntimeError: another part failed, with its error; or the exchange did.
        ValueError: the parts intend different things, or there are no classes at all.
        Exception: whatever ``attempt`` raised, once all others know.
    """
    failure: Exception | None = None
    try:
        wanted, classes, said = attempt()
        message = _packed({"classes": classes, **said})
    except Exception as error:
        failure, message = error, _packed_error(f"{type(error).__name__}: {error}")
    messages = [json.loads(told) for told in backend.tell(message, group, like)]
    if failure is not None:
        raise failure
    for i, other in enumerate(messages):
        if "error" in other:
            raise RuntimeError(
                f"part {i} of {len(messages)} of the classes failed, so that no part has a loss: {other['error']}"
            )
    _require_same(messages)
    counts = [int(other["classes"]) for other in messages]
    if sum(counts) == 0:
        raise ValueError(f"the {len(counts)} parts have no classes; at least one is needed")
    return wanted, Parts(_start(backend, group, counts), sum(counts))


def _packed(message: Mapping[str, Any]) -> bytes:
    packed = json.dumps(message).encode("ascii")
    if len(packed) > SIZE:
        raise ValueError(f"the options of this loss take {len(packed)} bytes to tell, of {SIZE} that there are")
    return packed.ljust(SIZE)


def _packed_error(error: str) -> bytes:
    # Letters beyond ASCII take six bytes, or twelve.
    return _packed({"error": error[:_ERROR] if error.isascii() else error[: _ERROR // 12]})


def _require_same(messages: list[dict[str, Any]]) -> None:
    first = messages[0]
    for i, other in enumerate(messages):
        for what in {**first, **other}:
            here, there = first.get(what), other.get(what)
            if what != "classes" and here != there:
                said = f"part 0 has {here} and part {i} has {there}"
                raise ValueError(f"all parts of a loss must have the same {what}, but {said}")


def _start(backend: Backend, group: Any, counts: list[int]) -> Any:
    index = backend.part(group)
    return index * counts[0] if len(set(counts)) == 1 else sum(counts[: int(index)])
