"""An analytic derivative, told once and handed to whatever differentiates: it knows no framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xentropy.dtypes import name_of, narrow
from xentropy.sums import blocked_sum

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import SigmoidOptions, SoftmaxOptions

Array = Any
Arrays = tuple[Array, ...]
Needs = tuple[bool, ...]


def _rounded(backend: Backend, gradient: Array, dtype: Any) -> Array:
    xp = backend.namespace(gradient)
    if name_of(gradient.dtype) == "float64" != name_of(dtype):
        return narrow(xp, gradient, dtype, backend.detach)
    return xp.astype(gradient, dtype, copy=False)


@dataclass(frozen=True)
class Rule:
    """A function of rows together with its derivative.

    A rule is frozen and hashable, so that compilers can key their caches by it.

    Attributes:
        forward: ``(backend, options, arrays, constants) -> outputs``; every output has one number per row, or per
            element when ``elementwise``.
        gradient: ``(backend, options, arrays, constants, cotangents, needs) -> gradients``, one per array, None where
            ``needs`` is False; in the compute dtype. Made of differentiable operations only, so that differentiating
            it gives the second derivative.
        options: the frozen, hashable record that both functions read.
        elementwise: whether outputs have the arrays' shape (True) or lack its last axis (False).
    """

    forward: Callable[[Backend, Any, Arrays, Arrays], Arrays]
    gradient: Callable[[Backend, Any, Arrays, Arrays, Arrays, Needs], tuple[Array | None, ...]]
    options: SoftmaxOptions | SigmoidOptions
    elementwise: bool = False

    def run(self, backend: Backend, arrays: Arrays, constants: Arrays) -> Arrays:
        """The outputs, block by block where the backend profits from blocks."""
        count = len(arrays)

        def rows(*block: Array) -> Arrays:
            return self.forward(backend, self.options, block[:count], block[count:])

        return backend.map_rows(rows, (*arrays, *constants))

    def pull_back(
        self, backend: Backend, arrays: Arrays, constants: Arrays, cotangents: Arrays, needs: Needs
    ) -> tuple[Array | None, ...]:
        """The gradients of the arrays that are needed, each rounded once to its array's dtype; None for the others."""
        first, last = len(arrays), len(arrays) + len(constants)
        wanted = [i for i, need in enumerate(needs) if need]

        def rows(*block: Array) -> Arrays:
            gradients = self.gradient(backend, self.options, block[:first], block[first:last], block[last:], needs)
            return tuple(_rounded(backend, gradients[i], arrays[i].dtype) for i in wanted)

        found = iter(backend.map_rows(rows, (*arrays, *constants, *cotangents)))
        return tuple(next(found) if need else None for need in needs)

    def push_forward(
        self,
        backend: Backend,
        arrays: Arrays,
        constants: Arrays,
        tangents: Sequence[Array | None],
        outputs: Arrays,
    ) -> Arrays:
        """The tangents of the outputs, given the outputs and one tangent (or None, for zero) per array.

        Rows are independent of each other, so the gradient for a cotangent of ones holds every row's derivative.
        """
        xp = backend.namespace(arrays[0])
        needs = tuple(tangent is not None for tangent in tangents)
        pushed = []
        for i in range(len(outputs)):
            units = tuple(xp.ones_like(o) if i == j else xp.zeros_like(o) for j, o in enumerate(outputs))
            gradients = self.gradient(backend, self.options, arrays, constants, units, needs)
            total = None
            for gradient, tangent in zip(gradients, tangents, strict=True):
                if gradient is None:
                    continue
                term = gradient * xp.astype(tangent, gradient.dtype)
                # A tangent has to stay a linear function of the tangents given; ``backend.total`` need not be one.
                term = term if self.elementwise else blocked_sum(backend, term)
                total = term if total is None else total + term
            pushed.append(xp.zeros_like(outputs[i]) if total is None else xp.astype(total, outputs[i].dtype))
        return tuple(pushed)
