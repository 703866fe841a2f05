"""Ours in PyTorch's place, and out of it again without a trace."""

from __future__ import annotations

import copy
import io
import math
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.distributions import Bernoulli
from torch.nn import functional

import xentropy_torch

# A confident row: PyTorch's own loss of it is 0.
LOGITS = torch.tensor([[20.0, 0.0]])
LABEL = torch.tensor([0])
LOSS = math.log1p(math.exp(-20.0))
NAMES = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")


def is_ours(loss: Callable[..., torch.Tensor]) -> bool:
    value = loss(LOGITS, LABEL).item()
    assert value in (0.0, pytest.approx(LOSS, rel=1e-6))
    return value != 0.0


class Subclassed(torch.nn.CrossEntropyLoss):
    """What users write; importable, so that it pickles."""

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().forward(input, target)


def everything() -> dict[tuple[str, str], int]:
    """The identity of every attribute of every module of PyTorch's that is loaded, and of every class of losses."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "torch" and module is not None:
            found |= {(name, key): id(value) for key, value in list(vars(module).items())}
    for loss in (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss, torch.nn.BCELoss, torch.nn.BCEWithLogitsLoss):
        found |= {(loss.__name__, key): id(value) for key, value in vars(loss).items()}
    return found


def test_functions_are_ours_inside_and_pytorchs_outside() -> None:
    theirs = [getattr(functional, name) for name in NAMES]
    with xentropy_torch.patched():
        assert [getattr(functional, name) for name in NAMES] == [getattr(xentropy_torch, name) for name in NAMES]
        assert is_ours(functional.cross_entropy)
    assert [getattr(functional, name) for name in NAMES] == theirs
    assert not is_ours(functional.cross_entropy)


def test_modules_made_before_inside_and_after_are_ours_inside_alone() -> None:
    before = torch.nn.CrossEntropyLoss()
    with xentropy_torch.patched():
        inside = torch.nn.CrossEntropyLoss()
        assert is_ours(before)
        assert is_ours(inside)
    assert not any(map(is_ours, (before, inside, torch.nn.CrossEntropyLoss())))


def test_subclasses_of_theirs_and_of_ours_call_through_once() -> None:
    class OfOurs(xentropy_torch.CrossEntropyLoss):
        def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return super().forward(input, target)

    with xentropy_torch.patched():

        class Inside(torch.nn.CrossEntropyLoss):
            def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
                return functional.cross_entropy(input, target)

        assert all(map(is_ours, (Subclassed(), OfOurs(), Inside())))
    assert [is_ours(loss) for loss in (Subclassed(), OfOurs(), Inside())] == [False, True, False]


def test_arguments_that_go_to_pytorch_go_there_once_while_patched() -> None:
    with xentropy_torch.patched():
        with pytest.raises(IndexError, match="Target 2 is out of bounds"):
            functional.cross_entropy(LOGITS, LABEL + 2)
        with pytest.raises(RuntimeError, match="between 0 and 1"):
            functional.binary_cross_entropy(LOGITS, LOGITS)


def test_isinstance_pickle_and_state_are_as_they_were_while_patched() -> None:
    before = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]))
    dumped = pickle.dumps(before)
    with xentropy_torch.patched():
        assert isinstance(before, torch.nn.CrossEntropyLoss)
        for loss in (before, Subclassed(), copy.deepcopy(before), pickle.loads(dumped)):
            again = pickle.loads(pickle.dumps(loss))
            assert type(again) is type(loss)
            assert is_ours(again)
        buffer = io.BytesIO()
        torch.save(before.state_dict(), buffer)
        inside = pickle.dumps(torch.nn.CrossEntropyLoss())
    buffer.seek(0)
    assert torch.load(buffer)["weight"].tolist() == [1.0, 2.0]
    assert type(pickle.loads(inside)) is torch.nn.CrossEntropyLoss


def test_distributions_are_ours_while_patched() -> None:
    def log_prob() -> float:
        return Bernoulli(logits=torch.tensor(-20.0)).log_prob(torch.tensor(0.0)).item()

    assert log_prob() == 0.0
    with xentropy_torch.patched():
        assert log_prob() == pytest.approx(-LOSS, rel=1e-6)
    assert log_prob() == 0.0


def test_no_module_of_pytorchs_holds_its_own_loss_while_patched() -> None:
    theirs = {id(getattr(functional, name)) for name in NAMES}
    with xentropy_torch.patched():
        assert not [where for where, value in everything().items() if value in theirs]


def test_it_leaves_without_a_trace() -> None:
    before = everything()
    with xentropy_torch.patched(), xentropy_torch.patched():
        assert everything() != before
    assert everything() == before


def test_it_leaves_without_a_trace_when_an_exception_is_raised() -> None:
    before = everything()
    with pytest.raises(ZeroDivisionError), xentropy_torch.patched():
        raise ZeroDivisionError
    assert everything() == before


def test_it_nests_and_counts() -> None:
    xentropy_torch.patch()
    try:
        with xentropy_torch.patched():
            assert is_ours(functional.cross_entropy)
        assert is_ours(functional.cross_entropy)
    finally:
        xentropy_torch.unpatch()
    assert not is_ours(functional.cross_entropy)
    with pytest.raises(RuntimeError, match="nothing is patched"):
        xentropy_torch.unpatch()


@pytest.mark.parametrize("make", [lambda: functional.cross_entropy, torch.nn.CrossEntropyLoss])
def test_what_is_compiled_while_patched_is_ours(make: Callable[[], Any]) -> None:
    torch._dynamo.reset()
    with xentropy_torch.patched():
        loss = make()
        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
        assert is_ours(compiled)
    torch._dynamo.reset()
    loss = make()
    assert not is_ours(torch.compile(loss, fullgraph=True, backend="aot_eager"))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
def test_what_is_scripted_is_pytorchs_and_what_is_exported_ours() -> None:
    torch._dynamo.reset()
    with xentropy_torch.patched():
        assert not is_ours(torch.jit.script(torch.nn.CrossEntropyLoss()))
        assert is_ours(torch.export.export(torch.nn.CrossEntropyLoss(), (LOGITS, LABEL)).module())
    assert not is_ours(torch.jit.script(xentropy_torch.CrossEntropyLoss()))
    for name in NAMES:
        torch.jit.script(getattr(xentropy_torch, name))


def test_the_tables_of_overridable_functions_are_pytorchs_afterwards() -> None:
    """PyTorch fills them once, with what it finds then."""
    with xentropy_torch.patched():
        assert functional.cross_entropy in torch.overrides.get_testing_overrides()
    assert functional.cross_entropy in torch.overrides.get_testing_overrides()
    assert torch.overrides.resolve_name(functional.cross_entropy) == "torch.nn.functional.cross_entropy"
    assert xentropy_torch.cross_entropy not in torch.overrides.get_testing_overrides()
