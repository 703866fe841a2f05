"""From the user's shape to (rows, classes) and back, and the shape rules that hold before any value is known."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any


@dataclass(frozen=True)
class Layout:
    """Where the classes are, and how many.

    Attributes:
        shape: the logits' shape; a size unknown in a graph is a scalar of the library.
        axis: the axis of the classes, counted from the front.
        factors: the shapes of hidden states and weights, for errors, if the logits are their product.
    """

    shape: tuple[Any, ...]
    axis: int
    factors: tuple[tuple[Any, ...], tuple[Any, ...]] | None = None

    @property
    def classes(self) -> Any:
        """The number of classes."""
        return self.shape[self.axis] if self.shape else 1

    @property
    def row_shape(self) -> tuple[Any, ...]:
        """The shape of one number per row: the logits' without the class axis."""
        return self.shape[: self.axis] + self.shape[self.axis + 1 :]

    def to_rows(self, backend: Backend, x: Array) -> Array:
        """An array of the logits' shape as (rows, classes)."""
        xp = backend.namespace(x)
        x = backend.ensure_shape(x, self.shape)
        if self.axis != len(self.shape) - 1:
            others = (i for i in range(len(self.shape)) if i != self.axis)
            # Not moveaxis, which not every way to batch gradients has a rule for.
            x = xp.permute_dims(x, (*others, self.axis))
        return x if len(self.shape) == 2 else backend.reshape(x, (element_count(self.row_shape), self.classes))

    def from_rows(self, backend: Backend, x: Array) -> Array:
        """The inverse of ``to_rows``."""
        xp = backend.namespace(x)
        last = len(self.shape) - 1
        if last != 1:
            x = backend.reshape(x, (*self.row_shape, self.classes) if self.shape else ())
        return x if self.axis == last else xp.permute_dims(x, (*range(self.axis), last, *range(self.axis, last)))

    def flatten(self, backend: Backend, x: Array) -> Array:
        """One number per row, in the rows' shape, as (rows,)."""
        x = backend.ensure_shape(x, self.row_shape)
        if len(self.shape) == 2:
            return x
        return backend.reshape(x, (element_count(self.row_shape),))

    def restore(self, backend: Backend, x: Array) -> Array:
        """The inverse of ``flatten``."""
        return x if len(self.shape) == 2 else backend.reshape(x, self.row_shape)


def class_layout(backend: Backend, logits: Array, axis: Any, *, some: bool = True) -> Layout:
    """The layout of logits with classes along ``axis``, of which there have to be ``some``.

    Raises:
        TypeError: axis is no integer.
        ValueError: there is no such axis, or it has no classes.
    """
    shape = backend.shape(logits)
    if isinstance(axis, bool) or not isinstance(axis, numbers.Integral):
        raise TypeError(f"axis must be an integer, got {axis!r}")
    index = int(axis)
    if not -len(shape) <= index < len(shape):
        raise ValueError(f"axis {index} is out of range for logits of shape {show(shape)}")
    layout = Layout(shape, index % len(shape))
    if some and known(layout.classes) and layout.classes == 0:
        raise ValueError(f"logits of shape {show(shape)} have no classes along axis {index}; at least one is needed")
    return layout


def element_layout(backend: Backend, x: Array) -> Layout:
    """The layout of elements, whose last axis stands for the classes; an array without axes is one row of one."""
    shape = backend.shape(x)
    return Layout(shape, len(shape) - 1)


def require_shape(argument: str, given: tuple[Any, ...], expected: tuple[Any, ...], rule: str, layout: Layout) -> None:
    """Raise ValueError unless two shapes agree wherever both are known."""
    fits = len(given) == len(expected) and all(
        a == b for a, b in zip(given, expected, strict=True) if known(a) and known(b)
    )
    if not fits:
        raise ValueError(f"{argument} has shape {show(given)}, but for {_described(layout)} {rule} {show(expected)}")


def _described(layout: Layout) -> str:
    if layout.factors is None:
        return f"logits of shape {show(layout.shape)} with axis {layout.axis}"
    hidden, weight = layout.factors
    return f"hidden of shape {show(hidden)} and weight of shape {show(weight)}"


def require_broadcastable(argument: str, given: tuple[Any, ...], onto: tuple[Any, ...], what: str) -> None:
    """Raise ValueError unless ``given`` broadcasts to ``onto``."""
    aligned = onto[max(0, len(onto) - len(given)) :]
    fits = len(given) == len(aligned) and all(
        a in (1, b) for a, b in zip(given, aligned, strict=True) if known(a) and known(b)
    )
    if not fits:
        raise ValueError(f"{argument} has shape {show(given)}, which does not broadcast to {what} {show(onto)}")


def known(size: Any) -> bool:
    """Whether a size is a number already."""
    return isinstance(size, int)


def show(shape: tuple[Any, ...]) -> str:
    """A shape for an error message, with ? for a size that is not known yet."""
    inside = ", ".join(str(size) if known(size) else "?" for size in shape)
    return f"({inside},)" if len(shape) == 1 else f"({inside})"


def element_count(sizes: tuple[Any, ...]) -> Any:
    """The product of the sizes: exact where all are known, so that an array without rows reshapes too; else -1."""
    product = 1
    for size in sizes:
        if not known(size):
            return -1
        product *= size
    return product
