"""The sides of a comparison that can be named: a loss of somebody's, a framework's own, ours, the exact value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xentropy
from xentropy.parity import discovery
from xentropy.parity.adapter import Native, ParityAdapter, UnavailableError
from xentropy.parity.cases import Case
from xentropy.parity.losses.loss import Function, Loss, arrays_of
from xentropy.parity.losses.subject import Subject
from xentropy.parity.measure import options_of

EXACT, OURS = "exact", "xentropy"


def as_subject(loss: Loss | Function | str, beside: Subject | None = None, *, argument: str = "loss") -> Subject | None:
    """The side of a comparison that somebody named; None for the exact value.

    Args:
        loss: a loss, ``"exact"``, ``"xentropy"``, or the name of a framework, for its own loss.
        beside: the other side, on whose arrays ``"xentropy"`` is called.
        argument: what errors call the loss.

    Raises:
        TypeError: it cannot be told whose arrays the loss takes.
        ValueError: there is no adapter of this name, or its framework is not installed.
    """
    if isinstance(loss, str):
        return _named(loss, beside, argument)
    given = loss if isinstance(loss, Loss) else Loss(loss)
    arrays = arrays_of(given)
    adapter = _adapter(arrays, f"arrays of {given.name}")

    def bind(case: Case) -> Callable[[Native], Native]:
        return lambda logits: _call(given.function, given, adapter, case, logits)

    def gradient(case: Case, logits: Native) -> Native:
        return _call(given.gradient, given, adapter, case, logits)

    asked = gradient if given.gradient else None
    return Subject(given.name, arrays, adapter, bind, asked, by_row=False, derived=False)


def _call(function: Any, loss: Loss, adapter: ParityAdapter, case: Case, logits: Native) -> Native:
    targets = adapter.asarray(case.targets, case.dtype if case.soft else adapter.index_dtype)
    weights = {}
    if case.sample_weight is not None:
        weights["sample_weight"] = adapter.asarray(case.sample_weight, case.wide_dtype)
    return function(targets, logits, **weights) if loss.targets_first else function(logits, targets, **weights)


def _named(name: str, beside: Subject | None, argument: str) -> Subject | None:
    if name == EXACT:
        return None
    if name == OURS:
        if beside is None:
            raise ValueError(
                f"{argument} is {name!r}, which is called on the arrays of the loss beside it: there is none"
            )
        return _ours(beside.arrays, beside.adapter)
    try:
        adapter = _adapter(name, argument)
    except ValueError as error:
        raise ValueError(f"{error}; beside these, {EXACT!r} and {OURS!r}") from error
    title = f"{name}'s own loss"

    def bind(case: Case) -> Callable[[Native], Native]:
        loss = adapter.own_loss(case)
        if loss is None:
            raise UnavailableError(f"{name} has no loss of its own for the case {case.name!r} and its options")
        return loss

    return Subject(title, name, adapter, bind)


def _ours(arrays: str, adapter: ParityAdapter) -> Subject:
    def call(function: Function, case: Case, logits: Native, **more: Any) -> Any:
        targets = adapter.asarray(case.targets, case.dtype if case.soft else "int32")
        return function(logits, targets, from_logits=case.from_logits, **options_of(adapter, case), **more)

    def bind(case: Case) -> Callable[[Native], Native]:
        return lambda logits: call(_function(case), case, logits, reduction="none")

    def gradient(case: Case, logits: Native) -> Native:
        return call(xentropy.value_and_grad(_function(case)), case, logits, reduction="sum")[1]

    return Subject(f"xentropy on {arrays}", arrays, adapter, bind, gradient)


def _function(case: Case) -> Function:
    return xentropy.binary_cross_entropy if case.binary else xentropy.cross_entropy


def _adapter(name: str, argument: str) -> ParityAdapter:
    try:
        discovery.select([name])
    except discovery.UnknownBackendError as error:
        raise ValueError(f"{argument} is {name!r}: {error}") from error
    return discovery.load(name)
