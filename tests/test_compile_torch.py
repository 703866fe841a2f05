"""torch.compile(fullgraph=True): one graph from a cold start, over changing shapes, with its backward pass."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from derivatives import PROBLEMS, SOFT_TARGETS, Problem, assert_close, assert_derivatives, softmax_gradient
from torch._dynamo.testing import CompileCounterWithBackend
from torch.autograd import grad
from torch.fx.experimental.proxy_tensor import make_fx

import xentropy
from xentropy import binary_cross_entropy, cross_entropy, token_statistics

Function = Callable[..., Any]

# Nothing has been called before the compiler sees it: no backend is in the registry's cache.
COLD_START = """
import json
import torch
import xentropy

torch.manual_seed(0)
compiled = torch.compile(lambda x, y: xentropy.cross_entropy(x, y, reduction="none"), fullgraph=True)
found = []
for rows, classes in ((5, 7), (9, 11)):
    x = torch.randn(rows, classes, requires_grad=True)
    labels = torch.randint(classes, (rows,))
    labels[3] = classes
    losses = compiled(x, labels)
    losses.sum().backward()
    found.append([x.detach().tolist(), labels.tolist(), losses.tolist(), x.grad.tolist()])
print(json.dumps(found))
"""


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    """No test's function counts against another's limit of compilations."""
    torch._dynamo.reset()


def traced(f: Function, **options: Any) -> Function:
    """One graph each for forward and backward, run by eager kernels: what is tested is that there is one graph."""
    return torch.compile(f, fullgraph=True, backend="aot_eager", **options)


def rows_of(seed: int, rows: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = 3.0 * torch.randn(rows, classes, generator=generator)
    return x.requires_grad_(), torch.randint(classes, (rows,), generator=generator)


def one_hot(labels: torch.Tensor, classes: int) -> np.ndarray[Any, Any]:
    return np.eye(classes)[labels.numpy()]


def test_cold_start_over_two_shapes() -> None:
    """Also labels out of range: the compiler doesn't know them, so that their rows are NaN."""
    run = subprocess.run([sys.executable, "-c", COLD_START], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-4000:]
    for logits, labels, losses, gradient in json.loads(run.stdout.splitlines()[-1]):
        x, kept = np.array(logits), np.arange(len(labels)) != 3
        expected = softmax_gradient(x, np.eye(x.shape[1] + 1)[labels][:, :-1])[kept]
        assert_close(np.array(gradient)[kept], expected, "float32")
        log_p = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
        assert_close(np.array(losses)[kept], -log_p[kept, np.array(labels)[kept]], "float32")
        assert np.isnan(losses[3])
        assert np.isnan(gradient[3]).all()


CHOSEN = (
    "index_axis",
    "removed",
    "row_masked_smoothing",
    "normalizer",
    "everything",
    "soft_everything",
    "probabilities_soft",
    "binary_focal_soft",
)


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.name in CHOSEN], ids=lambda problem: problem.name)
def test_options_in_one_graph(problem: Problem) -> None:
    loss, cotangent = problem.bind(torch.tensor), torch.tensor(problem.cotangent)
    inputs = [torch.tensor(a, requires_grad=True) for a in problem.arrays]
    value = traced(lambda *arrays: (loss(*arrays) * cotangent).sum())(*inputs)
    assert_close(value.detach(), problem.exact.value)
    found = tuple(g.numpy() for g in grad(value, inputs))
    assert_derivatives(problem, found, problem.exact.gradient, "float64")


@pytest.mark.parametrize("dynamic", [True, None])
@pytest.mark.parametrize("classes", [(7, 11, 31), (601, 1103, 1407)])
def test_changing_shapes(dynamic: bool | None, classes: tuple[int, ...]) -> None:
    """By the second shape the compiler knows that sizes are free; the third needs no graph of its own."""
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda x, y: cross_entropy(x, y, axis=1), fullgraph=True, backend=counter, dynamic=dynamic)
    graphs = []
    for rows, columns in zip((5, 9, 12), classes, strict=True):
        x, labels = rows_of(rows, rows, columns)
        (found,) = grad(compiled(x, labels), x)
        assert_close(found, softmax_gradient(x.detach(), one_hot(labels, columns)) / rows, "float32")
        graphs.append(counter.frame_count)
    assert graphs[1] == graphs[2]


def test_changing_options() -> None:
    """Numbers that a schedule changes are free after the second one, too."""
    counter = CompileCounterWithBackend("aot_eager")

    def loss(x: torch.Tensor, labels: torch.Tensor, smoothing: float, temperature: float) -> torch.Tensor:
        return cross_entropy(x, labels, label_smoothing=smoothing, temperature=temperature)

    compiled, graphs = torch.compile(loss, fullgraph=True, backend=counter), []
    x, labels = rows_of(0, 4, 5)
    for smoothing, temperature in ((0.1, 1.5), (0.2, 1.25), (0.3, 1.125)):
        value, expected = compiled(x, labels, smoothing, temperature), loss(x, labels, smoothing, temperature)
        assert_close(value.detach(), expected.detach(), "float32")
        assert_close(grad(value, x)[0], grad(expected, x)[0], "float32")
        graphs.append(counter.frame_count)
    assert graphs[1] == graphs[2]


def test_inductor_over_two_shapes_of_soft_targets() -> None:
    compiled = torch.compile(lambda x, t: cross_entropy(x, t, label_smoothing=0.1), fullgraph=True)
    for rows, classes in ((5, 7), (9, 11)):
        x, _ = rows_of(rows, rows, classes)
        t = rows_of(rows + 1, rows, classes)[0].detach().softmax(dim=-1).requires_grad_()
        eager = cross_entropy(x, t, label_smoothing=0.1)
        value = compiled(x, t)
        assert_close(value.detach(), eager.detach(), "float32")
        for found, expected in zip(grad(value, (x, t)), grad(eager, (x, t)), strict=True):
            assert_close(found, expected, "float32")


@pytest.mark.parametrize("classes", [5, 700])
def test_inductor_is_as_accurate_as_eager(classes: int) -> None:
    """Confident rows keep their relative accuracy, in the loss and in the gradient at the label."""
    generator = torch.Generator().manual_seed(classes)
    x = torch.rand(4, classes, generator=generator)
    x[range(4), range(4)] = torch.tensor([8.0, 20.0, 40.0, 80.0])
    x.requires_grad_()
    labels = torch.arange(4)
    losses = torch.compile(lambda x: cross_entropy(x, labels, reduction="none"), fullgraph=True)(x)
    (found,) = grad(losses.sum(), x)
    logits = x.detach().double().numpy()
    odds = np.exp(logits - logits[range(4), range(4)][:, None])
    odds[range(4), range(4)] = 0.0
    excess = odds.sum(axis=-1)
    np.testing.assert_allclose(losses.detach().numpy(), np.log1p(excess), rtol=1e-6)
    np.testing.assert_allclose(found.numpy()[range(4), range(4)], -excess / (1.0 + excess), rtol=1e-6)


def test_values_are_unknown_to_the_compiler() -> None:
    """NaN for labels that nobody looks at, also where validate=True; ignored ones are removed."""
    x, labels = rows_of(0, 4, 3)
    labels[:] = torch.tensor([0, 3, -1, -100])
    for validate in ("auto", True, False):
        compiled = traced(
            lambda x, v=validate: cross_entropy(x, labels, ignore_index=-100, reduction="none", validate=v)
        )
        losses = compiled(x)
        (gradient,) = grad(losses.sum(), x)
        assert losses.isnan().tolist() == [False, True, True, False]
        assert gradient.isnan().any(dim=-1).tolist() == [False, True, True, False]
        assert losses[3] == 0.0
        assert not gradient[3].any()


def test_masked_labels_and_wrong_probabilities_are_nan() -> None:
    x, labels = rows_of(1, 3, 4)
    labels[:] = torch.tensor([0, 3, 1])
    mask = torch.tensor([True, True, True, False])
    losses = traced(lambda x: cross_entropy(x, labels, class_mask=mask, reduction="none"))(x)
    assert losses.isnan().tolist() == [False, True, False]
    p = torch.tensor([0.5, 1.5, -0.5, 1.0])
    losses = traced(lambda p: binary_cross_entropy(p, torch.ones(4), from_logits=False, reduction="none"))(p)
    assert losses.isnan().tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    "convert", [list, np.array, lambda values: np.array(values, np.float32)], ids=["lists", "float64", "float32"]
)
def test_lists_and_numpy_arrays(convert: Function) -> None:
    """Weights, labels and masks need not be tensors inside a graph either."""
    x, _ = rows_of(5, 3, 4)
    weight, sample = [0.1, 2.0, 0.5, 1.0], [1.0, 0.25, 0.7]
    labels, mask = [0, 2, 1], [True, True, True, False]

    def loss(x: torch.Tensor) -> torch.Tensor:
        given = {"class_weight": convert(weight), "sample_weight": convert(sample), "class_mask": mask}
        return cross_entropy(x, np.array(labels), **given) + cross_entropy(x, labels, sample_weight=0.5)

    assert_close(traced(loss)(x).detach(), loss(x).detach(), "float32")


@pytest.mark.parametrize(
    ("targets", "error"),
    [
        (torch.zeros(2, dtype=torch.int64), r"targets has shape \(2,\)"),
        (torch.zeros(3, dtype=torch.bool), "dtype bool"),
    ],
)
def test_static_errors_are_raised_while_tracing(targets: torch.Tensor, error: str) -> None:
    """Dynamo wraps what escapes from a graph, and keeps its message."""
    with pytest.raises(Exception, match=error):
        traced(cross_entropy)(torch.zeros(3, 4), targets)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("precision", [None, "float64"])
def test_dtypes(dtype: torch.dtype, precision: Any) -> None:
    """The same numbers as eager: to the bit but for float32, by other kernels to some units of it."""
    x, labels = rows_of(2, 6, 9)
    x = x.detach().to(dtype).requires_grad_()
    eager = cross_entropy(x, labels, precision=precision)
    value = traced(lambda x: cross_entropy(x, labels, precision=precision))(x)
    assert value.dtype == torch.float32
    (found,), (expected,) = grad(value, x), grad(eager, x)
    assert found.dtype == dtype
    apart = 2.0**-20 if dtype == torch.float32 and precision is None else 0.0
    torch.testing.assert_close(value, eager, rtol=apart, atol=0.0)
    torch.testing.assert_close(found, expected, rtol=apart, atol=0.0)


def test_token_statistics_in_one_graph() -> None:
    x, labels = rows_of(3, 5, 8)
    eager = token_statistics(x, labels, temperature=2.0)
    found = traced(lambda x: tuple(token_statistics(x, labels, temperature=2.0)))(x)
    for mine, theirs in zip(found[:3], eager[:3], strict=True):
        torch.testing.assert_close(mine, theirs)
        of_mine, of_theirs = (grad(field.sum(), x, retain_graph=True)[0] for field in (mine, theirs))
        torch.testing.assert_close(of_mine, of_theirs)
    assert found[3].tolist() == eager.correct.tolist()


@pytest.mark.parametrize("transform", [torch.func.grad, xentropy.value_and_grad], ids=["grad", "value_and_grad"])
def test_transforms_inside_the_graph(transform: Function) -> None:
    (x, labels) = rows_of(4, 3, 5)
    f = transform(lambda x: cross_entropy(x, labels))
    found, expected = traced(f)(x.detach()), f(x.detach())
    torch.testing.assert_close(found, expected)


def test_a_compiled_training_step() -> None:
    """Model, loss and backward pass in one compiled function's graph."""
    torch.manual_seed(0)
    model = torch.nn.Linear(6, 4)
    inputs, labels = torch.randn(8, 6), torch.randint(4, (8,))
    traced(lambda rows: cross_entropy(model(rows), labels))(inputs).backward()
    expected = softmax_gradient(model(inputs).detach(), one_hot(labels, 4)).sum(axis=0) / 8
    assert_close(model.bias.grad, expected, "float32")


def test_forward_alone_records_nothing() -> None:
    x, t = (torch.tensor(a) for a in SOFT_TARGETS.arrays)
    with torch.no_grad():
        value = traced(cross_entropy)(x, t)
    assert not value.requires_grad
    assert_close(value, SOFT_TARGETS.exact.value)


SECOND_ORDER: dict[str, Callable[[Function], Function]] = {
    "hessian": torch.func.hessian,
    "gradient of the gradient's square": lambda f: torch.func.grad(lambda x: (torch.func.grad(f)(x) ** 2).sum()),
    "third": lambda f: torch.func.jacrev(torch.func.jacrev(torch.func.grad(f))),
    "gradients of a batch": lambda f: lambda x: torch.vmap(torch.func.grad(f))(torch.stack((x, 2.0 * x))),
}


# Of PyTorch itself, which compiles rules of its own for forward mode.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
@pytest.mark.parametrize("transform", SECOND_ORDER.values(), ids=SECOND_ORDER.keys())
@pytest.mark.parametrize("loss", [cross_entropy, binary_cross_entropy])
def test_further_derivatives_inside_the_graph(loss: Function, transform: Callable[[Function], Function]) -> None:
    """Of which a traced autograd.Function makes a silent 0."""
    x = torch.tensor([[0.5, -1.0, 2.0], [0.0, 1.5, -0.5]])
    targets = torch.tensor([2, 0]) if loss is cross_entropy else torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    derivative = transform(lambda x: loss(x, targets))
    expected = derivative(x)
    assert expected.abs().max() > 0.001
    torch.testing.assert_close(traced(derivative)(x), expected)


@pytest.mark.parametrize("tracing", ["real", "fake", "symbolic"])
@pytest.mark.parametrize("function", [cross_entropy, torch.func.grad(cross_entropy)], ids=["loss", "gradient"])
def test_make_fx(function: Function, tracing: str) -> None:
    """A trace of operators knows no values."""
    x, labels = torch.tensor([[0.5, -1.0, 2.0], [0.0, 1.5, -0.5]]), torch.tensor([2, 0])
    graph = make_fx(lambda x, y: 1.0 * function(x, y), tracing_mode=tracing)(x, labels)
    torch.testing.assert_close(graph(2.0 * x, labels), function(2.0 * x, labels))


ROWS = [[20.0, 0.0, 0.0], [60.0, 0.0, -math.inf], [-3.0, 1.0, 0.5]]
INSIDE: dict[str, Function] = {
    "indices": lambda x: cross_entropy(x, torch.tensor([0, 0, 2])),
    "probabilities": lambda x: cross_entropy(x, torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])),
    "focal": lambda x: cross_entropy(x, torch.tensor([0, 0, 2]), focal_gamma=0.5),
    "ignored": lambda x: cross_entropy(x, torch.tensor([0, 0, 9]), ignore_index=9),
    "binary": lambda x: binary_cross_entropy(x, torch.tensor([[1.0, 0.0, 0.0]] * 3)),
    "statistics": lambda x: token_statistics(x[1:], torch.tensor([0, 2])).entropy.sum(),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("differentiate", ["torch.func", "value_and_grad"])
@pytest.mark.parametrize("loss", INSIDE.values(), ids=INSIDE.keys())
def test_gradients_inside_the_graph_are_as_accurate_as_eager_ones(
    loss: Function, differentiate: str, dtype: torch.dtype
) -> None:
    x = torch.tensor(ROWS, dtype=dtype)
    if differentiate == "torch.func":
        found = traced(torch.func.grad(loss))(x)
    else:
        found = traced(lambda x: xentropy.value_and_grad(loss)(x)[1])(x)
    leaf = x.clone().requires_grad_()
    (expected,) = grad(loss(leaf), leaf)
    assert expected.isfinite().all()
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=torch.finfo(dtype).eps, atol=0.0)


INF = math.inf
INFINITE: dict[str, tuple[Function, list[Any], float, list[Any]]] = {
    # What is the limit, by hand; sigmoid(0) - 1 is the gradient of the elements and rows at 0.
    "binary, right": (lambda z: binary_cross_entropy(z, torch.tensor([1.0, 0.0])), [INF, -INF], 0.0, [0.0, 0.0]),
    "binary, wrong": (lambda z: binary_cross_entropy(z, torch.tensor([0.0, 1.0])), [INF, -INF], INF, [0.5, -0.5]),
    "binary, NaN": (lambda z: binary_cross_entropy(z, torch.ones(2)), [math.nan, 0.0], math.nan, [math.nan, -0.25]),
    "binary, probabilities": (
        lambda p: binary_cross_entropy(p, torch.tensor([1.0, 1.0]), from_logits=False),
        [0.0, 0.5],
        INF,
        [-INF, -1.0],
    ),
    "a label at -inf": (lambda z: cross_entropy(z, torch.tensor([1])), [[0.0, -INF, 0.0]], INF, [[0.5, -1.0, 0.5]]),
    "a target at -inf": (
        lambda z: cross_entropy(z, torch.tensor([[0.5, 0.5, 0.0]])),
        [[0.0, -INF, 0.0]],
        INF,
        [[0.0, -0.5, 0.5]],
    ),
    "nothing but -inf": (lambda z: cross_entropy(z, torch.tensor([0])), [[-INF, -INF]], math.nan, [[math.nan] * 2]),
    "a probability of 0": (
        lambda p: cross_entropy(p, torch.tensor([0]), from_logits=False),
        [[0.0, 1.0]],
        INF,
        [[-INF, 0.0]],
    ),
    "a log-probability of -inf": (lambda x: xentropy.nll_loss(x, torch.tensor([0])), [[-INF, 0.0]], INF, [[-1.0, 0.0]]),
}


@pytest.mark.parametrize(("loss", "given", "value", "gradient"), INFINITE.values(), ids=INFINITE.keys())
def test_inside_the_graph_what_is_infinite_has_the_value_and_the_gradient_that_it_has_outside(
    loss: Function, given: list[Any], value: float, gradient: list[Any]
) -> None:
    found = traced(xentropy.value_and_grad(loss))(torch.tensor(given))
    torch.testing.assert_close(found, (torch.tensor(value), torch.tensor(gradient)), equal_nan=True)


def test_no_more_compilations_than_of_pytorchs_own() -> None:
    """Batches of one size, and a last one that is smaller."""

    def compilations(loss: Function) -> int:
        torch._dynamo.reset()
        counter = CompileCounterWithBackend("aot_eager")
        compiled = torch.compile(loss, backend=counter, fullgraph=True)
        for rows in (8, 8, 5, 8, 3):
            x = torch.randn(rows, 6, requires_grad=True)
            compiled(x, torch.arange(rows) % 6).backward()
        return counter.frame_count

    assert compilations(cross_entropy) <= compilations(torch.nn.functional.cross_entropy)
