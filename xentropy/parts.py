"""The losses whose classes are in several parts: arguments, agreement, labels. No arithmetic."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from xentropy import shards, tape
from xentropy.agreement import Parts, agree
from xentropy.dtypes import name_of, require_floating, result_name
from xentropy.inputs import as_array
from xentropy.labels import target_kind
from xentropy.layout import class_layout, show
from xentropy.linear import LinearRule
from xentropy.linear_arguments import Shared, as_given, check_chunk_rows, shared_arrays, wide_name
from xentropy.options import Validate, check_choices, check_ignore_index, softmax_options
from xentropy.prepare import Prepared, finite_normalizer, rows, rows_without_logits
from xentropy.registry import resolve
from xentropy.sharded import ShardedProgram, ShardedRule, part_rule
from xentropy.validation import first_true, name_element

if TYPE_CHECKING:
    from xentropy.backend import OwnPart
    from xentropy.options import SoftmaxOptions
    from xentropy.rule import Arrays, Rule

Array = Any


class Local(NamedTuple):
    """A part's own side of a loss.

    Attributes:
        rule: what is done to its logits.
        prepared: what belongs to its rows.
        arrays: what the rule is a function of.
        targets: as an array.
        normalizer: an array without axes, or None.
        result: the name of the loss's dtype.
    """

    rule: Rule | LinearRule
    prepared: Prepared
    arrays: Arrays
    targets: Array
    normalizer: Array | None
    result: str


def cross_entropy_of(own: OwnPart, *, logits: Array, targets: Array, axis: int, **call: Any) -> Array:
    """``xentropy.cross_entropy`` of logits that are in parts by themselves."""
    if call.pop("group") is not None:
        raise ValueError("group goes with slices of the classes; these logits are in parts already")
    mask = call["class_mask"]
    if mask is not None:
        call["class_mask"] = own.cut(mask, axis if len(mask.shape) > 1 else 0)
    call["class_weight"] = own.cut(call["class_weight"], 0)
    call["sample_weight"] = own.alike(call["sample_weight"])
    targets = _own_targets(own, targets, axis)
    return own.whole(cross_entropy(logits=own.local, targets=targets, group=own.group, axis=axis, **call))


def linear_cross_entropy_of(
    own: OwnPart, *, hidden: Array, weight: Array, bias: Array | None, targets: Array, **call: Any
) -> Array:
    """``xentropy.linear_cross_entropy`` of weights that are in parts by themselves."""
    if call.pop("group") is not None:
        raise ValueError("group goes with slices of the classes; these weights are in parts already")
    for name in ("class_mask", "class_weight"):
        call[name] = own.cut(call[name], -1)
    call["sample_weight"] = own.alike(call["sample_weight"])
    targets = _own_targets(own, targets, -1)
    given = {"hidden": own.alike(hidden), "weight": own.local, "bias": own.cut(bias, 0), "targets": targets}
    return own.whole(linear_cross_entropy(**given, group=own.group, **call))


def _own_targets(own: OwnPart, targets: Array, axis: int) -> Array:
    """Probabilities of the slice's classes, or the labels, which are those of all classes."""
    soft = hasattr(targets, "dtype") and target_kind(targets) == "probabilities"
    return own.cut(targets, axis) if soft else own.alike(targets)


def cross_entropy(*, logits: Array, targets: Array, group: Any, axis: int, **call: Any) -> Array:
    """``xentropy.cross_entropy`` of a slice of the classes; ``call`` holds all other options."""
    backend = resolve(logits)

    def attempt() -> tuple[Local, int, dict[str, Any]]:
        check_choices(call["reduction"], call["precision"], call["validate"], call["normalizer"])
        require_floating(logits, "logits")
        if call["from_logits"] is False:
            raise ValueError("from_logits=False cannot take a group: probabilities have no normalizer to share")
        result = result_name(logits)
        options = checked_options("float64" if call["precision"] == "float64" else result, call)
        labels = as_array(backend, targets, "targets")
        layout = class_layout(backend, logits, axis, some=False)
        prepared = rows(
            backend,
            logits,
            labels,
            layout,
            **_of_rows(call),
            elsewhere=True,
        )
        divisor = finite_normalizer(backend, call["normalizer"], logits, layout, call["validate"], result)
        rule = part_rule(options, labelled=prepared.constants[0] is not None)
        local = Local(rule, prepared, prepared.arrays, labels, divisor, result)
        return local, layout.classes, {"function": "cross_entropy", **intentions(local, logits, call)}

    local, parts = agree(backend, group, logits, attempt)
    found, gradients = run(local, parts, group, call)
    if gradients is not None:
        return tape.record(found, logits, (local.prepared.restore(gradients[0]),))
    return found


def linear_cross_entropy(
    *, hidden: Array, weight: Array, bias: Array | None, targets: Array, group: Any, **call: Any
) -> Array:
    """``xentropy.linear_cross_entropy`` of a slice of the classes; ``call`` holds all other options."""
    backend = resolve(hidden, "hidden")

    def attempt() -> tuple[tuple[Local, Shared], int, dict[str, Any]]:
        check_choices(call["reduction"], call["precision"], call["validate"], call["normalizer"])
        chunk_rows = check_chunk_rows(call["chunk_rows"])
        shared = shared_arrays(backend, hidden, weight, bias, some=False)
        wide = wide_name(shared)
        labels = as_array(backend, targets, "targets")
        prepared = rows_without_logits(
            backend,
            hidden,
            labels,
            shared.layout,
            dtype=wide,
            **_of_rows(call),
            elsewhere=True,
        )
        divisor = finite_normalizer(backend, call["normalizer"], hidden, shared.layout, call["validate"], wide)
        options = checked_options("float64" if call["precision"] == "float64" else wide, call)
        rule = LinearRule(part_rule(options, labelled=prepared.constants[0] is not None), bias is not None, chunk_rows)
        local = Local(rule, prepared, (*shared.arrays, *prepared.arrays), labels, divisor, wide)
        said = {
            "function": "linear_cross_entropy",
            **intentions(local, hidden, call),
            "bias": bias is not None,
            "shape of hidden": show(hidden.shape),
            "gradient of hidden": backend.differentiates(hidden),
        }
        return (local, shared), shared.layout.classes, said

    (local, shared), parts = agree(backend, group, hidden, attempt)
    found, gradients = run(local, parts, group, call)
    if gradients is not None:
        return tape.record(found, hidden, as_given(backend, gradients, shared))
    return found


def _of_rows(call: Mapping[str, Any]) -> dict[str, Any]:
    """The options that belong to rows and classes."""
    given = {name: call[name] for name in ("class_weight", "class_mask", "sample_weight", "validate")}
    return {**given, "ignore_index": check_ignore_index(call["ignore_index"])}


def checked_options(compute: str, call: Mapping[str, Any]) -> SoftmaxOptions:
    """The options of a row.

    Raises:
        TypeError, ValueError: see ``xentropy.cross_entropy``.
    """
    names = ("label_smoothing", "z_loss", "softcap", "temperature", "focal_gamma")
    return softmax_options(compute, **{name: call[name] for name in names})


def intentions(local: Local, like: Array, call: Mapping[str, Any]) -> dict[str, Any]:
    """All that must be the same in every part, by the names that an error gives it."""
    layout = local.prepared.layout
    given = [name for name in ("class_weight", "class_mask", "sample_weight") if call[name] is not None]
    normalizer = call["normalizer"]
    options = local.rule.options
    return {
        "rows": show(layout.row_shape),
        "dtype": name_of(like.dtype),
        "targets": target_kind(local.targets),
        **{name: repr(value) for name, value in asdict(options).items()},
        "reduction": call["reduction"],
        "ignore_index": check_ignore_index(call["ignore_index"]),
        "normalizer": repr(float(normalizer)) if isinstance(normalizer, numbers.Real) else normalizer is not None,
        "other arguments": ", ".join(given),
    }


def run(local: Local, parts: Parts, group: Any, call: Mapping[str, Any]) -> tuple[Array, Arrays | None]:
    """The loss in the user's shape, and its gradients where the backend ``records``.

    Raises:
        IndexError, ValueError: a label that no part has, in every part.
    """
    prepared, backend = local.prepared, local.prepared.backend
    rule: Any = ShardedRule(local.rule, group)
    program = ShardedProgram(rule, call["reduction"], local.result)
    constants = (placed(prepared, parts), *prepared.constants[1:])
    weights = (prepared.sample_weight, local.normalizer)
    gradients = None
    if backend.records():
        found, gradients = backend.run(program.value_and_gradient, local.arrays, constants, weights)
    else:
        found = backend.run(program, local.arrays, constants, weights)
    _check_labels(local, found.found, parts, call["validate"])
    value = found.value
    return value if call["reduction"] != "none" else prepared.layout.restore(backend, value), gradients


def placed(prepared: Prepared, parts: Parts) -> Array | None:
    """The labels as this part counts its classes, -1 where they are elsewhere, or nowhere."""
    label, mask = prepared.constants[0], prepared.constants[2]
    if label is None:
        return None
    backend, classes = prepared.backend, prepared.layout.classes
    xp = backend.namespace(label)
    own = shards.own_label(backend, label, parts.start, classes)
    if mask is None or not classes:
        return own
    safe = xp.where(own < 0, 0, own)
    ones = xp.astype(mask, xp.float32)
    allowed = xp.take(ones[0, :], safe, axis=0) if mask.shape[0] == 1 else backend.pick(ones, safe)
    return xp.where(allowed > 0.5, own, -1)


def _check_labels(local: Local, found: Array, parts: Parts, validate: Validate) -> None:
    prepared, backend = local.prepared, local.prepared.backend
    label, _, mask, keep = prepared.constants
    if label is None:
        return
    xp = backend.namespace(found)
    wrong = found != 1.0
    if keep is not None:
        wrong = xp.logical_and(wrong, keep)
    first = first_true(backend, wrong, validate)
    if first is None:
        return
    element = name_element("targets", local.targets, first, prepared.layout.row_shape)
    value = int(label[first])
    if not 0 <= value < parts.total:
        raise IndexError(f"{element}, but class indices must be in [0, {parts.total}), which are all parts' classes")
    if mask is not None and int(found[first]) == 0:
        raise ValueError(f"{element}, a class that class_mask excludes in the part that has it")
    raise ValueError(f"{element}, but other parts have other targets there; all parts must be given the same")
