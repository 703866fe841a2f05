"""DTensors whose classes are sharded: each process's own slice, and the group of the mesh that has the others."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from xentropy_torch.transforms import is_plain

Array = Any


class OwnPart(NamedTuple):
    """A process's slice of a DTensor; see ``xentropy.backend.OwnPart``.

    Attributes:
        local: the slice, differentiable.
        group: the processes that together have all classes.
        mesh: the DTensor's.
        where: the classes of the slice among all.
        split: the dimension of the mesh that the classes are split over.
    """

    local: Tensor
    group: Any
    mesh: Any
    where: slice
    split: int

    def cut(self, x: Any, axis: int) -> Any:
        """The slice of an argument, of which this process may have all or just the slice already.

        Raises:
            ValueError: a gradient of all is asked for, of which each process would have a part of its own.
        """
        if x is None:
            return None
        if is_dtensor(x):
            if not all(placement.is_replicate() for placement in x.placements):
                return x.to_local()
            x = x.to_local(grad_placements=self._placements_of_gradient())
        elif getattr(x, "requires_grad", False):
            raise ValueError(
                "a tensor that goes with sharded classes and needs a gradient must be a DTensor, sharded or replicated"
            )
        x = x if hasattr(x, "shape") else torch.as_tensor(x)
        return x[(*(slice(None) for _ in range(axis % len(x.shape))), self.where)]

    def _placements_of_gradient(self) -> list[Any]:
        """Of what is replicated and read by each process for its own classes: to be added up."""
        from torch.distributed.tensor import Partial, Replicate  # noqa: PLC0415 (loaded: there is one)

        return [Partial() if i == self.split else Replicate() for i in range(self.mesh.ndim)]

    def alike(self, x: Any) -> Any:
        """An argument that all processes have alike."""
        if not is_dtensor(x):
            return x
        if not all(placement.is_replicate() for placement in x.placements):
            raise ValueError(f"a DTensor beside sharded classes must be replicated, got placements {x.placements}")
        return x.to_local()

    def whole(self, x: Tensor) -> Tensor:
        """A result that all processes have alike, as a DTensor."""
        from torch.distributed.tensor import DTensor, Replicate  # noqa: PLC0415 (loaded: there is one)

        return DTensor.from_local(x, self.mesh, [Replicate()] * self.mesh.ndim, run_check=False)


def is_dtensor(x: Any) -> bool:
    """Whether x is a DTensor; nobody has one who has not imported the class."""
    return isinstance(x, Tensor) and not is_plain(x) and type(x).__module__.startswith("torch.distributed.tensor")


def own_part(x: Any, axis: int) -> OwnPart | None:
    """The slice of a DTensor that is sharded along the classes, and nowhere else; None of any other tensor.

    Raises:
        ValueError: a DTensor that is sharded otherwise, which the core's operations could not take.
    """
    if not is_dtensor(x):
        return None
    classes = axis % x.ndim
    split = [i for i, placement in enumerate(x.placements) if not placement.is_replicate()]
    if len(split) != 1 or not x.placements[split[0]].is_shard(classes):
        raise ValueError(
            f"a DTensor must be sharded along its classes, axis {classes}, on one dimension of the mesh, and "
            f"replicated on all others; got placements {x.placements}. Of rows that are sharded too, take to_local() "
            "and give the group of the mesh dimension of the classes: group=mesh.get_group(dim)"
        )
    group, count = x.device_mesh.get_group(split[0]), x.shape[classes]
    size = -(-count // x.device_mesh.size(split[0]))
    start = min(x.device_mesh.get_local_rank(split[0]) * size, count)
    return OwnPart(x.to_local(), group, x.device_mesh, slice(start, min(start + size, count)), split[0])
