"""PyTorch's own inputs of its linear loss's module, from the database in its wheel: values, gradients and errors.

Second derivatives and the rest are checked with the operator's samples.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from torch.testing._internal.common_modules import module_db
from torch_samples import seeded, wide

import xentropy_torch

PEER = "PyTorch's modules"
DIFFERENCES: dict[str, str] = {}

(INFO,) = (info for info in module_db if info.module_cls is torch.nn.LinearCrossEntropyLoss)


@cache
def inputs(dtype: torch.dtype, *, errors: bool = False) -> list[Any]:
    drawn = INFO.module_error_inputs_func if errors else INFO.module_inputs_func
    seeded()
    return list(drawn(INFO, "cpu", dtype, requires_grad=True, training=True))


CASES = [
    pytest.param(dtype, index, id=f"{str(dtype)[6:]}-{index}")
    for dtype in INFO.dtypes
    for index, _ in enumerate(inputs(dtype))
]
ERRORS = [
    pytest.param(dtype, index, id=f"{str(dtype)[6:]}-{index}")
    for dtype in INFO.dtypes
    for index, _ in enumerate(inputs(dtype, errors=True))
]


@pytest.mark.parametrize(("dtype", "index"), CASES)
def test_forward_and_gradients(dtype: torch.dtype, index: int) -> None:
    found = inputs(dtype)[index]
    given = found.constructor_input
    ours = xentropy_torch.LinearCrossEntropyLoss(*given.args, **given.kwargs)
    # Of which the options are none: they change no number, and PyTorch refuses some of them in float64.
    theirs = torch.nn.LinearCrossEntropyLoss(*given.args, **{**given.kwargs, "options": None})
    theirs.load_state_dict(ours.state_dict())
    theirs.double()
    x, target = found.forward_input.args
    value, (exact, exact_target) = ours(x, target), wide((x, target))
    expected = theirs(exact, exact_target)
    assert (value.dtype, value.shape) == (dtype, expected.shape)
    assert_close(value, expected.to(dtype), equal_nan=True)
    slopes = torch.autograd.grad(expected.sum(), (exact, *theirs.parameters()))
    for gradient, slope in zip(torch.autograd.grad(value.sum(), (x, *ours.parameters())), slopes, strict=True):
        assert gradient.dtype == dtype
        assert_close(gradient, slope.to(dtype), equal_nan=True)


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")  # in an expression of PyTorch's
@pytest.mark.parametrize(("dtype", "index"), ERRORS)
def test_errors(dtype: torch.dtype, index: int) -> None:
    wrong = inputs(dtype, errors=True)[index]
    built, given = wrong.module_error_input.constructor_input, wrong.module_error_input.forward_input
    with pytest.raises(wrong.error_type, match=wrong.error_regex):
        xentropy_torch.LinearCrossEntropyLoss(*built.args, **built.kwargs)(*given.args, **given.kwargs)
