"""Linear losses under torch.compile: operators that compute what eager mode does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from xentropy import linear_cross_entropy
from xentropy_torch import linear_ops

Loss = Callable[..., Tensor]
LABELS = torch.tensor([0, 3, 1, -100, 2])


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def drawn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator).to(dtype)


def compiled(loss: Loss) -> Loss:
    return torch.compile(loss, fullgraph=True, backend="aot_eager")


def found(loss: Loss, *arrays: Tensor, scale: float = 1.0) -> list[Tensor]:
    """The loss and the gradients of what requires them."""
    leaves = [a.detach().requires_grad_(a.is_floating_point()) for a in arrays]
    value = loss(*leaves)
    return [value, *torch.autograd.grad((scale * value).sum(), [a for a in leaves if a.requires_grad])]


def assert_equal(loss: Loss, *arrays: Tensor, **options: Any) -> None:
    """Compiled as in eager mode, but for the order in which a product adds up."""
    for one, other in zip(found(compiled(loss), *arrays, **options), found(loss, *arrays, **options), strict=True):
        assert_close(one, other)


def assert_close(one: Tensor, other: Tensor) -> None:
    """Of one dtype, and equal to some roundings."""
    eps = torch.finfo(one.dtype).eps
    torch.testing.assert_close(one, other, rtol=8 * eps, atol=8 * eps)


def with_bias(**options: Any) -> Loss:
    return lambda h, w, b: linear_cross_entropy(h, w, LABELS, bias=b, ignore_index=-100, chunk_rows=2, **options)


OPTIONS = [
    {},
    {"reduction": "sum", "label_smoothing": 0.1},
    {"reduction": "none", "z_loss": 0.01},
    {"softcap": 3.0, "temperature": 0.5, "focal_gamma": 2.0},
    {"precision": "float64"},
    {"normalizer": 7.0, "sample_weight": torch.tensor([1.0, 0.5, 0.0, 2.0, 1.0])},
]


# Nothing has been called before the compiler sees it, and it sees a tensor before it sees a parameter.
COLD_START = """
import torch
import xentropy

torch.manual_seed(0)
head = torch.nn.Linear(3, 4)
hidden, labels = torch.randn(5, 3), torch.arange(5) % 4

def loss(h):
    return xentropy.linear_cross_entropy(h, head.weight, labels, bias=head.bias)

torch.compile(loss, fullgraph=True, backend="aot_eager")(hidden).backward()
found, head.weight.grad = head.weight.grad, None
loss(hidden).backward()
torch.testing.assert_close(found, head.weight.grad)
"""


def test_a_layer_whose_loss_is_compiled_first() -> None:
    subprocess.run([sys.executable, "-c", COLD_START], check=True, timeout=120)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options) or "mean")
def test_the_numbers_of_eager_mode(options: dict[str, Any], dtype: torch.dtype) -> None:
    assert_equal(with_bias(**options), drawn(5, 3, dtype=dtype), drawn(4, 3, dtype=dtype), drawn(4, dtype=dtype))


def test_a_gradient_in_half_precision_is_rounded_with_its_cotangent() -> None:
    """A loss scaler makes large what would be 0 in float16."""
    arrays = [drawn(*shape, dtype=torch.float16) for shape in ((5, 3), (4, 3), (4,))]
    assert_equal(with_bias(normalizer=1e6), *arrays, scale=2.0**16)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_arrays_laid_out_in_other_ways(reduction: str) -> None:
    hidden, weight, bias = drawn(3, 5).T, drawn(3, 4).T, drawn(8)[::2]
    assert_equal(with_bias(reduction=reduction), hidden, weight, bias)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_probabilities_have_gradients(reduction: str) -> None:
    def loss(h: Tensor, w: Tensor, t: Tensor) -> Tensor:
        return linear_cross_entropy(h, w, t, reduction=reduction, label_smoothing=0.1, chunk_rows=2)

    arrays = drawn(5, 3), drawn(4, 3), drawn(5, 4).softmax(1)
    for one, other in zip(found(compiled(loss), *arrays), found(loss, *arrays), strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("requiring", [(), (0,), (1,), (2,), (0, 2)])
def test_only_what_requires_a_gradient(requiring: tuple[int, ...]) -> None:
    results = []
    for f in (compiled(with_bias()), with_bias()):
        arrays = [drawn(5, 3), drawn(4, 3), drawn(4)]
        for i in requiring:
            arrays[i].requires_grad_()
        value = f(*arrays)
        if requiring:
            value.backward()
        results.append([value.detach(), *(a.grad for a in arrays)])
    for one, other in zip(*results, strict=True):
        if one is None or other is None:
            assert one is other
        else:
            assert_close(one, other)


def test_nothing_is_recorded_without_gradients() -> None:
    arrays = [x.requires_grad_() for x in (drawn(5, 3), drawn(4, 3), drawn(4))]
    with torch.no_grad():
        value = compiled(with_bias())(*arrays)
        assert not value.requires_grad
        assert_close(value, with_bias()(*arrays))


def test_a_label_out_of_range_makes_its_row_nan() -> None:
    labels = torch.tensor([0, 9, 1])
    rows = compiled(lambda h, w: linear_cross_entropy(h, w, labels, reduction="none"))(drawn(3, 3), drawn(4, 3))
    assert rows.isnan().tolist() == [False, True, False]


def test_one_graph_for_changing_sizes_and_numbers() -> None:
    """By the second call the compiler knows that sizes and options are free; the third needs no graph of its own."""
    counter = CompileCounterWithBackend("aot_eager")

    def loss(h: Tensor, w: Tensor, labels: Tensor, smoothing: float, temperature: float) -> Tensor:
        return linear_cross_entropy(h, w, labels, label_smoothing=smoothing, temperature=temperature, chunk_rows=4)

    f, graphs = torch.compile(loss, fullgraph=True, backend=counter), []
    for rows, smoothing, temperature in ((6, 0.1, 2.0), (9, 0.2, 3.0), (14, 0.3, 4.0), (5, 0.4, 0.5)):
        arrays, more = (drawn(rows, 3), drawn(7, 3)), (torch.arange(rows) % 7, smoothing, temperature)
        results = [found(lambda *a, g=g, more=more: g(*a, *more), *arrays) for g in (f, loss)]
        graphs.append(counter.frame_count)
        for one, other in zip(*results, strict=True):
            assert_close(one, other)
    assert graphs[1:] == graphs[1:2] * 3


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_second_derivative_is_an_error_and_not_zero(reduction: str) -> None:
    hidden, weight, bias = (x.requires_grad_() for x in (drawn(5, 3), drawn(4, 3), drawn(4)))
    value = compiled(with_bias(reduction=reduction))(hidden, weight, bias).sum()

    def penalised() -> None:
        gradient = torch.autograd.grad(value, hidden, create_graph=True)[0]
        (value + gradient.square().sum()).backward()

    with pytest.raises(RuntimeError, match="double backward"):
        penalised()


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_hidden_states_that_are_the_weights(reduction: str) -> None:
    """As in contrastive learning: every row's class is the row itself."""
    labels = torch.arange(4)
    assert_equal(lambda h: linear_cross_entropy(h, h, labels, temperature=0.5, reduction=reduction), drawn(4, 3))


def test_what_is_exported_does_without_operators_of_xentropy() -> None:
    class Loss(torch.nn.Module):
        def forward(self, h: Tensor, w: Tensor, b: Tensor) -> Tensor:
            return with_bias()(h, w, b)

    arrays = drawn(5, 3), drawn(4, 3), drawn(4)
    exported = torch.export.export(Loss(), arrays)
    assert not [node for node in exported.graph.nodes if "xentropy" in str(node.target)]
    assert_close(exported.module()(*arrays), with_bias()(*arrays))


def test_autocast() -> None:
    def loss(h: Tensor, w: Tensor, b: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return with_bias()(h, w, b)

    assert_equal(loss, drawn(5, 3), drawn(4, 3), drawn(4))


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_the_operators_are_what_they_say(reduction: str) -> None:
    """PyTorch's own checks: of the schema, of what they do to their arguments, and of the shapes that they promise."""
    flat = [drawn(5, 3), drawn(3, 4).T, drawn(4), torch.tensor([0, 3, 1, 0, 2]), None, None, None, None, None]
    numbers = torch.tensor([0.1, 0.0, 2.0, 0.0, 0.0], dtype=torch.float64)
    spec = ([3, 4], numbers, f"float32 {reduction} float32 1 1 2")
    checks = ("test_schema", "test_faketensor")
    for needs in ([True, True, True], [False, True, False]):
        if reduction == "mean":
            torch.library.opcheck(linear_ops.value_and_gradients, (flat, needs, *spec), test_utils=checks)
        else:
            torch.library.opcheck(
                linear_ops.gradients_of_rows, (flat[:7], drawn(5).double(), needs, *spec), test_utils=checks
            )
