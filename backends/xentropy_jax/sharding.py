"""Logits sharded in a mesh of explicit axes: the losses of the rows are computed inside of a shard_map.

In such a mesh JAX has to be told how everything that is looked up, or written, by an index is sharded, which the
formulas don't. So each device computes with the rows and classes that it has; where these are not all classes of a
row, the axes that the classes are sharded over are a group. In a mesh of automatic axes XLA's partitioner does all of
it, and nothing is done here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec, reshard

from xentropy import shards, softmax
from xentropy.options import SoftmaxOptions
from xentropy.program import AnyProgram, Program
from xentropy.rule import Arrays
from xentropy.sharded import ShardedProgram, ShardedRule, part_rule

Array = Any


@dataclass(frozen=True)
class MeshProgram(ShardedProgram):
    """A program whose arrays are those of all devices; it returns the reduced loss alone.

    Attributes:
        mesh: the mesh, without its devices.
        by_row: the axis that the rows are sharded over, or several in a tuple, or None.
        by_class: those of the classes; where there are any, the rule is a ``ShardedRule`` of them.
    """

    mesh: Any
    by_row: Any
    by_class: Any

    def __call__(self, backend: Any, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
        """The reduced loss, differentiable."""
        specs = jax.tree.map(self._spec, (arrays, constants))
        rows = PartitionSpec(self.by_row)

        def here(arrays: Arrays, constants: Arrays) -> tuple[Array, Array]:
            return self._of_rows(backend, arrays, constants)

        mapped = jax.shard_map(here, mesh=self.mesh, in_specs=specs, out_specs=(rows, rows))
        losses, each = mapped(*jax.tree.map(self._placed, (arrays, constants)))
        return self.reduced_by(backend, losses, each, constants, weights)

    def _spec(self, array: Array) -> PartitionSpec:
        """How an array is sharded that has a number of each row, or one of each class, for each row or for all."""
        if array.ndim == 1:
            return PartitionSpec(self.by_row)
        return PartitionSpec(None if array.shape[0] == 1 else self.by_row, self.by_class)

    def _placed(self, array: Array) -> Array:
        return reshard(array, NamedSharding(self.mesh, self._spec(array)))

    def _of_rows(self, backend: Any, arrays: Arrays, constants: Arrays) -> tuple[Array, Array]:
        """The losses of a device's rows, and what these count for in a mean."""
        rule: Any = self.rule
        if isinstance(rule, ShardedRule):
            label, *others = constants
            if label is not None:
                classes = arrays[0].shape[-1]
                label = shards.own_label(backend, label, backend.part(rule.group) * classes, classes)
            losses, each, _ = backend.attach(rule, arrays, (label, *others))
            return losses, each
        (losses,) = backend.attach(rule, arrays, constants)
        return losses, rule.row_weight(backend, rule.options, arrays, constants) + jnp.zeros_like(losses)


def meshed(program: AnyProgram, arrays: Arrays) -> AnyProgram:
    """The program for what the arrays' mesh is.

    Raises:
        ValueError: classes are sharded, in a mesh of explicit axes, of what is no softmax loss.
    """
    if not isinstance(program, Program) or not isinstance(program.rule.options, SoftmaxOptions):
        return program
    sharding = jax.typeof(arrays[0]).sharding
    by_row, by_class = sharding.spec
    if by_row is None and by_class is None:
        return program
    rule: Any = program.rule
    if by_class is not None:
        if rule.forward is not softmax.forward:
            raise ValueError(
                f"the classes are sharded over {by_class!r}, in a mesh of explicit axes, which only a loss of logits "
                "can take; reshard them (jax.sharding.reshard)"
            )
        rule = ShardedRule(part_rule(rule.options, labelled=len(arrays) == 1), by_class)
    return MeshProgram(rule, program.reduction, program.result, sharding.mesh, by_row, by_class)
