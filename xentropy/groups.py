"""Groups of libraries that have none of their own: whatever exchanges as a communicator of mpi4py does."""

from __future__ import annotations

from typing import Any

Array = Any


def part(group: Any) -> int:
    """The number of this part."""
    return int(_checked(group).Get_rank())


def tell(message: bytes, group: Any) -> list[bytes]:
    """The messages of all parts."""
    return list(_checked(group).allgather(message))


def all_gather(x: Array, group: Any) -> list[Array]:
    """The arrays of all parts."""
    return list(_checked(group).allgather(x))


def _checked(group: Any) -> Any:
    if not (hasattr(group, "allgather") and hasattr(group, "Get_rank")):
        raise TypeError(
            "group must have the methods Get_rank() and allgather(object) of a communicator of mpi4py, for arrays of a "
            f"library without groups of its own; got {type(group).__name__}"
        )
    return group
