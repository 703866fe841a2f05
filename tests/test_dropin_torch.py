"""PyTorch's losses under their own names: its conventions to the letter, and the digits that it loses."""

from __future__ import annotations

import copy
import inspect
import itertools
import math
import pickle
import typing
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from mpmath import exp, log1p, mpf
from torch.nn import functional

import xentropy_torch

Tensor = torch.Tensor

FUNCTIONS = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")
MODULES = ("CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss")
OF_CLASSES = FUNCTIONS[:2]
REDUCTIONS = ("none", "mean", "sum")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LABELS = torch.tensor([2, 0, 1, 2])
IGNORED = -100
# PyTorch takes labels of uint8 in the first two only.
SHAPES = [(3,), (4, 3), (4, 3, 2), (2, 3, 1, 4), (2, 3, 2, 1, 2)]
SHAPES_AND_KINDS = [
    *itertools.product(SHAPES, (torch.int64, torch.float64)),
    *itertools.product(SHAPES[:2], (torch.uint8,)),
]


def numbers(*shape: int, low: float = -3.0, high: float = 3.0, seed: int = 0) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def both(name: str) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    return getattr(xentropy_torch, name), getattr(functional, name)


def arguments(name: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Valid input and target, as numbers that every dtype holds."""
    x = (numbers(4, 3) * 4).round() / 4
    if name in OF_CLASSES:
        return x.to(dtype), LABELS
    x = x if name.endswith("logits") else (x + 4) / 8
    return x.to(dtype), ((numbers(4, 3, seed=1) + 4).round() / 8).to(dtype)


def outcome(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a call gives: dtype and shape, or the exception's type and first line."""
    try:
        found = f(*args, **kwargs)
    except Exception as error:
        return type(error), str(error).splitlines()[0]
    return found.dtype, found.shape


def value_and_gradient(f: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    value = f(leaf, *args, **kwargs)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), gradient


def assert_same(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14, equal_nan=True)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_are_pytorchs(name: str) -> None:
    ours, theirs = both(name)
    kept = [(p.name, p.kind, p.default) for p in inspect.signature(ours).parameters.values()]
    assert kept == [(p.name, p.kind, p.default) for p in inspect.signature(theirs).parameters.values()]
    assert typing.get_type_hints(ours) == typing.get_type_hints(theirs)


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_pytorchs_but_for_forward(name: str) -> None:
    ours, theirs = getattr(xentropy_torch, name), getattr(torch.nn, name)
    assert issubclass(ours, theirs)
    assert [attribute for attribute, value in vars(ours).items() if callable(value)] == ["forward"]
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert ours.__constants__ == theirs.__constants__ if hasattr(theirs, "__constants__") else True


def test_starting_examples() -> None:
    assert f"{xentropy_torch.BCELoss()(torch.tensor([0.8]), torch.tensor([1.0])):.4f}" == "0.2231"
    row = torch.tensor([[1.2, -0.5, 0.1]])
    assert f"{xentropy_torch.CrossEntropyLoss()(row, torch.tensor([0])):.4f}" == "0.4158"
    assert f"{xentropy_torch.NLLLoss()(row.log_softmax(1), torch.tensor([0])):.4f}" == "0.4158"
    assert f"{xentropy_torch.BCEWithLogitsLoss()(torch.tensor([0.0]), torch.tensor([1.0])):.4f}" == "0.6931"


@pytest.mark.parametrize("margin", [10, 15, 20, 60])
def test_confident_rows_keep_loss_and_gradient(margin: int) -> None:
    value, gradient = value_and_gradient(
        xentropy_torch.cross_entropy, torch.tensor([[margin, 0.0, 0.0]]), torch.tensor([0])
    )
    s = 2 * exp(-mpf(margin))
    assert value.item() == pytest.approx(float(log1p(s)), rel=3e-7)
    assert gradient[0, 0].item() == pytest.approx(float(-s / (1 + s)), rel=3e-7)


@pytest.mark.parametrize(("z", "y"), [(-20.0, 0.0), (20.0, 1.0), (-60.0, 0.0)])
def test_confident_elements_keep_loss_and_gradient(z: float, y: float) -> None:
    f = xentropy_torch.binary_cross_entropy_with_logits
    value, gradient = value_and_gradient(f, torch.tensor([z]), torch.tensor([y]))
    s = exp(-abs(mpf(z)))
    assert value.item() == pytest.approx(float(log1p(s)), rel=3e-7)
    assert gradient.item() == pytest.approx(float((1 - 2 * y) * s / (1 + s)), rel=3e-7)


@pytest.mark.parametrize(("z", "y", "limit"), [(math.inf, 1.0, 0.0), (-math.inf, 0.0, 0.0), (math.inf, 0.0, math.inf)])
def test_infinite_logits_of_elements_give_the_limit(z: float, y: float, limit: float) -> None:
    f = xentropy_torch.binary_cross_entropy_with_logits
    value, gradient = value_and_gradient(f, torch.tensor([z]), torch.tensor([y]))
    assert value.item() == limit
    assert gradient.item() == (0.0 if limit == 0.0 else 1.0)


def test_a_probability_of_zero_counts_for_nothing_at_minus_infinity() -> None:
    x, t = torch.tensor([[0.0, 0.0, -math.inf]]), torch.tensor([[0.5, 0.5, 0.0]])
    value, gradient = value_and_gradient(xentropy_torch.cross_entropy, x, t)
    assert value.item() == pytest.approx(math.log(2.0), rel=1e-6)
    assert gradient.tolist() == [[0.0, 0.0, 0.0]]


def test_an_ignored_row_of_nan_has_gradient_zero() -> None:
    x = torch.tensor([[0.0, 1.0], [math.nan, 0.0]])
    value, gradient = value_and_gradient(xentropy_torch.cross_entropy, x, torch.tensor([0, IGNORED]))
    assert value.item() == pytest.approx(math.log1p(math.e), rel=1e-6)
    assert gradient[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_a_mean_of_many_half_losses_does_not_overflow(half: torch.dtype) -> None:
    x, labels = torch.zeros(200_000, 2, dtype=half), torch.zeros(200_000, dtype=torch.int64)
    assert xentropy_torch.cross_entropy(x, labels).item() == torch.tensor(math.log(2.0)).to(half).item()
    found = xentropy_torch.binary_cross_entropy_with_logits(x, torch.ones_like(x))
    assert found.item() == torch.tensor(math.log(2.0)).to(half).item()


@pytest.mark.parametrize("p", [0.0, 1e-30, 1e-13, 0.3, 1.0 - 2.0**-24, 1.0])
@pytest.mark.parametrize("y", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probabilities_are_clipped_where_pytorch_clips(p: float, y: float, dtype: torch.dtype) -> None:
    args = torch.tensor([p], dtype=dtype), torch.tensor([y], dtype=dtype)
    value, gradient = value_and_gradient(xentropy_torch.binary_cross_entropy, *args)
    expected, slope = value_and_gradient(functional.binary_cross_entropy, *args)
    torch.testing.assert_close(value, expected, rtol=3e-7, atol=0.0)
    torch.testing.assert_close(gradient, slope, rtol=3e-7, atol=0.0)


def test_float16_probabilities_at_the_ends_have_no_nan_gradient() -> None:
    p = torch.tensor([0.0, 1.0], dtype=torch.float16)
    _, theirs = value_and_gradient(functional.binary_cross_entropy, p, p)
    assert theirs.isnan().all()
    value, gradient = value_and_gradient(xentropy_torch.binary_cross_entropy, p, p)
    assert (value.item(), gradient.tolist()) == (0.0, [0.0, 0.0])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("a", FLOATS)
def test_dtypes_and_refusals_are_pytorchs_for_every_pair(name: str, a: torch.dtype, reduction: str) -> None:
    ours, theirs = both(name)
    x, t = arguments(name, a)
    for b in (*FLOATS, torch.int64, torch.uint8, torch.int32, torch.bool, torch.complex64):
        for args in ((x, t.to(b)), (x, t, torch.ones(3).to(b)), (x[0], t[0].to(b)), (x.to(b), t)):
            kwargs = {"reduction": reduction}
            assert outcome(ours, *args, **kwargs) == outcome(theirs, *args, **kwargs), (args, kwargs)
    if name == "cross_entropy":
        soft = x.softmax(1)
        for b, c in itertools.product(FLOATS, FLOATS):
            args = (x, soft.to(b), torch.ones(3, dtype=c))
            assert outcome(ours, *args, reduction=reduction) == outcome(theirs, *args, reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [-0.5, 0.0, 0.2, 1.0])
@pytest.mark.parametrize(("shape", "kind"), SHAPES_AND_KINDS)
def test_classes_in_float64_are_pytorchs(
    shape: tuple[int, ...], kind: torch.dtype, weighted: bool, smoothing: float, reduction: str
) -> None:
    x, weight = numbers(*shape), numbers(3, low=0.1) if weighted else None
    target = numbers(*shape, low=0.0, seed=1)
    if kind != torch.float64:
        target = target.argmax(0 if len(shape) == 1 else 1).to(kind)
    options = {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}
    ignored = {"ignore_index": 1} if kind != torch.float64 and len(shape) > 1 else {}
    # PyTorch gathers no weights by uint8 where it smooths.
    theirs = target if kind == torch.float64 else target.long()
    for extra in ({}, ignored):
        ours = value_and_gradient(xentropy_torch.cross_entropy, x, target, **options, **extra)
        assert_same(ours, value_and_gradient(functional.cross_entropy, x, theirs, **options, **extra))
        if kind != torch.float64:
            kept: dict[str, Any] = {**extra, "weight": weight, "reduction": reduction}
            ours = value_and_gradient(xentropy_torch.nll_loss, x, target, **kept)
            assert_same(ours, value_and_gradient(functional.nll_loss, x, target, **kept))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", FUNCTIONS[2:])
@pytest.mark.parametrize("weight", [None, (), (1,), (3,), (1, 3), (4, 1), (4, 3)])
def test_elements_in_float64_are_pytorchs(name: str, weight: tuple[int, ...] | None, reduction: str) -> None:
    ours, theirs = both(name)
    args = arguments(name)
    kwargs: dict[str, Any] = {"reduction": reduction}
    scale = None if weight is None else numbers(*weight, low=0.5)
    assert_same(value_and_gradient(ours, *args, scale, **kwargs), value_and_gradient(theirs, *args, scale, **kwargs))
    if name.endswith("logits"):
        kwargs["pos_weight"] = scale
        assert_same(value_and_gradient(ours, *args, **kwargs), value_and_gradient(theirs, *args, **kwargs))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_targets_and_weights_have_pytorchs_gradients(reduction: str, smoothing: float) -> None:
    def gradients(f: Callable[..., Tensor], *inputs: Tensor, **kwargs: Any) -> tuple[Tensor, ...]:
        leaves = tuple(x.clone().requires_grad_() for x in inputs)
        found: tuple[Tensor, ...] = torch.autograd.grad(f(*leaves, reduction=reduction, **kwargs).sum(), leaves)
        return found

    soft = numbers(4, 3), numbers(4, 3, low=0.1, seed=1), numbers(3, low=0.1, seed=2)
    ours, theirs = both("cross_entropy")
    assert_same(gradients(ours, *soft, label_smoothing=smoothing), gradients(theirs, *soft, label_smoothing=smoothing))

    ours, theirs = both("binary_cross_entropy_with_logits")
    assert_same(gradients(ours, *soft[:2]), gradients(theirs, *soft[:2]))


@pytest.mark.parametrize("option", ["weight", "pos_weight"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_of_elements_have_pytorchs_gradients_within_torch_func(reduction: str, option: str) -> None:
    x, y, weight = numbers(4, 3), numbers(4, 3, low=0.1, seed=1), numbers(3, low=0.1, seed=2)

    def gradient(f: Callable[..., Tensor]) -> Tensor:
        return torch.func.grad(lambda w: f(x, y, reduction=reduction, **{option: w}).sum())(weight)

    ours, theirs = both("binary_cross_entropy_with_logits")
    torch.testing.assert_close(gradient(ours), gradient(theirs), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("name", OF_CLASSES)
@pytest.mark.parametrize("weight", [None, torch.zeros(3, dtype=torch.float64)])
@pytest.mark.parametrize("labels", [LABELS, torch.full((4,), IGNORED), torch.tensor([2, IGNORED, 0, 1])])
def test_a_mean_over_nothing_is_nan_with_pytorchs_gradient(name: str, weight: Tensor | None, labels: Tensor) -> None:
    ours, theirs = both(name)
    assert_same(
        value_and_gradient(ours, numbers(4, 3), labels, weight),
        value_and_gradient(theirs, numbers(4, 3), labels, weight),
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_empty_batches_are_pytorchs(name: str, reduction: str) -> None:
    ours, theirs = both(name)
    x, t = arguments(name)
    found = value_and_gradient(ours, x[:0], t[:0], reduction=reduction)
    assert_same(found, value_and_gradient(theirs, x[:0], t[:0], reduction=reduction))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("size_average", "reduce"),
    [pair for pair in itertools.product((None, False, True), repeat=2) if any(flag is not None for flag in pair)],
)
def test_deprecated_arguments_warn_and_mean_what_they_mean_to_pytorch(
    name: str, size_average: bool | None, reduce: bool | None
) -> None:
    def told(f: Callable[..., Tensor]) -> tuple[Tensor, list[tuple[type[Warning], str]]]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            value = f(*arguments(name), size_average=size_average, reduce=reduce, reduction="none")
        return value, [(w.category, str(w.message)) for w in caught]

    (value, ours), (expected, theirs) = (told(f) for f in both(name))
    assert ours == theirs
    assert len(ours) == 1
    torch.testing.assert_close(value, expected)


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("cross_entropy", {"target": torch.tensor([0, 1, 2, 3])}),
    ("cross_entropy", {"target": torch.tensor([0, 1, 2, -1])}),
    ("cross_entropy", {"target": torch.tensor([0, 1, 2])}),
    ("cross_entropy", {"target": LABELS.to(torch.int32)}),
    ("cross_entropy", {"target": LABELS.to(torch.float64)}),
    ("cross_entropy", {"input": torch.zeros(4, 3, 1), "target": LABELS.to(torch.uint8)[:, None]}),
    ("cross_entropy", {"target": numbers(4, 3).softmax(1), "ignore_index": 1}),
    ("cross_entropy", {"weight": torch.ones(2, dtype=torch.float64)}),
    ("cross_entropy", {"weight": torch.ones(1, 3, dtype=torch.float64)}),
    ("cross_entropy", {"weight": torch.ones(3)}),
    ("cross_entropy", {"weight": torch.ones(3, dtype=torch.float64, requires_grad=True)}),
    ("cross_entropy", {"weight": [1.0, 1.0, 1.0]}),
    ("cross_entropy", {"label_smoothing": 1.5}),
    ("cross_entropy", {"label_smoothing": None}),
    ("cross_entropy", {"ignore_index": 1.5}),
    ("cross_entropy", {"reduction": "batchmean"}),
    ("cross_entropy", {"input": [[0.0, 1.0]]}),
    ("cross_entropy", {"input": torch.tensor(0.0), "target": torch.tensor(0)}),
    ("cross_entropy", {"input": torch.zeros(4, 0)}),
    ("cross_entropy", {"input": torch.zeros(4, 3).to_sparse()}),
    ("nll_loss", {"target": torch.tensor([0, 1, 2, 3])}),
    ("nll_loss", {"target": torch.tensor([[0, 1, 2]])}),
    ("nll_loss", {"input": torch.zeros(2, 3, 2, 2), "target": torch.zeros(2, 2, dtype=torch.int64)}),
    ("nll_loss", {"input": torch.zeros(3), "target": torch.zeros(2, dtype=torch.int64)}),
    ("nll_loss", {"reduction": "median"}),
    ("binary_cross_entropy", {"input": 2.0 * torch.ones(4, 3, dtype=torch.float64)}),
    ("binary_cross_entropy", {"input": math.nan * torch.ones(4, 3, dtype=torch.float64)}),
    ("binary_cross_entropy", {"target": torch.zeros(4, dtype=torch.float64)}),
    ("binary_cross_entropy", {"weight": torch.ones(5, dtype=torch.float64)}),
    ("binary_cross_entropy", {"weight": torch.ones(2, 4, 3, dtype=torch.float64)}),
    ("binary_cross_entropy", {"weight": torch.ones(3, dtype=torch.float64, requires_grad=True)}),
    ("binary_cross_entropy_with_logits", {"target": torch.zeros(4, dtype=torch.float64)}),
    ("binary_cross_entropy_with_logits", {"weight": torch.ones(2, 4, 3)}),
    ("binary_cross_entropy_with_logits", {"pos_weight": torch.ones(2, 4, 3)}),
    ("binary_cross_entropy_with_logits", {"weight": torch.ones(3, requires_grad=True)}),
    ("binary_cross_entropy_with_logits", {"pos_weight": torch.ones(3, requires_grad=True)}),
    ("binary_cross_entropy_with_logits", {"reduction": None}),
]


@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_wrong_arguments_are_refused_in_pytorchs_words(name: str, wrong: dict[str, Any]) -> None:
    ours, theirs = both(name)
    x, t = arguments(name)
    given = {"input": x, "target": t, **wrong}
    expected = outcome(theirs, **given)
    assert issubclass(expected[0], Exception)
    assert outcome(ours, **given) == expected


@pytest.mark.parametrize("name", FUNCTIONS)
def test_meta_tensors_give_pytorchs_shapes(name: str) -> None:
    for f in both(name):
        for reduction, shape in (("mean", ()), ("none", (4,) if name in OF_CLASSES else (4, 3))):
            found = f(*(a.to("meta") for a in arguments(name)), reduction=reduction)
            assert (found.device.type, found.shape) == ("meta", shape)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_subclasses_with_torch_function_are_asked(name: str) -> None:
    class Recorder(torch.Tensor):
        asked: typing.ClassVar[list[Any]] = []

        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            cls.asked.append(func)
            return super().__torch_function__(func, types, args, kwargs or {})

    ours, theirs = both(name)
    x, t = arguments(name)
    found = ours(x.as_subclass(Recorder), t)
    assert Recorder.asked[0] is ours
    torch.testing.assert_close(found.as_subclass(torch.Tensor), theirs(x, t))


def module_cases() -> list[tuple[str, dict[str, Any]]]:
    weight = {"weight": torch.tensor([1.0, 2.0, 3.0])}
    return [
        ("CrossEntropyLoss", {}),
        ("CrossEntropyLoss", {**weight, "ignore_index": 1, "label_smoothing": 0.1, "reduction": "sum"}),
        ("NLLLoss", {**weight, "ignore_index": 2, "reduction": "none"}),
        ("BCELoss", {**weight, "reduction": "sum"}),
        ("BCEWithLogitsLoss", {**weight, "pos_weight": torch.tensor([3.0, 2.0, 1.0])}),
    ]


@pytest.mark.parametrize(("name", "options"), module_cases())
def test_modules_travel_as_pytorchs_do(name: str, options: dict[str, Any]) -> None:
    ours, theirs = getattr(xentropy_torch, name)(**options), getattr(torch.nn, name)(**options)
    args = arguments(FUNCTIONS[MODULES.index(name)], torch.float32)
    assert repr(ours) == repr(theirs)
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    expected = theirs(*args)
    for module in (ours, copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours).double().float()):
        assert type(module) is type(ours)
        torch.testing.assert_close(module(*args), expected)
    assert all(buffer.dtype == torch.float64 for buffer in ours.double().buffers())


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")  # PyTorch's own, in forward mode
@pytest.mark.parametrize("name", FUNCTIONS)
def test_torch_func_transforms_are_pytorchs(name: str) -> None:
    ours, theirs = both(name)
    x, t = arguments(name)
    found = torch.vmap(torch.func.grad(ours))(x, t)
    torch.testing.assert_close(found, torch.vmap(torch.func.grad(theirs))(x, t))
    torch.testing.assert_close(torch.func.hessian(ours)(x[0], t[0]), torch.func.hessian(theirs)(x[0], t[0]))


@pytest.mark.parametrize("wrong", [3, -1])
def test_a_label_that_only_vmap_sees_makes_its_row_nan(wrong: int) -> None:
    x, labels = numbers(2, 3), torch.tensor([0, wrong])
    found = torch.vmap(xentropy_torch.cross_entropy)(x, labels)
    assert found.isnan().tolist() == [False, True]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_graph_under_compile_with_values_and_gradients(name: str) -> None:
    torch._dynamo.reset()
    ours, theirs = both(name)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    x, t = arguments(name)
    weight = numbers(3, low=0.1)
    for reduction in REDUCTIONS:
        found = value_and_gradient(compiled, x, t, weight, reduction=reduction)
        assert_same(found, value_and_gradient(theirs, x, t, weight, reduction=reduction))


def test_a_module_compiles_to_one_graph_and_keeps_confident_rows() -> None:
    torch._dynamo.reset()
    module = torch.compile(xentropy_torch.CrossEntropyLoss(), fullgraph=True, backend="aot_eager")
    assert module(torch.tensor([[20.0, 0.0]]), torch.tensor([0])).item() == pytest.approx(math.exp(-20.0), rel=1e-6)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "binary_cross_entropy_with_logits"])
def test_none_is_pytorchs_type_error(name: str) -> None:
    for arguments in ((None, torch.ones(3)), (torch.ones(3), None)):
        for namespace in (functional, xentropy_torch):
            with pytest.raises((TypeError, AttributeError)) as raised:
                getattr(namespace, name)(*arguments)
            if namespace is functional:
                theirs = raised.type, str(raised.value)
        assert (raised.type, str(raised.value)) == theirs


def test_an_ignore_index_beyond_64_bits_is_pytorchs_value_error() -> None:
    with pytest.raises(ValueError, match="Overflow"):
        xentropy_torch.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 1]), ignore_index=2**70)
