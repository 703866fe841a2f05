"""Autocast: the dtypes and refusals that PyTorch has for these losses, on the CPU and, with fake tensors, on CUDA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

import xentropy_torch

NAMES = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def outcomes(module: Any, name: str, a: torch.dtype, b: torch.dtype, device: str) -> list[Any]:
    """The dtype of every reduction and kind of target, or the exception and its first line."""
    x = torch.full((2, 3), 0.5, device=device)
    labels, weight = torch.zeros(2, dtype=torch.int64, device=device), torch.ones(3, dtype=b, device=device)
    f: Callable[..., torch.Tensor] = getattr(module, name)
    calls: list[tuple[Any, ...]] = [(x.to(a), labels), (x.to(a), labels, weight)]
    if name == "cross_entropy":
        calls += [(x.to(a), x.to(b)), (x.to(a), x.to(b), weight)]
    if name.startswith("binary"):
        calls = [(x.to(a), x.to(b)), (x.to(a), x.to(b), weight)]
    found: list[Any] = []
    for reduction in ("none", "mean", "sum"):
        for args in calls:
            try:
                found.append(f(*args, reduction=reduction).dtype)
            except Exception as error:
                found.append((type(error), str(error).splitlines()[0]))
    return found


@contextmanager
def cuda_without_a_gpu() -> Iterator[None]:
    """CUDA autocast over fake CUDA tensors: ``torch.autocast`` turns itself off where there is no GPU."""
    before, dtype = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.float16)
    try:
        with FakeTensorMode():
            yield
    finally:
        torch.set_autocast_enabled("cuda", before)
        torch.set_autocast_dtype("cuda", dtype)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("a", FLOATS)
@pytest.mark.parametrize("b", FLOATS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_cpu_autocast_has_pytorchs_dtypes(name: str, a: torch.dtype, b: torch.dtype, dtype: torch.dtype) -> None:
    with torch.autocast("cpu", dtype=dtype):
        expected = outcomes(functional, name, a, b, "cpu")
        assert outcomes(xentropy_torch, name, a, b, "cpu") == expected
    if torch.float64 not in (a, b):
        assert set(expected) == {torch.float32}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("a", FLOATS)
def test_cuda_autocast_has_pytorchs_dtypes(name: str, a: torch.dtype) -> None:
    with cuda_without_a_gpu():
        for b in FLOATS:
            expected = outcomes(functional, name, a, b, "cuda")
            found = outcomes(xentropy_torch, name, a, b, "cuda")
            assert found == expected, b


def test_cuda_autocast_refuses_probabilities_as_pytorch_does() -> None:
    with cuda_without_a_gpu():
        p = torch.full((2,), 0.5, device="cuda")
        with pytest.raises(RuntimeError, match="unsafe to autocast"):
            xentropy_torch.binary_cross_entropy(p, p)


def test_a_float32_loss_is_not_narrowed_under_autocast() -> None:
    x, y = torch.tensor([[20.0, 0.0]], requires_grad=True), torch.tensor([0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = xentropy_torch.cross_entropy(x, y)
        (gradient,) = torch.autograd.grad(loss, x)
    plain = xentropy_torch.cross_entropy(x, y)
    assert torch.equal(loss, plain)
    assert torch.equal(gradient, torch.autograd.grad(plain, x)[0])


def test_half_logits_get_half_gradients_under_autocast() -> None:
    x = torch.tensor([[8.0, 0.0]], dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = xentropy_torch.cross_entropy(x, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(loss, x)
    assert (loss.dtype, gradient.dtype) == (torch.float32, torch.bfloat16)


def test_one_graph_under_compile_and_autocast() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(xentropy_torch.cross_entropy, fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert compiled(torch.zeros(2, 3, dtype=torch.bfloat16), torch.tensor([0, 1])).dtype == torch.float32
    assert compiled(torch.zeros(2, 3, dtype=torch.bfloat16), torch.tensor([0, 1])).dtype == torch.bfloat16
