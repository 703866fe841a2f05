"""PyTorch's own inputs of its four modules, from the module database in its wheel, given to ours.

The forward pass is compared with the reference function that comes with each input, by PyTorch's tolerances; errors
are PyTorch's in type and wording; what is saved, copied, moved and shown is as PyTorch has it.
"""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db
from torch.testing._internal.common_utils import gradcheck, gradgradcheck
from torch.utils._pytree import tree_map_only
from torch_samples import function_of, gradients, seeded, wide

import xentropy_torch

PEER = "PyTorch's modules"
DIFFERENCES: dict[str, str] = {}

NAMES = ("CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss")
MODULES = {info.module_cls.__name__: info for info in module_db if info.module_cls.__name__ in NAMES}


@cache
def inputs(name: str, dtype: torch.dtype, *, errors: bool = False) -> list[Any]:
    info = MODULES[name]
    drawn = info.module_error_inputs_func if errors else info.module_inputs_func
    seeded()
    return [] if drawn is None else list(drawn(info, "cpu", dtype, requires_grad=True, training=True))


def cases(*dtypes: torch.dtype) -> Iterator[Any]:
    """Every input in the dtypes given, by default in those that its module has."""
    for name in NAMES:
        for dtype in dtypes or MODULES[name].dtypes:
            for index, found in enumerate(inputs(name, dtype)):
                yield pytest.param(name, dtype, index, id=f"{name}-{str(dtype)[6:]}-{index}-{found.desc}")


EVERY_DTYPE = list(cases())
FLOAT64 = list(cases(torch.float64))
ERRORS = [
    pytest.param(name, dtype, index, id=f"{name}-{str(dtype)[6:]}-{index}")
    for name in NAMES
    for dtype in MODULES[name].dtypes
    for index, _ in enumerate(inputs(name, dtype, errors=True))
]


def built(namespace: Any, name: str, given: Any) -> torch.nn.Module:
    module: torch.nn.Module = getattr(namespace, name)(*given.args, **given.kwargs)
    return module


def case(name: str, dtype: torch.dtype, index: int) -> tuple[torch.nn.Module, tuple[Any, dict[str, Any]], Any]:
    found = inputs(name, dtype)[index]
    # Soft targets that are a function of an input that requires a gradient become inputs themselves.
    arguments = tree_map_only(
        torch.Tensor,
        lambda x: x.detach().clone().requires_grad_(x.requires_grad),
        (tuple(found.forward_input.args), dict(found.forward_input.kwargs)),
    )
    return built(xentropy_torch, name, found.constructor_input), arguments, found


def test_all_four_modules_are_there() -> None:
    assert set(MODULES) == set(NAMES)
    assert len(ERRORS) > 0


@pytest.mark.parametrize(("name", "dtype", "index"), EVERY_DTYPE)
def test_forward(name: str, dtype: torch.dtype, index: int) -> None:
    module, (args, kwargs), found = case(name, dtype, index)
    value = module(*args, **kwargs)
    theirs = built(torch.nn, name, found.constructor_input)
    assert (value.dtype, value.shape) == (theirs(*args, **kwargs).dtype, theirs(*args, **kwargs).shape)
    exact = wide((args, kwargs))
    assert_close(value, theirs.double()(*exact[0], **exact[1]).to(dtype))
    if dtype == torch.float16:
        # The reference works in its inputs' dtype, and in this one errs by up to 8e-3.
        module, (args, kwargs) = copy.deepcopy(module).double(), exact
        if "constructor_kwargs" in inspect.signature(found.reference_fn).parameters:
            options = wide(found.constructor_input.kwargs)
            kwargs["constructor_kwargs"] = {key: value for key, value in options.items() if key != "reduction"}
    detached = tree_map_only(torch.Tensor, torch.Tensor.detach, args)
    assert_close(value.detach(), found.reference_fn(module, *detached, **kwargs).to(dtype))


@pytest.mark.parametrize(("name", "dtype", "index"), EVERY_DTYPE)
def test_noncontiguous(name: str, dtype: torch.dtype, index: int) -> None:
    module, (args, kwargs), _ = case(name, dtype, index)
    scattered = tree_map_only(
        torch.Tensor,
        lambda x: torch.stack((x.detach(), x.detach()), -1)[..., 0].requires_grad_(x.requires_grad),
        (args, kwargs),
    )
    value, expected = module(*scattered[0], **scattered[1]), module(*args, **kwargs)
    assert_close(value, expected)
    for ours, slope in zip(gradients(value, scattered), gradients(expected, (args, kwargs)), strict=True):
        assert_close(ours, slope)


@pytest.mark.parametrize(("name", "dtype", "index"), FLOAT64)
def test_repr_state_pickle_copy_and_conversion(name: str, dtype: torch.dtype, index: int) -> None:
    module, (args, kwargs), found = case(name, dtype, index)
    theirs, expected = built(torch.nn, name, found.constructor_input), module(*args, **kwargs)
    assert repr(module) == repr(theirs)
    assert isinstance(module, type(theirs))
    again = built(xentropy_torch, name, found.constructor_input)
    again.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(module.state_dict())
    for one in (again, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(one(*args, **kwargs), expected)
    narrow = copy.deepcopy(module).to(torch.float32)
    assert {buffer.dtype for buffer in narrow.buffers()} <= {torch.float32}
    converted = tree_map_only(torch.Tensor, lambda x: x.float() if x.is_floating_point() else x, (args, kwargs))
    assert_close(narrow(*converted[0], **converted[1]), expected.float())


@pytest.mark.parametrize(("name", "dtype", "index"), FLOAT64)
def test_gradcheck(name: str, dtype: torch.dtype, index: int) -> None:
    module, arguments, _ = case(name, dtype, index)
    function, given = function_of(module, arguments)
    assert gradcheck(function, given, check_grad_dtypes=True, check_batched_grad=True)


@pytest.mark.parametrize(("name", "dtype", "index"), FLOAT64)
def test_gradgradcheck(name: str, dtype: torch.dtype, index: int) -> None:
    module, arguments, _ = case(name, dtype, index)
    function, given = function_of(module, arguments)
    assert gradgradcheck(function, given, check_grad_dtypes=True, check_batched_grad=True)


@pytest.mark.parametrize(("name", "dtype", "index"), ERRORS)
def test_errors(name: str, dtype: torch.dtype, index: int) -> None:
    wrong = inputs(name, dtype, errors=True)[index]
    given = wrong.module_error_input
    if wrong.error_on == ModuleErrorEnum.CONSTRUCTION_ERROR:
        with pytest.raises(wrong.error_type, match=wrong.error_regex):
            built(xentropy_torch, name, given.constructor_input)
        return
    module = built(xentropy_torch, name, given.constructor_input)
    with pytest.raises(wrong.error_type, match=wrong.error_regex):
        module(*given.forward_input.args, **given.forward_input.kwargs)
