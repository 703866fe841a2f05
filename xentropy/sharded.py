"""A loss whose classes are in several parts, each with somebody else: one exchange of a few numbers for each row.

What is done to a part's own logits is a ``Rule``, or a ``LinearRule``, of ``xentropy.shards``; here is what comes in
between. Every part has the same loss and the gradient of its own logits, for which nothing more has to be exchanged; of
hidden states, which all parts share, the gradients are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from xentropy import labelled_shards, reduction, shards
from xentropy.dtypes import name_of
from xentropy.linear import LinearRule
from xentropy.options import SoftmaxOptions
from xentropy.program import Program, kept_weights
from xentropy.rule import Arrays, Needs, Rule, rounded

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any


class Found(NamedTuple):
    """What a program of parts returns.

    Attributes:
        value: the reduced loss.
        found: in how many parts each row's label is, (rows,).
    """

    value: Array
    found: Array


class Held(NamedTuple):
    """What ``ShardedRule.run_holding`` keeps for the gradient: some numbers of every row, and memory to write over."""

    kept: tuple[Arrays, Array, Array]
    memory: Array


class Formula(NamedTuple):
    """How a part speaks of its rows, and how that merges; see ``xentropy.shards``."""

    forward: Callable[..., Arrays]
    gradient: Callable[..., tuple[Array | None, ...]]
    kind: Callable[..., Any]
    merge: Callable[..., shards.Outcome]


ANY = Formula(shards.forward, shards.gradient, shards.kind, shards.merge)
LABELLED = Formula(labelled_shards.forward, labelled_shards.gradient, labelled_shards.kind, labelled_shards.merge)


_BY_FORWARD = {formula.forward: formula for formula in (ANY, LABELLED)}


def part_rule(options: SoftmaxOptions, *, labelled: bool) -> Rule:
    """The rule of one part's logits, by the formula that costs least."""
    formula = LABELLED if labelled and labelled_shards.applies(options) else ANY
    return Rule(formula.forward, formula.gradient, options)


@dataclass(frozen=True)
class ShardedRule:
    """A ``Rule`` of three outputs: the loss, what the row counts for in a mean, and in how many parts its label is.

    Attributes:
        part: the rule of one part (``part_rule``), whose outputs are the fields of a record and the logit set aside.
        group: all parts, as the backend knows them.
    """

    part: Rule | LinearRule
    group: Any

    elementwise: ClassVar[bool] = False
    joint: ClassVar[None] = None
    keeping: ClassVar[None] = None

    @property
    def options(self) -> SoftmaxOptions:
        """What shapes the loss of a row."""
        assert isinstance(self.part.options, SoftmaxOptions)
        return self.part.options

    @property
    def formula(self) -> Formula:
        """What the part's rule is made of."""
        return _BY_FORWARD[(self.part.rule if isinstance(self.part, LinearRule) else self.part).forward]

    @property
    def shared(self) -> int:
        """How many arrays come before the probabilities."""
        return self.part.shared if isinstance(self.part, LinearRule) else 1

    def computing(self, dtype: str) -> ShardedRule:
        """The same rule in another dtype."""
        return replace(self, part=self.part.computing(dtype))

    def run(self, backend: Backend, arrays: Arrays, constants: Arrays) -> Arrays:
        """The three outputs."""
        return self.run_keeping(backend, arrays, constants)[0]

    def run_keeping(self, backend: Backend, arrays: Arrays, constants: Arrays) -> tuple[Arrays, Arrays]:
        """The three outputs, and what ``pull_back`` needs not exchange again."""
        return self._merged(backend, arrays, constants, differentiated=False)

    def holds(self, backend: Backend, arrays: Arrays) -> bool:
        """Whether ``run_holding`` is a way: the gradient of the logits has the dtype and the place of exponentials."""
        (logits, *others) = arrays
        fits = self.formula is LABELLED and not others and isinstance(self.part, Rule)
        return (
            fits and backend.writes(logits) and name_of(logits.dtype) == self.options.compute and 0 not in logits.shape
        )

    def run_holding(self, backend: Backend, arrays: Arrays, constants: Arrays) -> tuple[Arrays, Held]:
        """The three outputs, and the exponentials that the gradient can be written over."""
        memory = backend.empty_like(arrays[0])

        def rows(*block: Array) -> Arrays:
            return labelled_shards.forward_holding(backend, self.options, block[:1], block[1:-1], block[-1])

        *fields, aside, at_aside, origin = backend.map_rows(rows, (*arrays, *constants, memory))
        outputs, kept = self._exchanged(backend, arrays, constants, fields, aside, differentiated=False)
        return outputs, Held((kept, at_aside, origin), memory)

    def pull_back_held(self, backend: Backend, constants: Arrays, cotangent: Array, held: Held) -> Array:
        """The gradient of the logits for a cotangent of the loss, in the memory that is held."""
        return labelled_shards.gradient_held(backend, constants, cotangent, held.kept, held.memory)

    def pull_back(
        self,
        backend: Backend,
        arrays: Arrays,
        constants: Arrays,
        cotangents: Arrays,
        needs: Needs,
        kept: Arrays = (),
    ) -> tuple[Array | None, ...]:
        """The gradients of the arrays that are needed, for cotangents of the first two outputs.

        With what is ``kept``, nothing of this can be differentiated.
        """
        of_loss, of_weight = cotangents[:2]
        if not kept:
            # What every part holds alike is read by each for its own classes: its derivative is the sum of theirs.
            of_loss, of_weight = backend.spread(of_loss, self.group), backend.spread(of_weight, self.group)
            if isinstance(self.part, LinearRule):
                arrays = (backend.spread(arrays[0], self.group), *arrays[1:])
            kept = self._merged(backend, arrays, constants, differentiated=True)[1]
        more = self.for_gradient(backend.widen(of_weight), kept, constants)
        if not isinstance(self.part, LinearRule):
            return self.part.pull_back(backend, arrays, more, (of_loss,), needs)
        gradients = self.part.gradients(backend, arrays, more, of_loss, needs)
        if gradients[0] is not None:
            gradients = (backend.all_sum(gradients[0], self.group), *gradients[1:])
        return tuple(g if g is None else rounded(backend, g, a.dtype) for g, a in zip(gradients, arrays, strict=True))

    def _merged(
        self, backend: Backend, arrays: Arrays, constants: Arrays, *, differentiated: bool
    ) -> tuple[Arrays, Arrays]:
        *fields, aside = self.part.run(backend, arrays, constants)
        return self._exchanged(backend, arrays, constants, fields, aside, differentiated=differentiated)

    def _exchanged(
        self,
        backend: Backend,
        arrays: Arrays,
        constants: Arrays,
        fields: Sequence[Array],
        aside: Array,
        *,
        differentiated: bool,
    ) -> tuple[Arrays, Arrays]:
        xp = backend.namespace(fields[0])
        gathered = backend.all_gather(xp.stack(fields, axis=0), self.group)
        if differentiated:
            gathered = backend.spread(gathered, self.group)
        by_row = xp.permute_dims(gathered, (1, 2, 0))
        labelled = len(arrays) == self.shared
        kind = self.formula.kind(self.options, labelled=labelled, weighted=constants[1] is not None)
        parts = kind.filled(tuple(by_row[i, ...] for i in range(len(fields))))
        index = backend.part(self.group)
        compute = getattr(xp, self.options.compute)
        outcome = self.formula.merge(backend, self.options, parts, index, constants[-1], compute)
        if shards.has_focal_background(self.options, labelled=labelled):
            # With a factor of its own for each class, which is known now: once more through the logits.
            given = self.for_gradient(outcome.loss, (aside, *outcome.merged), constants)
            sums = backend.all_sum(xp.stack(self._of_background().run(backend, arrays, given), axis=0), self.group)
            sums = backend.spread(sums, self.group) if differentiated else sums
            outcome = shards.with_background(backend, outcome, tuple(sums[i, ...] for i in range(3)), constants[-1])
        return outcome[:3], (aside, *outcome.merged)

    def _of_background(self) -> Rule | LinearRule:
        if isinstance(self.part, LinearRule):
            return replace(self.part, rule=replace(self.part.rule, forward=shards.focal_background))
        return replace(self.part, forward=shards.focal_background)

    @staticmethod
    def for_gradient(of_weight: Array, kept: Arrays, constants: Arrays) -> Arrays:
        """The constants of ``shards.gradient``."""
        aside, *merged = kept
        return (*constants, aside, of_weight, *merged, constants[-1])


@dataclass(frozen=True)
class ShardedProgram(Program):
    """A program whose rule is a ``ShardedRule``; it returns ``Found``."""

    def __call__(self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays) -> Any:
        """The reduced loss, differentiable, and where the labels are."""
        losses, each, found = backend.attach(self.rule, arrays, constants)
        return Found(self.reduced_by(backend, losses, each, constants, weights), found)

    def value(self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays) -> Any:
        """The same without any autodiff."""
        losses, each, found = self.rule.run(backend, arrays, constants)
        return Found(self.reduced_by(backend, losses, each, constants, weights), found)

    def value_and_gradient(self, backend: Backend, arrays: Arrays, constants: Arrays, weights: Arrays) -> Any:
        """The reduced loss, where the labels are, and the gradients of what is no target."""
        rule: Any = self.rule
        holds = rule.holds(backend, arrays)
        (losses, each, found), kept = (rule.run_holding if holds else rule.run_keeping)(backend, arrays, constants)
        divisor = self._divided_by(backend, each, constants, weights)
        xp = backend.namespace(losses)
        cotangent = reduction.divide(xp, backend.widen(xp.ones_like(losses)), divisor)
        if weights[0] is not None:
            cotangent = cotangent * backend.widen(kept_weights(backend, constants, weights))
        value = Found(self._reduced(backend, losses, constants, weights, divisor), found)
        if holds:
            return value, (rule.pull_back_held(backend, constants, cotangent, kept),)
        needs = (True,) * rule.shared + (False,) * (len(arrays) - rule.shared)
        pulls = (cotangent, xp.zeros_like(cotangent))
        return value, rule.pull_back(backend, arrays, constants, pulls, needs, kept)[: rule.shared]

    def reduced_by(self, backend: Backend, losses: Array, each: Array, constants: Arrays, weights: Arrays) -> Array:
        """The losses reduced; ``each`` is what the rows count for in a mean."""
        return self._reduced(backend, losses, constants, weights, self._divided_by(backend, each, constants, weights))

    def _divided_by(self, backend: Backend, each: Array, constants: Arrays, weights: Arrays) -> Array | float:
        if self.reduction != "mean":
            return 1.0
        sample_weight, normalizer = weights
        return (
            reduction.denominator(backend, each, sample_weight, constants[-1])
            if normalizer is None
            else backend.widen(normalizer)
        )
