"""One case through one backend: our loss, or the framework's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import xentropy
from xentropy.parity.adapter import ParityAdapter, UnavailableError
from xentropy.parity.cases import Array, Case
from xentropy.parity.linear import LinearCase


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came back, as NumPy arrays.

    Attributes:
        loss: shape (rows,), None where the call failed or was not made.
        gradient: of the sum of the losses, in the shape of the logits; None where there is none.
        products: of a linear loss, in place of that, the gradients of hidden, weight and bias.
        array_type: the type of the loss that came back, written out.
        fault: what was wrong with the call or the type of its results.
        skipped: why the call was not made.
    """

    loss: Array | None = None
    gradient: Array | None = None
    products: tuple[Array, ...] = ()
    array_type: str = ""
    fault: str = ""
    skipped: str = ""


def ours(adapter: ParityAdapter, case: Case) -> Outcome:
    """Xentropy's loss of each row and the gradient of their sum, on the adapter's arrays."""
    return _guarded(_linear if isinstance(case, LinearCase) else _ours, adapter, case)


def native(adapter: ParityAdapter, case: Case) -> Outcome:
    """The same from the framework's own loss."""
    return _guarded(_native, adapter, case)


def _guarded(call: Callable[[ParityAdapter, Any], Outcome], adapter: ParityAdapter, case: Case) -> Outcome:
    # A report that dies of one exception hides every other number, so the exception becomes part of it.
    try:
        with adapter.scope(case.dtype):
            return call(adapter, case)
    except UnavailableError as missing:
        return Outcome(skipped=str(missing))
    except Exception as error:
        return Outcome(fault=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")


def _native(adapter: ParityAdapter, case: Case) -> Outcome:
    # What another loss warns of on these inputs is in its numbers.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = adapter.native(case)
    return Outcome(skipped="no such loss") if found is None else Outcome(*found)


def _ours(adapter: ParityAdapter, case: Case) -> Outcome:
    function: Callable[..., Any] = xentropy.binary_cross_entropy if case.binary else xentropy.cross_entropy
    logits = adapter.asarray(case.logits, case.dtype)
    targets = adapter.asarray(case.targets, case.dtype if case.soft else "int32")
    options = {"from_logits": case.from_logits, **options_of(adapter, case)}
    loss = function(logits, targets, reduction="none", **options)
    _, gradient = xentropy.value_and_grad(function)(logits, targets, reduction="sum", **options)
    return Outcome(
        loss=adapter.to_numpy(loss),
        gradient=adapter.to_numpy(gradient),
        array_type=f"{type(loss).__module__}.{type(loss).__qualname__}",
        fault=_type_fault(adapter, loss, case.wide_dtype) or _type_fault(adapter, gradient, case.dtype),
    )


def _linear(adapter: ParityAdapter, case: LinearCase) -> Outcome:
    function: Callable[..., Any] = xentropy.linear_cross_entropy
    hidden, weight, *bias = (adapter.asarray(factor, case.dtype) for factor in case.factors)
    targets = adapter.asarray(case.targets, case.dtype if case.soft else "int32")
    options = {"bias": bias[0] if bias else None, "chunk_rows": case.chunk_rows, **options_of(adapter, case)}
    loss = function(hidden, weight, targets, reduction="none", **options)
    _, gradients = xentropy.value_and_grad(function)(hidden, weight, targets, reduction="sum", **options)
    faults = (_type_fault(adapter, loss, case.wide_dtype), *(_type_fault(adapter, g, case.dtype) for g in gradients))
    return Outcome(
        loss=adapter.to_numpy(loss),
        products=tuple(adapter.to_numpy(gradient) for gradient in gradients),
        array_type=f"{type(loss).__module__}.{type(loss).__qualname__}",
        fault=next(filter(None, faults), ""),
    )


def _type_fault(adapter: ParityAdapter, result: Any, dtype: str) -> str:
    if not adapter.owns(result):
        return f"returned a {type(result).__module__}.{type(result).__qualname__}"
    found = adapter.dtype_name(result)
    return "" if found == dtype else f"returned {found} where {dtype} is due"


def options_of(adapter: ParityAdapter, case: Case) -> dict[str, Any]:
    """The options of a call of ours that are the case's."""
    options: dict[str, Any] = {"precision": case.precision, "label_smoothing": case.label_smoothing}
    if case.ignore_index is not None:
        options["ignore_index"] = case.ignore_index
    for name in ("class_weight", "sample_weight", "pos_weight"):
        weight = getattr(case, name)
        if weight is not None:
            options[name] = adapter.asarray(weight, case.wide_dtype)
    return options
