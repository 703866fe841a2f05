"""An analytic derivative, told once and handed to whatever differentiates: it knows no framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xentropy.blocks import Scratch
from xentropy.dtypes import name_of, narrow
from xentropy.sums import blocked_sum

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import SigmoidOptions, SoftmaxOptions

Array = Any
Arrays = tuple[Array, ...]
Needs = tuple[bool, ...]


def rounded(backend: Backend, gradient: Array, dtype: Any) -> Array:
    """A gradient in the dtype of its array, to the same bits in every library."""
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
        joint: where blocks can be written over: ``(backend, options, arrays, constants, cotangent, gradient, scratch)
            -> output``, which also fills ``gradient``, of the first array alone, if there is one; or None.
        row_weight: ``(backend, options, arrays, constants) -> weight``: what each row counts for in a mean, as widened
            (rows,), or as one number for all rows; None where nothing takes one.
        keeping: as ``forward``, but the output is followed by what ``gradient`` takes as its last argument, ``kept``,
            each with as many rows; or None.
    """

    forward: Callable[[Backend, Any, Arrays, Arrays], Arrays]
    gradient: Callable[..., tuple[Array | None, ...]]
    options: SoftmaxOptions | SigmoidOptions
    elementwise: bool = False
    joint: Callable[[Backend, Any, Arrays, Arrays, Array | float | None, Array | None, Scratch], Array] | None = None
    keeping: Callable[[Backend, Any, Arrays, Arrays], Arrays] | None = None
    row_weight: Callable[[Backend, Any, Arrays, Arrays], Array | float] | None = None

    def computing(self, dtype: str) -> Rule:
        """The same rule in another dtype."""
        return replace(self, options=replace(self.options, compute=dtype))

    def writes(self, backend: Backend, arrays: Arrays) -> bool:
        """Whether ``joint`` is the way."""
        return self.joint is not None and backend.writes(arrays[0])

    def run(self, backend: Backend, arrays: Arrays, constants: Arrays) -> Arrays:
        """The outputs, block by block where the backend profits from blocks."""
        count = len(arrays)
        if self.writes(backend, arrays):
            return (self._jointly(backend, arrays, constants, None, None),)

        def rows(*block: Array) -> Arrays:
            return self.forward(backend, self.options, block[:count], block[count:])

        return backend.map_rows(rows, (*arrays, *constants))

    def run_keeping(self, backend: Backend, arrays: Arrays, constants: Arrays) -> tuple[Array, Arrays]:
        """The one output, and what ``pull_back`` needs not compute again."""
        if self.keeping is None:
            return self.run(backend, arrays, constants)[0], ()
        output, *kept = self.keeping(backend, self.options, arrays, constants)
        return output, tuple(kept)

    def pull_back(
        self,
        backend: Backend,
        arrays: Arrays,
        constants: Arrays,
        cotangents: Arrays,
        needs: Needs,
        kept: Arrays = (),
    ) -> tuple[Array | None, ...]:
        """The gradients of the arrays that are needed, each rounded once to its array's dtype; None for the others.

        With what ``run_keeping`` kept, they can be differentiated only where it is recorded how that came about.
        """
        if self.writes(backend, arrays) and not any(needs[1:]):
            gradient = self.value_and_gradient(backend, arrays, constants, cotangents[0])[1]
            return (gradient, *(None for _ in arrays[1:]))
        first, last = len(arrays), len(arrays) + len(constants)
        end = last + len(cotangents)
        wanted = [i for i, need in enumerate(needs) if need]

        def rows(*block: Array) -> Arrays:
            more = (block[end:],) if kept else ()
            gradients = self.gradient(
                backend, self.options, block[:first], block[first:last], block[last:end], needs, *more
            )
            return tuple(rounded(backend, gradients[i], arrays[i].dtype) for i in wanted)

        found = iter(backend.map_rows(rows, (*arrays, *constants, *cotangents, *kept)))
        return tuple(next(found) if need else None for need in needs)

    def value_and_gradient(
        self, backend: Backend, arrays: Arrays, constants: Arrays, cotangent: Array | float
    ) -> tuple[Array, Array]:
        """The one output and the first array's gradient; nothing of this is differentiable.

        Where ``writes``, the cotangent may be a number for all rows.
        """
        if self.writes(backend, arrays):
            gradient = backend.empty_like(arrays[0])
            return self._jointly(backend, arrays, constants, cotangent, gradient), gradient
        (output,) = self.run(backend, arrays, constants)
        needs = (True, *(False for _ in arrays[1:]))
        gradient = self.pull_back(backend, arrays, constants, (cotangent,), needs)[0]
        return output, gradient

    def gradient_over(
        self, backend: Backend, arrays: Arrays, constants: Arrays, cotangent: Array | float, *, losses: bool
    ) -> Arrays:
        """The one output, if it is asked for; the first array, the core's own, is written over with its gradient.

        Only where arrays can be written over. The cotangent may be a number for all rows.
        """
        count, scratch, needs = len(arrays), Scratch(backend.empty_like), (True, *(False for _ in arrays[1:]))
        number = cotangent if type(cotangent) is float else None
        each = None if number is not None else backend.widen(cotangent)

        def rows(*block: Array) -> Arrays:
            x, given, fixed = block[0], block[:count], block[count:-1]
            pull = block[-1] if number is None else number
            if self.joint is not None:
                gradient = scratch.like(x, "gradient")
                outputs: Arrays = (self.joint(backend, self.options, given, fixed, pull, gradient, scratch),)
            else:
                outputs = self.forward(backend, self.options, given, fixed) if losses or number is not None else ()
                pull = pull * backend.namespace(x).ones_like(outputs[0]) if number is not None else pull
                gradient = self.gradient(backend, self.options, given, fixed, (pull,), needs)[0]
            x[...] = gradient
            return outputs if losses else ()

        return backend.map_rows(rows, (*arrays, *constants, each))

    def _jointly(
        self,
        backend: Backend,
        arrays: Arrays,
        constants: Arrays,
        cotangent: Array | float | None,
        gradient: Array | None,
    ) -> Array:
        joint, count, scratch = self.joint, len(arrays), Scratch(backend.empty_like)
        assert joint is not None
        number = cotangent if type(cotangent) is float else None
        each = None if cotangent is None or number is not None else backend.widen(cotangent)

        def rows(*block: Array) -> Arrays:
            pull = block[-2] if number is None else number
            return (joint(backend, self.options, block[:count], block[count:-2], pull, block[-1], scratch),)

        (output,) = backend.map_rows(rows, (*arrays, *constants, each, gradient))
        return output

    def push_forward(
        self,
        backend: Backend,
        arrays: Arrays,
        constants: Arrays,
        tangents: Sequence[Array | None],
        outputs: Arrays,
        kept: Arrays = (),
    ) -> Arrays:
        """The tangents of the outputs, given the outputs and one tangent (or None, for zero) per array.

        ``kept`` is as in ``pull_back``. Rows are independent of each other, so the gradient for a cotangent of ones
        holds every row's derivative.
        """
        xp = backend.namespace(arrays[0])
        needs = tuple(tangent is not None for tangent in tangents)
        pushed = []
        for i in range(len(outputs)):
            units = tuple(xp.ones_like(o) if i == j else xp.zeros_like(o) for j, o in enumerate(outputs))
            more = (kept,) if kept else ()
            gradients = self.gradient(backend, self.options, arrays, constants, units, needs, *more)
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
