"""PyTorch's linear loss under its own names: its conventions to the letter, in versions that don't have it too."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from mpmath import exp, log1p, mpf
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import xentropy_torch
from xentropy_torch import linear_module

Tensor = torch.Tensor
Outcome = tuple[Any, Any]

ours = xentropy_torch.linear_cross_entropy
# Not in PyTorch's older versions.
THEIRS: Callable[..., Tensor] | None = getattr(functional, "linear_cross_entropy", None)
needs_theirs = pytest.mark.skipif(THEIRS is None, reason="this version of PyTorch has no linear_cross_entropy")

REDUCTIONS = ("none", "mean", "sum")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
ROWS, FEATURES, CLASSES = 7, 4, 5
LABELS = torch.tensor([4, 0, 2, 1, 3, 3, 0])
SIGNATURE = (
    "(input: 'Tensor', linear_weight: 'Tensor', target: 'Tensor', *, linear_bias: 'Tensor | None' = None, "
    "weight: 'Tensor | None' = None, reduction: 'str' = 'mean', ignore_index: 'int | None' = None, "
    "label_smoothing: 'float' = 0.0, options: 'LinearCrossEntropyOptions | None' = None) -> 'Tensor'"
)


def numbers(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def eighths(*shape: int, low: float = -2.0, seed: int = 0) -> Tensor:
    """Numbers that every dtype holds."""
    return (numbers(*shape, low=low, seed=seed) * 8).round() / 8


def dense(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    ignore_index: int | None = None,
    options: Any = None,
    **others: Any,
) -> Tensor:
    """What PyTorch's documentation says that the loss is, which every version of it can compute."""
    outputs, features = linear_weight.shape[:-1], linear_weight.shape[-1]
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = functional.linear(input, linear_weight.reshape(math.prod(outputs), features), bias)
    logits = logits.reshape(*input.shape[:-1], *outputs)
    ignored = -100 if ignore_index is None else ignore_index
    return functional.cross_entropy(logits, target, ignore_index=ignored, **others)


def problem(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    return eighths(ROWS, FEATURES).to(dtype), eighths(CLASSES, FEATURES, seed=1).to(dtype), LABELS


def chunked(**options: Any) -> dict[str, Any]:
    """PyTorch's options, of its versions that have them."""
    return {"options": torch.nn.LinearCrossEntropyOptions(**options)}


def outcome(f: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Outcome:
    """What a call gives: dtype and shape, or the exception's type and first line."""
    try:
        found = f(*args, **kwargs)
    except Exception as error:
        return type(error), str(error).splitlines()[0]
    return found.dtype, found.shape


def value_and_gradients(f: Callable[..., Tensor], *args: Tensor, **kwargs: Any) -> tuple[Tensor, ...]:
    """The value and the gradients by all arguments that are floats, each row's loss with a weight of its own."""
    given = [a.clone().requires_grad_() if a.is_floating_point() else a for a in args]
    bias = kwargs.pop("linear_bias", None)
    if bias is not None:
        kwargs["linear_bias"] = bias = bias.clone().requires_grad_()
    leaves = [a for a in (*given, bias) if a is not None and a.requires_grad]
    value = f(*given, **kwargs)
    cotangent = eighths(*value.shape, low=0.5, seed=9).to(value.dtype)
    return value.detach(), *torch.autograd.grad(value, leaves, cotangent)


def assert_same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14, equal_nan=True)


def test_the_signature_is_pytorchs() -> None:
    assert str(inspect.signature(ours)) == SIGNATURE


@needs_theirs
def test_the_signature_and_types_are_those_of_this_version() -> None:
    assert THEIRS is not None
    kept = [(p.name, p.kind, p.default) for p in inspect.signature(ours).parameters.values()]
    assert kept == [(p.name, p.kind, p.default) for p in inspect.signature(THEIRS).parameters.values()]
    # PyTorch's module doesn't know this name when it runs.
    known = {"LinearCrossEntropyOptions": torch.nn.LinearCrossEntropyOptions}
    assert typing.get_type_hints(ours, localns=known) == typing.get_type_hints(THEIRS, localns=known)


SHAPES = [
    pytest.param((FEATURES,), (CLASSES, FEATURES), id="a row without a batch"),
    pytest.param((ROWS, FEATURES), (CLASSES, FEATURES), id="rows"),
    pytest.param((ROWS, FEATURES), (1, FEATURES), id="one class"),
    pytest.param((ROWS, FEATURES), (CLASSES, 2, FEATURES), id="one dimension more"),
    pytest.param((3, FEATURES), (CLASSES, 2, 3, FEATURES), id="two dimensions more"),
    pytest.param((0, FEATURES), (CLASSES, FEATURES), id="no rows"),
    pytest.param((ROWS, 0), (CLASSES, 0), id="no features"),
]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("kind", [torch.int64, torch.float64])
@pytest.mark.parametrize(("hidden", "heads"), SHAPES)
def test_values_and_gradients_in_float64_are_pytorchs(
    hidden: tuple[int, ...],
    heads: tuple[int, ...],
    kind: torch.dtype,
    biased: bool,
    smoothing: float,
    weighted: bool,
    reduction: str,
) -> None:
    x, w = numbers(*hidden), numbers(*heads, seed=1)
    target = numbers(*hidden[:-1], *heads[:-1], low=0.0, seed=2)
    options: dict[str, Any] = {"label_smoothing": smoothing, "reduction": reduction}
    options["weight"] = numbers(heads[0], low=0.1, seed=3) if weighted else None
    options["linear_bias"] = numbers(*heads[:-1], seed=4) if biased else None
    ignored: list[dict[str, int]] = [{}]
    if kind == torch.int64:
        target = target.argmax(len(hidden) - 1)
        ignored += [{"ignore_index": 1}, {"ignore_index": -100}]
    for more in ignored:
        found = value_and_gradients(ours, x, w, target, **options, **more)
        assert_same(found, value_and_gradients(dense, x, w, target, **options, **more))


@pytest.mark.parametrize("weight", [None, torch.ones(CLASSES).double(), torch.zeros(CLASSES).double()])
@pytest.mark.parametrize("labels", [LABELS, torch.full((ROWS,), -100)])
def test_a_mean_over_nothing_is_nan_with_pytorchs_gradient(weight: Tensor | None, labels: Tensor) -> None:
    x, w, _ = problem()
    for bias in (None, numbers(CLASSES)):
        found = value_and_gradients(ours, x, w, labels, weight=weight, linear_bias=bias)
        assert_same(found, value_and_gradients(dense, x, w, labels, weight=weight, linear_bias=bias))


@needs_theirs
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("rows", [None, 1, 2, 100])
def test_with_options_it_is_pytorchs_chunked_loss(rows: int | None, biased: bool, reduction: str) -> None:
    assert THEIRS is not None
    x, w, labels = problem()
    given = {**chunked(batch_chunk_size=rows, allow_retain_graph=True), "reduction": reduction, "ignore_index": 3}
    if biased:
        given["linear_bias"] = numbers(CLASSES, seed=4)
    assert_same(value_and_gradients(ours, x, w, labels, **given), value_and_gradients(THEIRS, x, w, labels, **given))


class _Largest(TorchDispatchMode):
    """Sees how many numbers each operation yields, and how many rows each matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers, self.rows = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        made = [x for x in tree_leaves(found) if isinstance(x, Tensor)]
        # A view of one number is no memory.
        self.numbers = max([self.numbers, *(x.numel() for x in made if 0 not in x.stride())])
        if func in (torch.ops.aten.mm.default, torch.ops.aten.mm.out) and made[0].shape[-1] == CLASSES:
            self.rows = max(self.rows, made[0].shape[0])
        return found


class _Options:
    """What ours reads of PyTorch's options, for versions that have none."""

    batch_chunk_size = 2


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("soft", [False, True])
def test_options_say_how_many_rows_make_a_block_and_logits_are_never_all_there(soft: bool, reduction: str) -> None:
    x, w, target = numbers(64, FEATURES), numbers(CLASSES, FEATURES, seed=1), torch.arange(64) % CLASSES
    if soft:
        target = torch.nn.functional.one_hot(target, CLASSES).double()
    x.requires_grad_()
    w.requires_grad_()
    with _Largest() as seen:
        value = ours(x, w, target, reduction=reduction, options=_Options())
        torch.autograd.grad(value.sum(), (x, w))
    assert seen.rows == 2
    # The hidden states' gradient, and, of soft targets, these as PyTorch's conventions want them.
    assert seen.numbers <= 64 * (CLASSES if soft else FEATURES)


@needs_theirs
@pytest.mark.parametrize("options", [{"chunking_method": "aspect_ratio:2"}, {"acc_policy": "accurate"}, {}])
def test_other_options_change_nothing(options: dict[str, Any]) -> None:
    x, w, labels = problem(torch.bfloat16)
    for found, expected in zip(
        value_and_gradients(ours, x, w, labels, **chunked(**options)),
        value_and_gradients(ours, x, w, labels),
        strict=True,
    ):
        assert torch.equal(found, expected)


def test_confident_rows_keep_loss_and_gradient() -> None:
    x, w = torch.tensor([[1.0, 0.5]]), torch.tensor([[20.0, 2.0], [1.0, 0.0]])
    value, of_hidden, of_weight = value_and_gradients(ours, x, w, torch.tensor([0]), reduction="sum")
    s, scale = exp(mpf(-20)), mpf(float(eighths(low=0.5, seed=9)))
    assert value.item() == pytest.approx(float(log1p(s)), rel=3e-7)
    p = scale * s / (1 + s)
    assert of_hidden[0].tolist() == pytest.approx([float(-19 * p), float(-2 * p)], rel=3e-7)
    assert of_weight[0].tolist() == pytest.approx([float(-p), float(-p / 2)], rel=3e-7)


def test_an_ignored_row_of_nan_has_gradient_zero() -> None:
    x, w, _ = problem()
    x[1] = math.nan
    labels = torch.where(torch.arange(ROWS) == 1, -100, LABELS)
    value, of_hidden, of_weight = value_and_gradients(ours, x, w, labels)
    kept = torch.arange(ROWS) != 1
    expected = value_and_gradients(dense, x[kept], w, LABELS[kept])
    assert_same((value, of_hidden[kept], of_weight), expected)
    assert of_hidden[1].tolist() == [0.0] * FEATURES


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_half_precision_is_multiplied_in_float32_and_rounded_once(dtype: torch.dtype, reduction: str) -> None:
    x, w, labels = problem(dtype)
    found = value_and_gradients(ours, x, w, labels, reduction=reduction)
    expected = value_and_gradients(dense, x.double(), w.double(), labels, reduction=reduction)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == dtype
        # One rounding, and the float32 before it: of numbers of either sign that cancel, gradients are sums.
        torch.testing.assert_close(a.double(), b, rtol=torch.finfo(dtype).eps, atol=1e-5)


@contextmanager
def autocast_of_a_gpu() -> Iterator[None]:
    """CUDA autocast over fake CUDA tensors: ``torch.autocast`` turns itself off where there is no GPU."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    before, dtype = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.float16)
    try:
        with FakeTensorMode():
            yield
    finally:
        torch.set_autocast_enabled("cuda", before)
        torch.set_autocast_dtype("cuda", dtype)


def calls(a: torch.dtype, b: torch.dtype) -> Iterator[tuple[tuple[Tensor, ...], dict[str, Any]]]:
    """Of two dtypes at every two places."""
    x, w, labels = problem()
    soft = torch.full((ROWS, CLASSES), 0.25)
    weight = torch.ones(CLASSES)
    for reduction in REDUCTIONS:
        yield (x.to(a), w.to(b), labels), {"reduction": reduction}
        for target in (labels, soft.to(a), soft.to(b)):
            yield (x.to(a), w.to(a), target), {"reduction": reduction, "weight": weight.to(b)}
            yield (x.to(a), w.to(a), target), {"reduction": reduction, "linear_bias": weight.to(b)}


@pytest.mark.parametrize("where", ["without autocast", torch.bfloat16, torch.float16])
@pytest.mark.parametrize("a", FLOATS)
@pytest.mark.parametrize("b", FLOATS)
def test_dtypes_and_refusals_are_pytorchs(a: torch.dtype, b: torch.dtype, where: Any) -> None:
    cast = where != "without autocast"
    with torch.autocast("cpu", dtype=where if cast else torch.bfloat16, enabled=cast):
        for args, kwargs in calls(a, b):
            assert outcome(ours, *args, **kwargs) == outcome(dense, *args, **kwargs), kwargs


@pytest.mark.parametrize("a", FLOATS)
def test_dtypes_under_a_gpus_autocast_are_pytorchs(a: torch.dtype) -> None:
    for b in FLOATS:
        for args, kwargs in calls(a, b):
            with autocast_of_a_gpu():
                fake = [torch.zeros(x.shape, dtype=x.dtype, device="cuda") for x in args]
                more = {
                    key: torch.zeros(x.shape, dtype=x.dtype, device="cuda") if isinstance(x, Tensor) else x
                    for key, x in kwargs.items()
                }
                assert outcome(ours, *fake, **more)[0] == outcome(dense, *fake, **more)[0], (b, kwargs)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool, torch.complex64])
def test_other_dtypes_are_taken_and_refused_as_by_pytorch(dtype: torch.dtype) -> None:
    x, w, labels = problem()
    for args in ((x, w, labels.to(dtype)), (x.to(dtype), w.to(dtype), labels)):
        assert outcome(ours, *args) == outcome(dense, *args)


def test_the_product_under_autocast_is_in_float32() -> None:
    x, w, labels = (numbers(ROWS, FEATURES).float(), numbers(CLASSES, FEATURES, seed=1).float(), LABELS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = value_and_gradients(ours, x, w, labels)
    for a, b in zip(found, value_and_gradients(ours, x, w, labels), strict=True):
        assert torch.equal(a, b)


HIDDEN, WEIGHT = torch.zeros(2, 3), torch.zeros(5, 3)
WRONG: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((torch.zeros(2, 3, 3), WEIGHT, LABELS[:2]), {}, RuntimeError, "expected input with dimensionality 1 or 2, got 3"),
    ((torch.zeros(()), WEIGHT, LABELS[:2]), {}, RuntimeError, "expected input with dimensionality 1 or 2, got 0"),
    (
        (HIDDEN, torch.zeros(3), LABELS[:2]),
        {},
        RuntimeError,
        "expected linear_weight with dimensionality at least 2, got 1",
    ),
    (
        (HIDDEN, torch.zeros(5, 4), LABELS[:2]),
        {},
        RuntimeError,
        "expected equal input and linear_weight last dimensions (in_features), got 3 and 4, respectively",
    ),
    (
        (HIDDEN, WEIGHT, LABELS[:2]),
        {"linear_bias": torch.zeros(3)},
        RuntimeError,
        "expected linear_bias shape (5,), got (3,)",
    ),
    (
        (torch.zeros(3), torch.zeros(5, 2, 3), LABELS[:2]),
        {},
        RuntimeError,
        "K-dimensional loss defined by linear_weight shape (5, 2, 3) requires batched input, (N, 3), got unbatched "
        "input with shape (3,)",
    ),
    (
        (HIDDEN, WEIGHT, torch.zeros(2, 5)),
        {"ignore_index": 0},
        RuntimeError,
        "ignore_index cannot be specified when target contains probabilities",
    ),
    (
        (HIDDEN, WEIGHT, torch.zeros(2, 5, dtype=torch.int64)),
        {},
        RuntimeError,
        "Expected floating point type for target with class probabilities, got Long",
    ),
    (
        (HIDDEN, WEIGHT, torch.zeros(3, 5)),
        {},
        ValueError,
        "Expected input batch_size (2) to match target batch_size (3).",
    ),
    ((HIDDEN, WEIGHT, torch.tensor([5, 1])), {}, IndexError, "Target 5 is out of bounds."),
    ((HIDDEN, WEIGHT, torch.tensor([1, -1])), {"weight": torch.ones(5)}, IndexError, "Target -1 is out of bounds."),
    (
        (HIDDEN, WEIGHT, LABELS[:2]),
        {"reduction": "batchmean"},
        ValueError,
        "batchmean is not a valid value for reduction",
    ),
    ((None, WEIGHT, LABELS[:2]), {}, AttributeError, "'NoneType' object has no attribute 'dim'"),
]
# Whose words PyTorch changes from version to version.
REFUSED: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((HIDDEN, WEIGHT, LABELS[:2]), {"label_smoothing": 1.5}),
    ((HIDDEN, WEIGHT, LABELS[:2]), {"label_smoothing": "much"}),
    ((HIDDEN, WEIGHT, LABELS[:2]), {"ignore_index": 1.5}),
    ((HIDDEN, WEIGHT, LABELS[:2]), {"weight": torch.ones(3)}),
    ((HIDDEN, WEIGHT, LABELS[:2]), {"weight": torch.ones(5, dtype=torch.float64)}),
    ((HIDDEN, WEIGHT, LABELS[:2]), {"weight": torch.ones(5, requires_grad=True)}),
    ((HIDDEN, WEIGHT.double(), LABELS[:2]), {}),
    ((HIDDEN, WEIGHT, LABELS[:2]), {"linear_bias": torch.zeros(5, dtype=torch.float64)}),
    ((HIDDEN, torch.zeros(0, 3), LABELS[:2]), {}),
]


@pytest.mark.parametrize(("args", "kwargs", "error", "words"), WRONG)
def test_wrong_arguments_are_refused_in_pytorchs_words(
    args: tuple[Any, ...], kwargs: dict[str, Any], error: type[Exception], words: str
) -> None:
    assert outcome(ours, *args, **kwargs) == (error, words)
    if THEIRS is not None:
        assert outcome(THEIRS, *args, **kwargs) == (error, words)


@pytest.mark.parametrize(("args", "kwargs"), REFUSED)
def test_what_pytorch_refuses_is_refused_in_its_words(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    expected = outcome(THEIRS or dense, *args, **kwargs)
    assert issubclass(expected[0], Exception)
    assert outcome(ours, *args, **kwargs) == expected


def test_a_label_that_only_vmap_sees_makes_its_row_nan() -> None:
    x, w, _ = problem()
    found = torch.vmap(lambda row, label: ours(row, w, label))(x[:3], torch.tensor([0, CLASSES, -1]))
    assert found.isnan().tolist() == [False, True, True]


def test_meta_tensors_give_pytorchs_shapes() -> None:
    meta = [a.to("meta") for a in problem()]
    for reduction, shape in (("mean", ()), ("none", (ROWS,))):
        found = ours(*meta, reduction=reduction)
        assert (found.device.type, found.shape) == ("meta", shape)


def test_subclasses_with_torch_function_are_asked() -> None:
    class Recorder(torch.Tensor):
        asked: typing.ClassVar[list[Any]] = []

        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            cls.asked.append(func)
            return super().__torch_function__(func, types, args, kwargs or {})

    x, w, labels = problem()
    found = ours(x, w.as_subclass(Recorder), labels)
    assert Recorder.asked[0] is ours
    torch.testing.assert_close(found.as_subclass(torch.Tensor), dense(x, w, labels))


COMPILED = [
    {"reduction": "none"},
    {"reduction": "sum", "linear_bias": numbers(CLASSES)},
    {"weight": numbers(CLASSES, low=0.1), "ignore_index": 3, "label_smoothing": 0.1},
    {"options": _Options()},
]


@pytest.mark.parametrize("options", COMPILED)
def test_one_graph_under_compile_with_values_and_gradients(options: dict[str, Any]) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    assert_same(value_and_gradients(compiled, *problem(), **options), value_and_gradients(dense, *problem(), **options))
    x, w, _ = problem()
    soft = numbers(ROWS, CLASSES, low=0.0)
    options = {key: value for key, value in options.items() if key != "ignore_index"}
    assert_same(value_and_gradients(compiled, x, w, soft, **options), value_and_gradients(dense, x, w, soft, **options))


# --- the module ----------------------------------------------------------------------------------------------------

MODULES = [
    {},
    {"bias": True, "reduction": "sum", "ignore_index": 1, "dtype": torch.float64},
    {"out_features": (2, 3), "bias": True, "weight": torch.arange(1.0, CLASSES + 1), "label_smoothing": 0.1},
]
OURS = xentropy_torch.LinearCrossEntropyLoss
CLASS_OF_THEIRS: Any = getattr(torch.nn, "LinearCrossEntropyLoss", None)


def drawn(of: Any, options: dict[str, Any]) -> torch.nn.Module:
    torch.manual_seed(0)
    module: torch.nn.Module = of(FEATURES, CLASSES, **options)
    return module


def given(options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    shape = (ROWS, *options.get("out_features", ()))
    return numbers(ROWS, FEATURES).to(options.get("dtype", torch.float32)), torch.arange(math.prod(shape)).reshape(
        shape
    ) % CLASSES


def test_the_module_is_pytorchs_but_for_forward() -> None:
    assert [attribute for attribute, value in vars(OURS).items() if callable(value)] == ["forward"]
    assert OURS.__bases__ == (CLASS_OF_THEIRS or linear_module.Older,)
    assert issubclass(OURS, torch.nn.modules.loss._WeightedLoss)


@needs_theirs
@pytest.mark.parametrize("options", MODULES)
def test_what_older_versions_get_is_pytorchs_class(options: dict[str, Any]) -> None:
    older, theirs = drawn(linear_module.Older, options), drawn(CLASS_OF_THEIRS, options)

    def parameters(of: Any) -> list[Any]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(of).parameters.values()]

    assert parameters(linear_module.Older) == parameters(CLASS_OF_THEIRS)
    assert linear_module.Older.__constants__ == CLASS_OF_THEIRS.__constants__
    assert repr(older).replace("Older", "LinearCrossEntropyLoss") == repr(theirs)
    assert vars(older).keys() == vars(theirs).keys()
    for (name, found), (same, expected) in zip(older.state_dict().items(), theirs.state_dict().items(), strict=True):
        assert name == same
        assert torch.equal(found, expected)
    for wrong in ({"weight": torch.ones(2)}, {"label_smoothing": 1.5}, {"label_smoothing": -0.1}):
        with pytest.raises(RuntimeError) as raised:
            CLASS_OF_THEIRS(FEATURES, CLASSES, **wrong)
        with pytest.raises(RuntimeError) as found_raised:
            linear_module.Older(FEATURES, CLASSES, **wrong)
        assert str(found_raised.value) == str(raised.value)


@pytest.mark.parametrize("options", MODULES)
def test_a_module_computes_the_function_of_its_parameters(options: dict[str, Any]) -> None:
    module, (x, labels) = drawn(OURS, options), given(options)
    shape = (CLASSES, *options.get("out_features", ()))
    bias = module.linear.bias
    expected = dense(
        x,
        module.linear.weight.reshape(*shape, FEATURES),
        labels,
        linear_bias=None if bias is None else bias.reshape(shape),
        **{key: options[key] for key in ("weight", "reduction", "ignore_index", "label_smoothing") if key in options},
    )
    value = module(x, labels)
    torch.testing.assert_close(value, expected)
    for found, slope in zip(
        torch.autograd.grad(value, list(module.parameters())),
        torch.autograd.grad(expected, list(module.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(found, slope)


@pytest.mark.parametrize("options", MODULES)
def test_a_module_travels(options: dict[str, Any]) -> None:
    module, args = drawn(OURS, options), given(options)
    expected = module(*args)
    again = OURS(FEATURES, CLASSES, **options)
    again.load_state_dict(module.state_dict())
    for one in (again, copy.deepcopy(module), pickle.loads(pickle.dumps(module)), copy.deepcopy(module).double()):
        assert type(one) is OURS
        x = args[0].to(one.linear.weight.dtype)
        torch.testing.assert_close(one(x, args[1]), expected, check_dtype=False)
    assert repr(module).startswith("LinearCrossEntropyLoss(\n  in_features=4, num_classes=5, out_features=")


def test_a_module_compiles_to_one_graph() -> None:
    torch._dynamo.reset()
    module, args = drawn(OURS, MODULES[1]), given(MODULES[1])
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*args), module(*args))


# --- in PyTorch's place --------------------------------------------------------------------------------------------


def test_where_pytorch_has_none_a_patch_adds_none() -> None:
    before = hasattr(functional, "linear_cross_entropy")
    with xentropy_torch.patched():
        assert hasattr(functional, "linear_cross_entropy") == before
    assert hasattr(functional, "linear_cross_entropy") == before


@needs_theirs
def test_function_and_module_are_ours_while_patched() -> None:
    module = CLASS_OF_THEIRS(2, 2)
    module.load_state_dict({"linear.weight": torch.tensor([[20.0, 0.0], [0.0, 0.0]])})
    args = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    assert module(*args).item() == 0.0
    with xentropy_torch.patched():
        assert functional.linear_cross_entropy is ours
        assert module(*args).item() == pytest.approx(math.exp(-20.0), rel=1e-6)
        with pytest.raises(IndexError, match="Target 2 is out of bounds"):
            module(args[0], args[1] + 2)
    assert functional.linear_cross_entropy is THEIRS
    assert module(*args).item() == 0.0
