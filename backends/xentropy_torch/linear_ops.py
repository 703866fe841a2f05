"""Linear losses as operators, which the compiler calls as they are: their blocks are written over, as in eager mode.

Traced, each block becomes a piece of the graph with memory of its own: at 1024 rows of 512 numbers and 32,000 classes
that takes 1.7 times the memory of all the logits at once, and as much more time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from xentropy.head import linear_program
from xentropy.linear import LinearProgram, LinearRule
from xentropy.options import SoftmaxOptions
from xentropy.registry import resolve
from xentropy.rule import rounded
from xentropy_torch import small
from xentropy_torch.transforms import is_plain

Array = Any
Needs = tuple[bool, ...]


class Spec(NamedTuple):
    """A program as arguments of an operator, which the compiler may keep on disk.

    Attributes:
        counts: how many of the tensors are arrays, and how many constants; the others are weights.
        numbers: smoothing, z-loss, temperature, focal factor's exponent, softcap (0 for none); float64, on the CPU.
        kind: all else.
    """

    counts: tuple[int, int]
    numbers: Tensor
    kind: str

    @classmethod
    def of(cls, rule: LinearRule, reduction: str, result: str, counts: tuple[int, int]) -> Spec:
        """The program of a rule, whose reduction and result these are."""
        o = rule.options
        cap = 0.0 if o.softcap is None else o.softcap
        # By hand: Dynamo does not get through the json module.
        kind = f"{o.compute} {reduction} {result} {rule.biased:d} {o.checked_labels:d} {rule.chunk_rows or 0}"
        # Products: of a number that a schedule changes, Dynamo keeps no other operation free, and of no argument.
        one = torch.ones((), dtype=torch.float64, device="cpu")
        numbers = (o.label_smoothing, o.z_loss, o.temperature, o.focal_gamma, cap)
        return cls(counts, torch.stack([one * number for number in numbers]), kind)

    @property
    def program(self) -> LinearProgram:
        """What this was made of, in one pass where the blocks may be written over."""
        smoothing, z_loss, temperature, focal_gamma, softcap = self.numbers.tolist()
        compute, reduction, result, *more = self.kind.split()
        biased, checked, chunk_rows = map(int, more)
        options = SoftmaxOptions(compute, smoothing, True, z_loss, softcap or None, temperature, focal_gamma)
        labelled = self.counts[0] == (3 if biased else 2)
        one: Any = reduction
        return linear_program(options, labelled, bool(checked), one, result, bool(biased), chunk_rows or None)


def applies(arrays: Any) -> bool:
    """Whether a compiler is at work on plain tensors; no export, which has to do without operators of our own."""
    if not all(map(is_plain, arrays)):
        return False
    # Not is_exporting(), which Dynamo of PyTorch 2.9 takes to be True throughout.
    return bool(torch.compiler.is_compiling()) and not getattr(torch.compiler, "_is_exporting_flag", False)


def run(program: LinearProgram, arrays: Any, constants: Any, weights: Any) -> Array:
    """The reduced loss. Where a gradient may be asked for, it is computed along with it."""
    rule: Any = program.rule
    needs = tuple(torch.is_grad_enabled() and array.requires_grad for array in arrays)
    spec = Spec.of(rule, program.reduction, program.result, (len(arrays), len(constants)))
    loss: Array = _Reduced.apply(spec, needs, *_apart(arrays), *constants, *weights)
    return loss


def losses(rule: LinearRule, arrays: Any, constants: Any) -> Array:
    """The loss of every row."""
    spec = Spec.of(rule, "none", rule.options.compute, (len(arrays), len(constants)))
    found: Array = _Rows.apply(spec, *_apart(arrays), *constants)
    return found


def _apart(arrays: Any) -> Any:
    """Hidden states that are the weights too as two tensors: Dynamo takes none twice."""
    hidden, weight, *others = arrays
    return hidden, weight.view_as(weight) if weight is hidden else weight, *others


class _Reduced(torch.autograd.Function):
    """One operator forward; little more than a product for each gradient back."""

    @staticmethod
    def forward(ctx: Any, spec: Spec, needs: Needs, *flat: Array) -> Array:
        value, *gradients = value_and_gradients(list(flat), list(needs), *spec)
        ctx.needs, ctx.dtypes, ctx.flat = needs, tuple(a.dtype for a in flat[: len(needs)]), len(flat)
        ctx.save_for_backward(*flat[: len(needs)], *gradients)
        return value

    @staticmethod
    def backward(ctx: Any, cotangent: Array) -> tuple[Any, ...]:
        count = len(ctx.needs)
        rest = iter(ctx.saved_tensors[count:])
        cotangent = linked(cotangent, list(ctx.saved_tensors[:count]))
        backend = resolve(cotangent)
        pairs = zip(ctx.needs, ctx.dtypes, strict=True)
        found = [rounded(backend, next(rest) * cotangent, dtype) if need else None for need, dtype in pairs]
        return (None, None, *found, *(None for _ in range(ctx.flat - len(found))))


class _Rows(torch.autograd.Function):
    """One operator forward, and one back."""

    @staticmethod
    def forward(ctx: Any, spec: Spec, *flat: Array) -> Array:
        ctx.spec = spec
        ctx.save_for_backward(*flat)
        return value_and_gradients([*flat, None, None], [False] * spec.counts[0], *spec)[0]

    @staticmethod
    def backward(ctx: Any, cotangent: Array) -> tuple[Any, ...]:
        flat, count = ctx.saved_tensors, ctx.spec.counts[0]
        needs = ctx.needs_input_grad[1 : 1 + count]
        rest = iter(gradients_of_rows(list(flat), cotangent, list(needs), *ctx.spec))
        return (None, *(next(rest) if need else None for need in needs), *(None for _ in flat[count:]))


@torch.library.custom_op("xentropy::linear_value_and_gradients", mutates_args=())
def value_and_gradients(
    flat: Sequence[Tensor | None], needs: Sequence[bool], counts: Sequence[int], numbers: Tensor, kind: str
) -> list[Tensor]:
    """A program's result, and the gradients that are needed of hidden, weight and bias, in the compute dtype."""
    spec = Spec((counts[0], counts[1]), numbers, kind)
    program, parts = spec.program, small.parted(spec.counts, tuple(flat))
    backend = resolve(parts[0][0])
    if not any(needs):
        return [program.value(backend, *parts)]
    value, gradients = program.value_and_gradient(backend, *parts, tuple(needs))
    return [value, *(g.contiguous() for g in gradients if g is not None)]


@value_and_gradients.register_fake
def _(flat: Sequence[Any], needs: Sequence[bool], counts: Sequence[int], numbers: Tensor, kind: str) -> list[Tensor]:
    compute, reduction, result = kind.split()[:3]
    hidden = flat[0]
    value = hidden.new_empty(hidden.shape[:1] if reduction == "none" else (), dtype=getattr(torch, result))
    return [value, *_like(flat, needs, getattr(torch, compute))]


@torch.library.custom_op("xentropy::linear_linked", mutates_args=())
def linked(cotangent: Tensor, arrays: Sequence[Tensor]) -> Tensor:
    """The cotangent, of a gradient by these arrays.

    What a backward graph reads decides whether AOTAutograd refuses to differentiate it again. One that reads finished
    gradients alone would have a second derivative of 0.
    """
    return cotangent.clone()


@linked.register_fake
def _(cotangent: Any, arrays: Sequence[Any]) -> Tensor:
    return torch.empty_like(cotangent)


@torch.library.custom_op("xentropy::linear_gradients", mutates_args=())
def gradients_of_rows(
    flat: Sequence[Tensor | None],
    cotangent: Tensor,
    needs: Sequence[bool],
    counts: Sequence[int],
    numbers: Tensor,
    kind: str,
) -> list[Tensor]:
    """The gradients that are needed for a cotangent of every row's loss, in the dtypes of their arrays."""
    spec = Spec((counts[0], counts[1]), numbers, kind)
    rule: Any = spec.program.rule
    arrays, constants, _ = small.parted(spec.counts, tuple(flat))
    found = rule.pull_back(resolve(arrays[0]), arrays, constants, (cotangent,), tuple(needs))
    return [g.contiguous() for g in found if g is not None]


@gradients_of_rows.register_fake
def _(flat: Sequence[Any], cotangent: Any, needs: Sequence[bool], *spec: Any) -> list[Tensor]:
    return _like(flat, needs, None)


def _like(flat: Sequence[Any], needs: Sequence[bool], dtype: torch.dtype | None) -> list[Tensor]:
    """In ``dtype``, or each in its own; but the gradient of a bias, which has one axis, is widened."""
    found = []
    for array, need in zip(flat, needs, strict=False):
        if need:
            wide = dtype if dtype is None or array.ndim == 2 else resolve(array).widen(array).dtype
            found.append(array.new_empty(array.shape, dtype=wide))
    return found
