"""The losses whose classes are in several parts: arguments, agreement, labels. No arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from xentropy import shards, tape
from xentropy.agreement import Parts, agree
from xentropy.dtypes import name_of, require_floating, result_name
from xentropy.inputs import as_array
from xentropy.labels import target_kind
from xentropy.layout import class_layout, show
from xentropy.options import Validate, check_choices, check_ignore_index, softmax_options
from xentropy.prepare import Prepared, finite_normalizer, rows
from xentropy.registry import resolve
from xentropy.rule import Rule
from xentropy.sharded import Found, ShardedProgram, ShardedRule
from xentropy.validation import first_true, name_element

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.linear import LinearRule
    from xentropy.options import SoftmaxOptions
    from xentropy.rule import Arrays

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


def cross_entropy(logits: Array, targets: Array, group: Any, *, axis: int, call: Mapping[str, Any]) -> Array:
    """``xentropy.cross_entropy`` of a slice of the classes; ``call`` holds all of its options."""
    backend = resolve(logits)

    def attempt() -> tuple[Local, int, dict[str, Any]]:
        check_choices(call["reduction"], call["precision"], call["validate"], call["normalizer"])
        require_floating(logits, "logits")
        if call["from_logits"] is False:
            raise ValueError("from_logits=False cannot take a group: probabilities have no normalizer to share")
        result = result_name(logits)
        options = checked_options("float64" if call["precision"] == "float64" else result, targets, call)
        labels = as_array(backend, targets, "targets")
        layout = class_layout(backend, logits, axis, some=False)
        prepared = rows(
            backend,
            logits,
            labels,
            layout,
            class_weight=call["class_weight"],
            class_mask=call["class_mask"],
            sample_weight=call["sample_weight"],
            ignore_index=check_ignore_index(call["ignore_index"]),
            validate=call["validate"],
            elsewhere=True,
        )
        divisor = finite_normalizer(backend, call["normalizer"], logits, layout, call["validate"], result)
        rule = Rule(shards.forward, shards.gradient, options)
        local = Local(rule, prepared, prepared.arrays, labels, divisor, result)
        return local, layout.classes, intentions(backend, local, logits, call)

    local, parts = agree(backend, group, logits, attempt)
    found, gradients = run(local, parts, group, call, records=backend.records())
    if gradients is None:
        return restored(local, found, call)
    return tape.record(found.value, logits, (local.prepared.restore(gradients[0]),))


def checked_options(compute: str, targets: Array, call: Mapping[str, Any]) -> SoftmaxOptions:
    """The options of a row.

    Raises:
        TypeError, ValueError: see ``xentropy.cross_entropy``.
    """
    names = ("label_smoothing", "z_loss", "softcap", "temperature", "focal_gamma")
    return softmax_options(compute, **{name: call[name] for name in names})


def intentions(backend: Backend, local: Local, like: Array, call: Mapping[str, Any]) -> dict[str, Any]:
    """All that must be the same in every part, by the names that an error gives it."""
    layout = local.prepared.layout
    given = [name for name in ("class_weight", "class_mask", "sample_weight", "normalizer") if call[name] is not None]
    options = local.rule.options
    return {
        "rows": show(layout.row_shape),
        "dtype": name_of(like.dtype),
        "targets": target_kind(local.targets),
        "options": repr(options).partition("(")[2][:-1],
        "reduction": call["reduction"],
        "ignore_index": repr(call["ignore_index"]),
        "other arguments": ", ".join(given),
    }


def run(
    local: Local, parts: Parts, group: Any, call: Mapping[str, Any], *, records: bool
) -> tuple[Found, Arrays | None]:
    """The loss, and its gradients where somebody ``records``; labels are looked at, where that is allowed.

    Raises:
        IndexError, ValueError: a label that no part has, in every part.
    """
    prepared, backend = local.prepared, local.prepared.backend
    rule: Any = ShardedRule(local.rule, group)
    program = ShardedProgram(rule, call["reduction"], local.result)
    constants = (placed(prepared, parts), *prepared.constants[1:])
    weights = (prepared.sample_weight, local.normalizer)
    gradients = None
    if records:
        found, gradients = backend.run(program.value_and_gradient, local.arrays, constants, weights)
    else:
        found = backend.run(program, local.arrays, constants, weights)
    _check_labels(local, found.found, parts, call["validate"])
    return found, gradients


def placed(prepared: Prepared, parts: Parts) -> Array | None:
    """The labels as this part counts its classes, -1 where they are elsewhere, or nowhere."""
    label, mask = prepared.constants[0], prepared.constants[2]
    if label is None:
        return None
    backend, classes = prepared.backend, prepared.layout.classes
    xp = backend.namespace(label)
    here = label - parts.start
    inside = xp.logical_and(xp.logical_and(here >= 0, here < classes), label >= 0)
    if mask is not None and classes:
        safe = xp.where(inside, here, 0)
        ones = xp.astype(mask, xp.float32)
        allowed = xp.take(ones[0, :], safe, axis=0) if mask.shape[0] == 1 else backend.pick(ones, safe)
        inside = xp.logical_and(inside, allowed > 0.5)
    return xp.where(inside, here, -1)


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


def restored(local: Local, found: Found, call: Mapping[str, Any]) -> Array:
    """The loss in the rows' shape, or without axes."""
    prepared = local.prepared
    if call["reduction"] != "none":
        return found.value
    return prepared.layout.restore(prepared.backend, found.value)
