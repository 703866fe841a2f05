"""PyTorch's own samples of its five losses, from the operator database in its wheel, given to ours.

Value and gradient are compared with PyTorch's operator in float64, by PyTorch's tolerances; dtype and shape with its
result in the sample's own dtype. Derivatives are checked as PyTorch checks its operators', and of its linear loss with
options as well, which has few of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_utils import gradcheck, gradgradcheck
from torch.utils._pytree import tree_map_only
from torch_samples import described, function_of, gradients, seeded, wide

import xentropy_torch

PEER = "PyTorch's operators"
DIFFERENCES: dict[str, str] = {}

LINEAR = "linear_cross_entropy"
OF_LOGITS = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")
# The linear loss without options, and with them, of rows that are reduced and that aren't.
NAMES = (*OF_LOGITS, LINEAR, f"{LINEAR}.chunked", f"{LINEAR}.chunked_none")
OPERATORS = {name: op for op in op_db if (name := f"{op.name}.{op.variant_test_name}"[14:].removesuffix(".")) in NAMES}

pytestmark = [
    # In forward mode PyTorch compiles rules of its own, of which it then says that this way to compile is deprecated.
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning"),
    # What its own linear loss says where it computes all logits all the same.
    pytest.mark.filterwarnings("ignore:linear_cross_entropy. ``options`` ignored:UserWarning"),
]


def ours(name: str) -> Any:
    return getattr(xentropy_torch, name.partition(".")[0])


def without_options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """PyTorch refuses some of them in float64, and they change no number."""
    return {key: value for key, value in kwargs.items() if key != "options"}


@cache
def samples(name: str, dtype: torch.dtype) -> list[Any]:
    seeded()
    return list(OPERATORS[name].sample_inputs("cpu", dtype, requires_grad=True))


def cases(dtype: torch.dtype) -> Iterator[Any]:
    for name in NAMES:
        for index, sample in enumerate(samples(name, dtype)):
            said = described((sample.input, *sample.args), without_options(sample.kwargs))
            yield pytest.param(name, dtype, index, id=f"{name}-{str(dtype)[6:]}-{index}-{said}")


EVERY_DTYPE = [case for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16) for case in cases(dtype)]
FLOAT64 = list(cases(torch.float64))


def arguments(name: str, dtype: torch.dtype, index: int) -> Any:
    sample = samples(name, dtype)[index]
    return (sample.input, *sample.args), sample.kwargs


def test_all_five_operators_are_there() -> None:
    assert set(OPERATORS) == set(NAMES)
    for name in NAMES:
        assert {torch.float32, torch.float64, torch.bfloat16, torch.float16} == set(OPERATORS[name].dtypes)
        if name in OF_LOGITS:
            assert OPERATORS[name].error_inputs_func is None, "there are error inputs now: test them"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_LOGITS])
def test_errors(name: str) -> None:
    wrong = list(OPERATORS[name].error_inputs("cpu"))
    assert wrong
    for case in wrong:
        given = case.sample_input
        with pytest.raises(case.error_type, match=case.error_regex):
            ours(name)(given.input, *given.args, **given.kwargs)


@pytest.mark.parametrize(("name", "dtype", "index"), EVERY_DTYPE)
def test_value_and_gradients(name: str, dtype: torch.dtype, index: int) -> None:
    tree, exact = arguments(name, dtype, index), wide(arguments(name, dtype, index))
    found = ours(name)(*tree[0], **tree[1])
    expected = OPERATORS[name].op(*exact[0], **without_options(exact[1]))
    theirs = OPERATORS[name].op(*tree[0], **tree[1])
    assert (found.dtype, found.shape) == (theirs.dtype, theirs.shape)
    if name not in OF_LOGITS and dtype == torch.float32:
        # A bias of 256 rounds logits by up to 1.5e-5.
        assert_close(found, expected.to(dtype), rtol=1.3e-6, atol=3e-5)
    else:
        assert_close(found, expected.to(dtype))
    for gradient, slope in zip(gradients(found, tree), gradients(expected, exact), strict=True):
        assert gradient.dtype == dtype
        assert_close(gradient, slope.to(dtype))


@pytest.mark.parametrize(("name", "dtype", "index"), FLOAT64)
def test_noncontiguous(name: str, dtype: torch.dtype, index: int) -> None:
    sample = samples(name, dtype)[index].noncontiguous()
    tree = arguments(name, dtype, index)
    found = ours(name)(sample.input, *sample.args, **sample.kwargs)
    expected = ours(name)(*tree[0], **tree[1])
    assert_close(found, expected)
    scattered = gradients(found, ((sample.input, *sample.args), sample.kwargs))
    for gradient, slope in zip(scattered, gradients(expected, tree), strict=True):
        assert_close(gradient, slope)


@pytest.mark.parametrize(("name", "dtype", "index"), FLOAT64)
def test_gradcheck(name: str, dtype: torch.dtype, index: int) -> None:
    function, inputs = function_of(ours(name), arguments(name, dtype, index))
    assert gradcheck(function, inputs, check_grad_dtypes=True, check_undefined_grad=True, check_batched_grad=True)


@pytest.mark.parametrize(("name", "dtype", "index"), FLOAT64)
def test_forward_mode(name: str, dtype: torch.dtype, index: int) -> None:
    function, inputs = function_of(ours(name), arguments(name, dtype, index))
    options = {"check_backward_ad": False, "check_batched_grad": False, "check_undefined_grad": False}
    assert gradcheck(function, inputs, check_forward_ad=True, check_batched_forward_grad=True, **options)


@pytest.mark.parametrize(("name", "dtype", "index"), FLOAT64)
def test_gradgradcheck(name: str, dtype: torch.dtype, index: int) -> None:
    function, inputs = function_of(ours(name), arguments(name, dtype, index))
    assert gradgradcheck(function, inputs, check_grad_dtypes=True, check_batched_grad=True)


@pytest.mark.parametrize(("name", "dtype", "index"), FLOAT64)
def test_forward_over_reverse(name: str, dtype: torch.dtype, index: int) -> None:
    function, inputs = function_of(ours(name), arguments(name, dtype, index))
    options = {"check_rev_over_rev": False, "check_undefined_grad": False, "check_batched_grad": False}
    assert gradgradcheck(function, inputs, check_fwd_over_rev=True, **options)


@pytest.mark.parametrize(("name", "dtype", "index"), FLOAT64)
def test_vmap(name: str, dtype: torch.dtype, index: int) -> None:
    """Over a batch of two samples: this one, and this one with every array turned round."""
    one = tree_map_only(torch.Tensor, torch.Tensor.detach, arguments(name, dtype, index))
    other = tree_map_only(torch.Tensor, lambda x: x.flip(tuple(range(x.ndim))), one)
    pairs = torch.utils._pytree.tree_map(
        lambda a, b: torch.stack((a, b)) if isinstance(a, torch.Tensor) else a, one, other
    )
    mapped = tree_map_only(torch.Tensor, lambda _: 0, one)
    loss = ours(name)
    # Options that are no arrays are left out of the map.
    options = {key: value for key, value in pairs[1].items() if not isinstance(value, torch.Tensor)}
    arrays = {key: value for key, value in pairs[1].items() if isinstance(value, torch.Tensor)}
    found = (
        torch.vmap(lambda args, kwargs: loss(*args, **kwargs, **options), in_dims=(tuple(mapped[0]), 0))(
            pairs[0], arrays
        )
        if arrays
        else torch.vmap(lambda *args: loss(*args, **options))(*pairs[0])
    )
    expected = [OPERATORS[name].op(*args, **kwargs) for args, kwargs in (one, other)]
    assert_close(found, torch.stack(expected), equal_nan=True)
