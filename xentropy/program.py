"""A whole loss as one hashable function of arrays: a rule, then the reduction. Compilers cache it by its value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from xentropy import reduction
from xentropy.dtypes import narrow
from xentropy.layout import element_count, known
from xentropy.options import Reduction
from xentropy.rule import Arrays, Rule

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any


@dataclass(frozen=True)
class Program:
    """``program(backend, arrays, constants, weights)`` is the reduced loss.

    Attributes:
        rule: the loss of every row, or of every element.
        reduction: none, sum or mean.
        result: the name of the result's dtype.

    ``weights`` is (sample_weight, normalizer), each None or an array; ``constants`` end with ``keep``. Both weigh rows.
    """

    rule: Rule
    reduction: Reduction
    result: str

    def computing(self, dtype: str) -> Program:
        """The same program in another dtype."""
        return replace(self, rule=self.rule.computing(dtype))

    @property
    def widens(self) -> bool:
        """Whether float64 is asked for where the inputs are narrower."""
        return self.rule.options.compute != self.result

    def __call__(self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
        """The reduced loss: shape (rows,) or the elements' for "none", without axes otherwise."""
        (losses,) = backend.attach(self.rule, arrays, constants)
        return self._reduced(backend, losses, constants, weights, self._divisor(backend, arrays, constants, weights))

    def value(self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
        """The reduced loss alone, without any autodiff."""
        (losses,) = self.rule.run(backend, arrays, constants)
        return self._reduced(backend, losses, constants, weights, self._divisor(backend, arrays, constants, weights))

    def value_and_gradient(
        self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays
    ) -> tuple[Array, Array]:
        """The reduced loss and its gradient with respect to the first array, without any autodiff."""
        divisor = self._divisor(backend, arrays, constants, weights)
        cotangent = self._pull(backend, arrays, constants, weights, divisor)
        losses, gradient = self.rule.value_and_gradient(backend, arrays, constants, cotangent)
        return self._reduced(backend, losses, constants, weights, divisor), gradient

    def value_keeping(
        self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays
    ) -> tuple[Array, Arrays]:
        """The reduced loss, and what ``pull_back`` needs not compute again."""
        losses, kept = self.rule.run_keeping(backend, arrays, constants)
        divisor = self._divisor(backend, arrays, constants, weights)
        return self._reduced(backend, losses, constants, weights, divisor), kept

    def pull_back(
        self,
        backend: Backend,
        arrays: Arrays,
        constants: Arrays,
        weights: Arrays,
        cotangent: Array,
        kept: Arrays = (),
    ) -> Array:
        """The gradient of the first array for a cotangent of the result; the others are constants.

        It can be differentiated; with what is ``kept``, only where it is recorded how that came about.
        """
        rows = self.cotangent_of_rows(backend, arrays, constants, weights, cotangent)
        needs = (True, *(False for _ in arrays[1:]))
        return self.rule.pull_back(backend, arrays, constants, (rows,), needs, kept)[0]

    def cotangent_of_rows(
        self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays, cotangent: Array
    ) -> Array:
        """What a cotangent of the result is for every row's loss, widened."""
        divisor = self._divisor(backend, arrays, constants, weights)
        return self._cotangent(backend, arrays, constants, weights, divisor) * backend.widen(cotangent)

    def _reduced(
        self, backend: Backend, losses: Array, constants: Arrays, weights: Arrays, divisor: Array | float
    ) -> Array:
        xp = backend.namespace(losses)
        if weights[0] is not None:
            losses = losses * xp.astype(kept_weights(backend, constants, weights), losses.dtype, copy=False)
        if self.reduction != "none":
            losses = reduction.sum_all(backend, losses)
        if self.reduction == "mean":
            losses = reduction.divide(xp, losses, divisor)
        result = getattr(xp, self.result)
        return narrow(xp, losses, result, backend.detach) if self.widens else xp.astype(losses, result, copy=False)

    def _pull(
        self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays, divisor: Array | float
    ) -> Array | float:
        """The cotangent of every row, or one number for all of them: an array of it takes 10 us."""
        if weights[0] is None and type(divisor) is float and self.rule.writes(backend, arrays):
            number: float = reduction.divide(None, 1.0, divisor)
            return number
        return self._cotangent(backend, arrays, constants, weights, divisor)

    def _cotangent(
        self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays, divisor: Array | float
    ) -> Array:
        """What every row, or element, counts for in the result; widened."""
        xp = backend.namespace(arrays[0])
        cotangent = reduction.divide(xp, backend.widen(self._ones(backend, arrays)), divisor)
        if weights[0] is not None:
            cotangent = cotangent * backend.widen(kept_weights(backend, constants, weights))
        return cotangent

    def _ones(self, backend: Backend, arrays: Arrays) -> Array:
        xp = backend.namespace(arrays[0])
        first = arrays[0]
        if self.rule.elementwise:
            return xp.ones_like(first, dtype=self._compute(xp))
        # Not the first column: rows of elements may have none, nor may a slice then end beyond them.
        columns = backend.shape(first)[-1]
        stop = min(1, columns) if known(columns) else 1
        return xp.sum(xp.ones_like(first[:, :stop], dtype=self._compute(xp)), axis=-1)

    def _compute(self, xp: Any) -> Any:
        return getattr(xp, self.rule.options.compute)

    def _divisor(self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array | float:
        """What the mean divides by, 1 for the other reductions."""
        if self.reduction != "mean":
            return 1.0
        sample_weight, normalizer = weights
        xp = backend.namespace(arrays[0])
        if normalizer is not None:
            return backend.widen(xp.astype(normalizer, self._compute(xp)))
        assert self.rule.row_weight is not None
        each = self.rule.row_weight(backend, self.rule.options, arrays, constants)
        # Not isinstance, which NumPy's float64 is one for.
        if type(each) is float:
            count = element_count(backend.shape(arrays[0])[:-1])
            if sample_weight is None and constants[-1] is None and count >= 0:  # -1 where a graph doesn't know it
                return each * count
            each = each * self._ones(backend, arrays)
        return reduction.denominator(backend, each, sample_weight, constants[-1])


@dataclass(frozen=True)
class RowStatistics:
    """A rule of several outputs as a program: nothing to weigh or to reduce."""

    rule: Rule
    widens: ClassVar[bool] = False

    def __call__(self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays) -> Arrays:
        """The rule's outputs, each of shape (rows,)."""
        return backend.attach(self.rule, arrays, constants)


AnyProgram = Program | RowStatistics


def kept_weights(backend: Backend, constants: Arrays, weights: Arrays) -> Array:
    """Sample weights, 0 where the row is removed (its own weight may be NaN there)."""
    return backend.namespace(weights[0]).where(constants[-1], weights[0], 0.0)
