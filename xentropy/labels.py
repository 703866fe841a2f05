"""Class indices from the user's array to what the rules take: -1 for a label nobody may use, and the rows to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xentropy import registry
from xentropy.dtypes import is_floating, is_integer, name_of
from xentropy.inputs import adopt
from xentropy.layout import Layout, known, require_shape
from xentropy.validation import first_true, name_element, readable

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import Validate

Array = Any


class Indices(NamedTuple):
    """Labels as the user gave them and as the rules read them.

    Attributes:
        raw: the user's array.
        label: shape (rows,), in [0, classes), or -1 where out of range.
        counted: shape (rows,), False where the label is ``ignore_index``; None where none can be.
        sound: whether every label is known to be in range, of ignored rows too.
    """

    raw: Array
    label: Array
    counted: Array | None
    sound: bool


def target_kind(targets: Any) -> str:
    """``"indices"`` for integers, ``"probabilities"`` for floats.

    Raises:
        TypeError: bool or anything else.
    """
    if is_integer(targets):
        return "indices"
    if is_floating(targets):
        return "probabilities"
    raise TypeError(
        f"targets have dtype {name_of(targets.dtype)}; integers are class indices and floats are probabilities, "
        "nothing else is a target"
    )


def read_indices(
    backend: Backend, raw: Any, logits: Array, layout: Layout, ignore_index: int | None, validate: Validate
) -> Indices:
    """Check the shape, mark ignored and out-of-range labels, and bring the labels over to the logits' library.

    The range is looked at in the labels' own library and dtype: a conversion first could wrap a label into range.

    Raises:
        ValueError: the labels' shape is not the rows'.
        TypeError: the labels are of another library.
    """
    own, given = registry.resolve(raw, "targets"), raw
    if not known(layout.classes) and own is not backend:
        # A number of classes that only the graph knows can't be compared with outside of it.
        own, given = backend, adopt(backend, raw, logits, "targets")
    require_shape("targets", own.shape(given), layout.row_shape, "class indices must have shape", layout)
    index = own.as_index(given)
    sound = _all_inside(own, index, layout, validate)
    if sound and ignore_index is not None and not 0 <= ignore_index < layout.classes:
        ignore_index = None
    xp = own.namespace(index)
    counted = None
    if ignore_index is not None:
        counted = xp.logical_not(_equals(own, index, name_of(raw.dtype), ignore_index))
        counted = layout.flatten(backend, adopt(backend, counted, logits, "targets"))
    if not sound:
        inside = xp.logical_and(index >= 0, index < layout.classes)
        index = xp.where(inside, index, -1)
    label = adopt(backend, index, logits, "targets")
    label = label if label is index else backend.as_index(label)
    return Indices(raw, layout.flatten(backend, label), counted, sound)


def _all_inside(own: Backend, index: Array, layout: Layout, validate: Validate) -> bool:
    if not known(layout.classes):
        return False
    read = readable(own, index, validate)
    return read is not None and own.all_below(read, layout.classes)


def _equals(backend: Backend, index: Array, dtype: str, value: int) -> Array:
    """Where the label, given in ``dtype``, is the value; ``index`` has wrapped what doesn't fit it."""
    xp = backend.namespace(index)
    given, largest = np.iinfo(dtype), int(xp.iinfo(index.dtype).max)
    if not given.min <= value <= given.max:
        return xp.zeros_like(index, dtype=xp.bool)
    return index == (value if value <= largest else value - 2 * (largest + 1))


def finish_labels(
    backend: Backend,
    indices: Indices,
    class_mask: Array | None,
    keep: Array | None,
    layout: Layout,
    validate: Validate,
) -> tuple[Array, bool]:
    """The labels with unusable ones at -1, and whether there can be none of these.

    Removed rows have any class. Where values are known, an unusable label is an error.

    Raises:
        IndexError: a label of a kept row is out of range.
        ValueError: a label of a kept row is in a class that ``class_mask`` excludes.
    """
    xp = backend.namespace(indices.label)
    label = indices.label
    if indices.sound and class_mask is None:
        return label, True
    if keep is not None:
        label = xp.where(keep, label, xp.zeros_like(label))
    outside = label < 0
    found = first_true(backend, outside, validate)
    if found is not None:
        element = name_element("targets", indices.raw, found, layout.row_shape)
        raise IndexError(f"{element}, but class indices must be in [0, {layout.classes})")
    checked = readable(backend, label, validate) is not None
    if class_mask is None:
        return label, checked
    safe = xp.where(outside, xp.zeros_like(label), label)
    if class_mask.shape[0] == 1:
        allowed = xp.take(class_mask[0, :], safe, axis=0)
    else:
        allowed = backend.pick(xp.astype(class_mask, xp.float32), safe) > 0.5
    if keep is not None:
        allowed = xp.logical_or(allowed, xp.logical_not(keep))
    found = first_true(backend, xp.logical_not(allowed), validate)
    if found is not None:
        element = name_element("targets", indices.raw, found, layout.row_shape)
        raise ValueError(f"{element}, a class that class_mask excludes")
    return xp.where(allowed, label, -1), checked
