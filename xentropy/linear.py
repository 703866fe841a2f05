"""Softmax cross-entropy of hidden @ weight.T + bias, a block of rows at a time: the logits are never all there.

With G the gradient of a block's logits, as ``xentropy.softmax`` has it,

    x = h W^T + b        dh = G W        dW = sum of G^T h over the blocks        db = sum of G's rows

A block is computed forward and back before the next one is begun, so that loss and gradient together take three matrix
products, as many as they do where the logits are kept. The rule of the logits is somebody else's: no option of it is
known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from xentropy import targets
from xentropy.backend import scan_blocks
from xentropy.blocks import rows_of_logits
from xentropy.layout import known
from xentropy.options import SoftmaxOptions
from xentropy.program import Program
from xentropy.rule import Arrays, Needs, Rule, rounded

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any
Block = Callable[..., tuple[Arrays, Arrays]]


class Head(NamedTuple):
    """What all rows share, in the compute dtype."""

    weight: Array
    bias: Array | None

    def logits(self, backend: Backend, hidden: Array, memory: Array | None = None) -> Array:
        """Of rows of hidden states; in ``memory`` if there is any."""
        x = backend.product(hidden, self.weight, memory)
        if self.bias is None:
            return x
        return backend.into(x, "add", x, self.bias) if backend.writes(x) else x + self.bias


@dataclass(frozen=True)
class LinearRule:
    """A ``Rule`` of rows of hidden states, made of one of rows of logits.

    Its arrays are (hidden, weight), then the bias if it is ``biased``, then probabilities if they are the targets.

    Attributes:
        rule: the rule of the logits.
        biased: whether there is a bias.
        chunk_rows: rows in a block; None for as many as ``rows_of_logits`` says.
    """

    rule: Rule
    biased: bool = False
    chunk_rows: int | None = None

    elementwise: ClassVar[bool] = False
    joint: ClassVar[None] = None
    keeping: ClassVar[None] = None

    @property
    def options(self) -> SoftmaxOptions:
        """What shapes the loss of a row of logits."""
        assert isinstance(self.rule.options, SoftmaxOptions)
        return self.rule.options

    @property
    def shared(self) -> int:
        """How many arrays come before the probabilities."""
        return 3 if self.biased else 2

    def computing(self, dtype: str) -> LinearRule:
        """The same rule in another dtype."""
        return replace(self, rule=self.rule.computing(dtype))

    def writes(self, backend: Backend, arrays: Arrays) -> bool:
        """Whether blocks are written over."""
        return backend.writes(arrays[0])

    def row_weight(self, backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Array | float:
        """What each row counts for in a mean."""
        return targets.row_weight(backend, options, (arrays[0], *arrays[self.shared :]), constants)

    def run(self, backend: Backend, arrays: Arrays, constants: Arrays) -> Arrays:
        """The loss of every row."""
        head, logits = self._head(backend, arrays), _Memory(backend)

        def block(_: Arrays, hidden: Array, *rows: Array) -> tuple[Arrays, Arrays]:
            soft, fixed = self._split(rows, arrays)
            return (), self.rule.run(backend, (logits.of(head, hidden), *soft), fixed)

        return self._scanned(backend, block, (), arrays, constants)[1]

    def recorded(self, backend: Backend, arrays: Arrays, constants: Arrays) -> Arrays:
        """The same by operations that the library differentiates itself, and the rule of the logits, which it knows."""
        head = self._head(backend, arrays)

        def block(_: Arrays, hidden: Array, *rows: Array) -> tuple[Arrays, Arrays]:
            soft, fixed = self._split(rows, arrays)
            return (), backend.attach(self.rule, (head.logits(backend, hidden), *soft), fixed)

        rows, step = self._rows(backend, arrays, constants), self.step(backend, arrays)
        if not known(backend.shape(rows[0])[0]) or backend.shape(rows[0])[0] == 0:
            return block((), *rows)[1]
        return scan_blocks(backend.namespace(rows[0]).concat, block, (), rows, step)[1]

    def value_and_gradient(
        self, backend: Backend, arrays: Arrays, constants: Arrays, cotangent: Array | float, needs: Needs | None = None
    ) -> tuple[Array, tuple[Array | None, ...]]:
        """The loss of every row, and the gradients of the arrays that are needed, in the compute dtype.

        Where ``writes``, the cotangent may be a number for all rows.
        """
        needs = needs or (True,) * self.shared + (False,) * (len(arrays) - self.shared)
        losses, gradients = self._pulled(backend, arrays, constants, cotangent, needs, with_losses=True)
        assert losses is not None
        return losses, gradients

    def pull_back(
        self,
        backend: Backend,
        arrays: Arrays,
        constants: Arrays,
        cotangents: Arrays,
        needs: Needs,
        _kept: Arrays = (),
    ) -> tuple[Array | None, ...]:
        """The gradients of the arrays that are needed, each rounded once to its array's dtype; None for the others."""
        gradients = self.gradients(backend, arrays, constants, cotangents[0], needs)
        return tuple(g if g is None else rounded(backend, g, a.dtype) for g, a in zip(gradients, arrays, strict=True))

    def gradients(
        self, backend: Backend, arrays: Arrays, constants: Arrays, cotangent: Array, needs: Needs
    ) -> tuple[Array | None, ...]:
        """The same in the compute dtype."""
        return self._pulled(backend, arrays, constants, cotangent, needs, with_losses=False)[1]

    def push_forward(
        self,
        backend: Backend,
        arrays: Arrays,
        constants: Arrays,
        tangents: Sequence[Array | None],
        outputs: Arrays,
        _kept: Arrays = (),
    ) -> Arrays:
        """The tangents of the losses, given one tangent (or None, for zero) per array."""
        head, xp = self._head(backend, arrays), backend.namespace(arrays[0])
        compute = getattr(xp, self.options.compute)
        turned = [t if t is None else xp.astype(t, compute, copy=False) for t in tangents[: self.shared]]
        moved, of_soft = Head(turned[1], turned[2] if self.biased else None), tangents[self.shared :]

        def block(_: Arrays, hidden: Array, *rows: Array) -> tuple[Arrays, Arrays]:
            *most, output, direction = rows[: len(rows) - len(of_soft)]
            soft, fixed = self._split(most, arrays)
            along = _sum_of(
                None if direction is None else backend.product(direction, head.weight),
                None if moved.weight is None else backend.product(hidden, moved.weight),
                None if moved.bias is None else moved.bias[None, :] + xp.zeros_like(hidden[:, :1]),
            )
            x = head.logits(backend, hidden)
            given = (along, *rows[len(rows) - len(of_soft) :])
            return (), self.rule.push_forward(backend, (x, *soft), fixed, given, (output,))

        more = (outputs[0], turned[0], *of_soft)
        return self._scanned(backend, block, (), arrays, constants, more)[1]

    def _pulled(
        self,
        backend: Backend,
        arrays: Arrays,
        constants: Arrays,
        cotangent: Array | float,
        needs: Needs,
        *,
        with_losses: bool,
    ) -> tuple[Array | None, tuple[Array | None, ...]]:
        head, logits = self._head(backend, arrays), _Memory(backend)
        number = cotangent if type(cotangent) is float else None
        of_soft = needs[self.shared :]
        over = self.writes(backend, arrays) and not any(of_soft)

        def block(sums: Arrays, hidden: Array, *rows: Array) -> tuple[Arrays, Arrays]:
            soft, fixed = self._split(rows[:-1], arrays)
            pull = rows[-1] if number is None else number
            x = logits.of(head, hidden)
            losses, pulled = self._of_logits(backend, (x, *soft), fixed, pull, of_soft, over=over, losses=with_losses)
            g = pulled[0]
            of_hidden = (_kept(backend, backend.times(g, head.weight), fixed[-1]),) if needs[0] else ()
            return _added(backend, sums, g, hidden), (*losses, *of_hidden, *pulled[1:])

        zeros = [backend.zeros_like(head.weight) if needs[1] else None]
        if self.biased:
            zeros.append(backend.zeros_like(backend.widen(head.bias)) if needs[2] else None)
        sums, outputs = self._scanned(
            backend, block, tuple(zeros), arrays, constants, (cotangent if number is None else None,)
        )
        rest = iter(outputs)
        losses = next(rest) if with_losses else None
        of_hidden = next(rest) if needs[0] else None
        return losses, (of_hidden, *sums, *(next(rest) if need else None for need in of_soft))

    def _of_logits(
        self,
        backend: Backend,
        arrays: Arrays,
        constants: Arrays,
        cotangent: Array | float,
        of_soft: Needs,
        *,
        over: bool,
        losses: bool,
    ) -> tuple[Arrays, Arrays]:
        """The losses of a block, if asked for, and the gradients of its logits (which may be gone then) and targets."""
        if over:
            return self.rule.gradient_over(backend, arrays, constants, cotangent, losses=losses), (arrays[0],)
        # Attached: where this is differentiated again, the loss is as well.
        first = backend.attach(self.rule, arrays, constants) if losses else ()
        pulled = self.rule.pull_back(backend, arrays, constants, (cotangent,), (True, *of_soft))
        return first, tuple(g for g in pulled if g is not None)

    def _head(self, backend: Backend, arrays: Arrays) -> Head:
        xp = backend.namespace(arrays[0])
        compute = getattr(xp, self.options.compute)
        weight, *bias = (xp.astype(a, compute, copy=False) for a in arrays[1 : self.shared])
        return Head(weight, bias[0] if bias else None)

    def _split(self, rows: Sequence[Array], arrays: Arrays) -> tuple[Arrays, Arrays]:
        """A block's probabilities, if there are any, and its constants."""
        count = len(arrays) - self.shared
        return tuple(rows[:count]), tuple(rows[count:])

    def _scanned(
        self,
        backend: Backend,
        block: Block,
        sums: Arrays,
        arrays: Arrays,
        constants: Arrays,
        more: Arrays = (),
    ) -> tuple[Arrays, Arrays]:
        """``block(sums, hidden, *soft, *constants, *more)`` of one block after the other."""
        rows = (*self._rows(backend, arrays, constants), *more)
        return backend.scan_rows(block, sums, rows, self.step(backend, arrays), constants[-1])

    def _rows(self, backend: Backend, arrays: Arrays, constants: Arrays) -> Arrays:
        xp = backend.namespace(arrays[0])
        hidden = xp.astype(arrays[0], getattr(xp, self.options.compute), copy=False)
        if constants[-1] is not None:
            # The gradient of a removed row's logits is 0, but 0 times a hidden state that is NaN is not.
            hidden = xp.where(constants[-1][:, None], hidden, 0.0)
        return (hidden, *arrays[self.shared :], *constants)

    def step(self, backend: Backend, arrays: Arrays) -> int:
        """How many rows make a block."""
        if self.chunk_rows is not None:
            return self.chunk_rows
        classes, features = backend.shape(arrays[1])
        if not (known(classes) and known(features)):
            return 1024
        return rows_of_logits(classes, features, backend.logits_share)


class _Memory:
    """The logits of one block after the other, in the same memory where that can be written over."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._memory: Array | None = None

    def of(self, head: Head, hidden: Array) -> Array:
        there = None if self._memory is None else self._memory[: len(hidden)]
        x = head.logits(self._backend, hidden, there)
        if self._memory is None and self._backend.writes(x):
            self._memory = x
        return x


@dataclass(frozen=True)
class LinearProgram(Program):
    """A program whose rule is a ``LinearRule``, and whose gradients are those of hidden, weight and bias."""

    def value_and_gradient(
        self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays, needs: Needs | None = None
    ) -> Any:
        """The reduced loss and the gradients of hidden, weight and bias, in the compute dtype, without any autodiff."""
        divisor = self._divisor(backend, arrays, constants, weights)
        cotangent = self._pull(backend, arrays, constants, weights, divisor)
        rule: Any = self.rule
        losses, gradients = rule.value_and_gradient(backend, arrays, constants, cotangent, needs)
        return self._reduced(backend, losses, constants, weights, divisor), gradients

    def _ones(self, backend: Backend, arrays: Arrays) -> Array:
        # There may be no features.
        xp = backend.namespace(arrays[0])
        return xp.sum(xp.zeros_like(arrays[0], dtype=self._compute(xp)), axis=-1) + 1.0

    def pull_back_all(
        self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays, cotangent: Array, needs: Needs
    ) -> tuple[Array | None, ...]:
        """The gradients of the arrays that are needed, for a cotangent of the result. They can be differentiated."""
        rows = self.cotangent_of_rows(backend, arrays, constants, weights, cotangent)
        return self.rule.pull_back(backend, arrays, constants, (rows,), needs)


def _added(backend: Backend, sums: Arrays, g: Array, hidden: Array) -> Arrays:
    """The sums over all blocks, with one block more."""
    of_weight = None if sums[0] is None else backend.add_product(sums[0], g, hidden)
    if len(sums) == 1:
        return (of_weight,)
    xp = backend.namespace(g)
    return of_weight, None if sums[1] is None else sums[1] + backend.widen(xp.sum(g, axis=0))


def _kept(backend: Backend, of_hidden: Array, keep: Array | None) -> Array:
    """0 in removed rows: 0 times a weight that is infinite is not."""
    return of_hidden if keep is None else backend.namespace(of_hidden).where(keep[:, None], of_hidden, 0.0)


def _sum_of(*terms: Array | None) -> Array | None:
    total = None
    for term in terms:
        if term is not None:
            total = term if total is None else total + term
    return total
