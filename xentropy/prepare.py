"""From the arguments of a public function to the arrays of a program: checked, converted, two-dimensional."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xentropy.dtypes import name_of, result_name
from xentropy.inputs import adopt, bool_array, real_array
from xentropy.labels import finish_labels, read_indices, target_kind
from xentropy.layout import Layout, require_broadcastable, require_shape
from xentropy.options import Validate, check_number
from xentropy.registry import resolve
from xentropy.rule import Arrays
from xentropy.validation import first_true, name_element

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any

# Where nobody knows yet how many classes there are.
MOST_CLASSES = 2**31 - 1


@dataclass(frozen=True)
class Prepared:
    """What a program takes, the way back to the user's shape, and whether no label can be out of range."""

    backend: Backend
    layout: Layout
    arrays: Arrays
    constants: Arrays
    sample_weight: Array | None = None
    checked_labels: bool = False

    @property
    def labelled(self) -> bool:
        """Whether the targets are class indices."""
        return len(self.arrays) == 1

    def restore(self, x: Array) -> Array:
        """An array of shape (rows, classes) in the logits' shape."""
        return self.layout.from_rows(self.backend, x)


def rows(
    backend: Backend,
    logits: Array,
    targets: Array,
    layout: Layout,
    *,
    class_weight: Any = None,
    class_mask: Any = None,
    sample_weight: Any = None,
    ignore_index: int | None = None,
    from_logits: bool = True,
    validate: Validate = "auto",
    indices_only: bool = False,
    elsewhere: bool = False,
) -> Prepared:
    """The arrays of a loss of rows; constants are (label, class_weight, class_mask, keep).

    Raises:
        TypeError, ValueError, IndexError: see ``xentropy.cross_entropy``.
    """
    if target_kind(targets) == "probabilities" and indices_only:
        raise TypeError(f"targets have dtype {name_of(targets.dtype)}; class indices are needed here")
    if class_mask is not None and not from_logits:
        raise ValueError("class_mask acts on logits, so from_logits=False cannot take it")
    found = rows_without_logits(
        backend,
        logits,
        targets,
        layout,
        dtype=result_name(logits),
        class_weight=class_weight,
        class_mask=class_mask,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        validate=validate,
        elsewhere=elsewhere,
    )
    x = layout.to_rows(backend, logits)
    if not from_logits:
        _check_unit(backend, x, found.constants[-1], layout, validate)
    return replace(found, arrays=(x, *found.arrays))


def rows_without_logits(
    backend: Backend,
    like: Array,
    targets: Array,
    layout: Layout,
    *,
    dtype: str,
    class_weight: Any,
    class_mask: Any,
    sample_weight: Any,
    ignore_index: int | None,
    validate: Validate,
    elsewhere: bool = False,
) -> Prepared:
    """What belongs to the rows beside their logits, whose layout is given; ``arrays`` are probabilities, or nothing.

    ``like`` is an array of the library, ``dtype`` that of weights and probabilities. Where classes may be
    ``elsewhere``, labels are those of all of them, and nobody has looked whether they are in range.

    Raises:
        TypeError, ValueError, IndexError: see ``xentropy.cross_entropy``.
    """
    weight = _class_weight(backend, class_weight, like, layout, dtype)
    mask = _class_mask(backend, class_mask, like, layout)
    sample = _sample_weight(backend, sample_weight, like, layout, dtype)
    keep = None if sample is None else sample != 0.0
    if target_kind(targets) == "indices":
        every = replace(layout, shape=(*layout.row_shape, MOST_CLASSES), axis=len(layout.row_shape))
        indices = read_indices(
            backend,
            targets,
            like,
            every if elsewhere else layout,
            ignore_index,
            False if elsewhere else validate,
        )
        if indices.counted is not None:
            keep = indices.counted if keep is None else backend.namespace(keep).logical_and(keep, indices.counted)
        if elsewhere:
            return Prepared(backend, layout, (), (indices.label, weight, mask, keep), sample)
        label, checked = finish_labels(backend, indices, mask, keep, layout, validate)
        return Prepared(backend, layout, (), (label, weight, mask, keep), sample, checked)
    if ignore_index is not None:
        raise ValueError(f"ignore_index={ignore_index} needs class indices; targets are probabilities")
    probabilities = _probabilities(backend, targets, like, layout, dtype)
    _check_strays(backend, probabilities, mask, keep, layout, validate)
    return Prepared(backend, layout, (probabilities,), (None, weight, mask, keep), sample, False)


def elements(
    backend: Backend,
    logits: Array,
    targets: Array,
    layout: Layout,
    *,
    pos_weight: Any,
    sample_weight: Any,
    from_logits: bool,
    validate: Validate,
) -> Prepared:
    """The arrays of a loss of elements; constants are (pos_weight, sample_weight, counted, None): all rows are kept.

    Raises:
        TypeError, ValueError, IndexError: see ``xentropy.binary_cross_entropy``.
    """
    kind = target_kind(targets)
    dtype = result_name(logits)
    require_shape("targets", _shape(targets), layout.shape, "binary targets must have shape", layout)
    x = layout.to_rows(backend, logits)
    positive = _onto_elements(backend, pos_weight, "pos_weight", logits, layout, dtype)
    sample = _onto_elements(backend, sample_weight, "sample_weight", logits, layout, dtype)
    keep = None if sample is None else sample != 0.0
    if kind == "indices":
        y = _binary_labels(backend, targets, logits, keep, layout, dtype, validate)
    else:
        y = layout.to_rows(backend, real_array(backend, targets, logits, "targets", dtype))
    if not from_logits:
        _check_unit(backend, x, keep, layout, validate)
    return Prepared(backend, layout, (x, y), (positive, sample, keep, None))


def _shape(array: Array) -> tuple[Any, ...]:
    """The shape of an array of any library."""
    return resolve(array, "targets").shape(array)


def finite_normalizer(
    backend: Backend, normalizer: Any, logits: Array, layout: Layout, validate: Validate, dtype: str
) -> Array | None:
    """The normalizer as an array without axes, of this dtype.

    Raises:
        TypeError: it is neither a real number nor an array of them.
        ValueError: it has axes, or is negative, NaN or infinite where its value is known.
    """
    if normalizer is None:
        return None
    if isinstance(normalizer, numbers.Number):
        number = backend.asarray(check_number("normalizer", normalizer, low=0.0), logits)
        return _constant(backend, number, logits, "normalizer", dtype)
    value = _constant(backend, normalizer, logits, "normalizer", dtype)
    require_shape("normalizer", backend.shape(value), (), "it must be one number, of shape", layout)
    xp = backend.namespace(value)
    fits = xp.logical_and(value >= 0.0, value < math.inf)
    if first_true(backend, xp.logical_not(fits), validate) is not None:
        raise ValueError(f"{name_element('normalizer', value, 0, ())}, but it must be finite and >= 0")
    return value


def _constant(backend: Backend, value: Any, logits: Array, argument: str, dtype: str) -> Array:
    """Weights are constants of every derivative."""
    return backend.detach(real_array(backend, value, logits, argument, dtype))


def _class_weight(backend: Backend, value: Any, logits: Array, layout: Layout, dtype: str) -> Array | None:
    if value is None:
        return None
    weight = _constant(backend, value, logits, "class_weight", dtype)
    require_shape("class_weight", backend.shape(weight), (layout.classes,), "it must have shape", layout)
    return weight[None, :]


def _class_mask(backend: Backend, value: Any, logits: Array, layout: Layout) -> Array | None:
    if value is None:
        return None
    mask = bool_array(backend, value, logits, "class_mask")
    shape = backend.shape(mask)
    if len(shape) == 1 and len(layout.shape) != 1:
        require_shape("class_mask", shape, (layout.classes,), "it must have the logits' shape or shape", layout)
        return mask[None, :]
    require_shape("class_mask", shape, layout.shape, "it must have shape (classes,) or shape", layout)
    return layout.to_rows(backend, mask)


def _sample_weight(backend: Backend, value: Any, logits: Array, layout: Layout, dtype: str) -> Array | None:
    if value is None:
        return None
    weight = _constant(backend, value, logits, "sample_weight", dtype)
    require_broadcastable("sample_weight", backend.shape(weight), layout.row_shape, "the rows' shape")
    xp = backend.namespace(weight)
    return layout.flatten(backend, xp.broadcast_to(weight, layout.row_shape))


def _onto_elements(
    backend: Backend, value: Any, argument: str, logits: Array, layout: Layout, dtype: str
) -> Array | None:
    if value is None:
        return None
    weight = _constant(backend, value, logits, argument, dtype)
    require_broadcastable(argument, backend.shape(weight), layout.shape, "the logits' shape")
    xp = backend.namespace(weight)
    return layout.to_rows(backend, xp.broadcast_to(weight, layout.shape))


def _probabilities(backend: Backend, targets: Array, logits: Array, layout: Layout, dtype: str) -> Array:
    require_shape("targets", _shape(targets), layout.shape, "probabilities as targets must have shape", layout)
    return layout.to_rows(backend, real_array(backend, targets, logits, "targets", dtype))


def _binary_labels(
    backend: Backend,
    raw: Array,
    logits: Array,
    keep: Array | None,
    layout: Layout,
    dtype: str,
    validate: Validate,
) -> Array:
    """Labels 0 and 1 as numbers; NaN for any other where values are unknown, an IndexError where they are known."""
    own = resolve(raw, "targets")
    index = own.as_index(raw)
    xp = own.namespace(index)
    fits = xp.logical_or(index == 0, index == 1)
    index = adopt(backend, xp.where(fits, index, -1), logits, "targets")
    y = layout.to_rows(backend, real_array(backend, index, logits, "targets", dtype))
    xp = backend.namespace(y)
    outside = y < 0.0
    if keep is not None:
        outside = xp.logical_and(outside, keep)
    found = first_true(backend, outside, validate)
    if found is not None:
        raise IndexError(f"{name_element('targets', raw, found, layout.shape)}, but binary labels must be 0 or 1")
    return xp.where(outside, math.nan, y)


def _check_strays(
    backend: Backend, t: Array, mask: Array | None, keep: Array | None, layout: Layout, validate: Validate
) -> None:
    if mask is None:
        return
    xp = backend.namespace(t)
    stray = xp.logical_and(t != 0.0, xp.logical_not(mask))
    _raise_for(backend, stray, keep, t, "targets", "at a class that class_mask excludes", layout, validate)


def _check_unit(backend: Backend, p: Array, keep: Array | None, layout: Layout, validate: Validate) -> None:
    xp = backend.namespace(p)
    outside = xp.logical_or(p < 0.0, p > 1.0)
    _raise_for(backend, outside, keep, p, "logits", "but probabilities must be in [0, 1]", layout, validate)


def _raise_for(
    backend: Backend,
    wrong: Array,
    keep: Array | None,
    values: Array,
    argument: str,
    rule: str,
    layout: Layout,
    validate: Validate,
) -> None:
    """ValueError for the first element (of rows that are kept) that is wrong, where values are known."""
    if keep is not None:
        xp = backend.namespace(wrong)
        wrong = xp.logical_and(wrong, keep if len(keep.shape) == 2 else keep[:, None])
    wrong = layout.from_rows(backend, wrong)
    found = first_true(backend, wrong, validate)
    if found is not None:
        element = name_element(argument, layout.from_rows(backend, values), found, layout.shape)
        raise ValueError(f"{element}, {rule}")
