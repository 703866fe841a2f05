"""What a framework must give, and the default that serves any Array API array."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import array_api_compat
import numpy as np

from xentropy import groups, tape
from xentropy.blocks import BLOCK_BYTES, rows_per_block
from xentropy.dtypes import name_of
from xentropy.sums import Others, blocked_sum, masked_put, others, set_aside

if TYPE_CHECKING:
    from xentropy.rule import Arrays, Rule

Array = Any


class OwnPart(Protocol):
    """Of an array that is in parts along its classes: this part's slice, and what belongs to it."""

    @property
    def local(self) -> Array:
        """The slice."""

    @property
    def group(self) -> Any:
        """All parts."""

    def cut(self, x: Any, axis: int) -> Any:
        """The slice of another argument along an axis; None of None."""

    def alike(self, x: Any) -> Any:
        """An argument that all parts have alike, as one that belongs to the slice."""

    def whole(self, x: Array) -> Array:
        """A result that all parts have alike, as one that belongs to the array in parts."""


class Backend(Protocol):
    """The members that the core calls. Subclass ``ArrayAPIBackend`` and override what your library does otherwise."""

    name: str
    # Of the memory of a linear loss's gradient of the weights, what a block of logits may take.
    logits_share: float

    def namespace(self, *arrays: Array) -> Any:
        """The Array API namespace of the arrays."""

    def shape(self, x: Array) -> tuple[Any, ...]:
        """The shape: an int where a size is known, a scalar of the library's own where it is not."""

    def reshape(self, x: Array, shape: tuple[Any, ...]) -> Array:
        """x in another shape; a size may be a scalar of the library's own, and one may be -1."""

    def ensure_shape(self, x: Array, shape: tuple[Any, ...]) -> Array:
        """x, which must have this shape: what sizes are known has been compared; an error later for the others."""

    def asarray(self, values: np.ndarray[Any, Any] | float, like: Array) -> Array:
        """A NumPy array, or a number, as an array of this library, on the device of ``like``."""

    def literal(self, values: Any) -> Array:
        """A number, (nested) lists of numbers or a NumPy array as a NumPy array, or as one of this library."""

    def concrete(self, x: Array, *, sync: bool) -> Array | None:
        """x as something whose elements can be read, or None.

        None where values are unknown (inside jit, a graph, compile, vmap), and where reading them would make an
        accelerator or a lazy graph wait, unless ``sync``.
        """

    def all_below(self, index: Array, size: int) -> bool:
        """Whether all of what ``concrete`` returned are in [0, size)."""

    def sees_python(self) -> bool:
        """Whether a compiler is reading the Python that runs here, so that nothing may come out of a cache."""

    def as_index(self, x: Array) -> Array:
        """Integers in the signed dtype that indexes here; a value that doesn't fit becomes negative, never valid."""

    def run(self, program: Any, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
        """``program(self, arrays, constants, weights)``, compiled or under another precision where that is the way.

        Where ``records``, it may be a program's ``value_and_gradient`` just as well.
        """

    def mean_of_few(self, logits: Array, targets: Any) -> Array | None:
        """The mean loss without any option, with its derivative; None where ``run`` is the way, or to find the error.

        The arguments are the user's own: the logits of a supported dtype, the targets anything.
        """

    def attach(self, rule: Rule, arrays: Arrays, constants: Arrays) -> Arrays:
        """``rule.run`` with its derivative with respect to ``arrays`` registered with the framework's autodiff."""

    def map_rows(self, fn: Callable[..., Arrays], arrays: Sequence[Array | None]) -> Arrays:
        """Run a function of row blocks over all rows.

        The first array has shape (rows, ...). Every other is None, or has as many rows and is cut alike, or has
        one row and goes to each block whole.
        """

    def scan_rows(
        self,
        fn: Callable[..., tuple[Arrays, Arrays]],
        carry: Arrays,
        rows: Sequence[Array | None],
        step: int,
        keep: Array | None,
    ) -> tuple[Arrays, Arrays]:
        """``fn(carry, *block) -> (carry, outputs)`` for one block of ``step`` rows after the other.

        Returns the last carry, and the outputs of all rows in their order. Arrays are cut as in ``map_rows``. Where
        ``keep`` (rows,) is False, outputs are 0, and a block may be left out. One block is not begun before the one
        before it is done.
        """

    def product(self, a: Array, b: Array, memory: Array | None = None) -> Array:
        """The matrix product of a and the transpose of b; in ``memory`` if there is any, where ``writes``."""

    def times(self, a: Array, b: Array) -> Array:
        """The matrix product of a and b."""

    def add_product(self, total: Array, a: Array, b: Array) -> Array:
        """``total`` plus the matrix product of the transpose of a and b; total may be overwritten."""

    def writes(self, x: Array) -> bool:
        """Whether arrays like x can be written over here: nothing records, maps or compiles."""

    def empty_like(self, x: Array) -> Array:
        """An array to be filled, where ``writes``."""

    def zeros_like(self, x: Array) -> Array:
        """Zeros to which products are added, in the shape and dtype of x."""

    def own_part(self, x: Any, axis: int) -> OwnPart | None:
        """This part's slice, where x is an array that is itself in parts along the axis."""

    def uncompiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as a compiler that reads Python leaves it alone; there may be none."""

    def devices(self) -> int:
        """Over how many devices a compiler may spread the classes of an array by itself."""

    def differentiates(self, x: Array) -> bool:
        """Whether a gradient of x will be asked for, as far as that can be told from outside of any transform."""

    def part(self, group: Any) -> Any:
        """Which part of the classes is this one's: its number in the group, as an int or as an array without axes."""

    def tell(self, message: bytes, group: Any, like: Array) -> list[bytes]:
        """The messages of all parts, in their order; all of the same length. ``like`` is an array of the library."""

    def all_gather(self, x: Array, group: Any) -> Array:
        """x of all parts, of shape (parts, ...), which all of them hold alike."""

    def spread(self, x: Array, group: Any) -> Array:
        """x, which all parts hold alike, read by each for its own classes: its derivative is the sum of theirs."""

    def all_sum(self, x: Array, group: Any) -> Array:
        """The sum of x over all parts, which all of them hold alike."""

    def records(self) -> bool:
        """Whether a loss has to be noted with its gradient, for a ``value_and_grad`` that has no autodiff."""

    def value_and_grad(self, loss: Callable[..., Array], arrays: Arrays) -> tuple[Array, Arrays]:
        """The value of a scalar loss of these arrays and its gradients, one an array."""

    def detach(self, x: Array) -> Array:
        """x as a constant of the derivative."""

    def widen(self, x: Array) -> Array:
        """x in the dtype for one number per row: float64 where that is at hand, else unchanged."""

    def log(self, x: Array) -> Array:
        """Natural logarithm, within 1 ulp of float32."""

    def log1p(self, x: Array) -> Array:
        """log(1 + x) for x >= 0 or slightly less, within 1 ulp of float32."""

    def total(self, x: Array) -> Array:
        """The sum over the last axis, widened."""

    def dot(self, a: Array, b: Array) -> Array:
        """The total of the products a * b."""

    def columns(self, x: Array) -> Array:
        """The numbers 0, 1, ... of the last axis, in the dtype of ``as_index`` and on the device of x."""

    def quotient(self, x: Array, origin: Array | float, number: float) -> Array:
        """(x - origin) / number, rounded once; x is widened."""

    def argmax(self, x: Array) -> Array:
        """The index of the first of the largest along the last axis, in the dtype of ``as_index``."""

    def tanh(self, x: Array) -> Array:
        """Hyperbolic tangent, within 2 ulp of float32."""

    def pick(self, x: Array, index: Array) -> Array:
        """``x[row, index[row]]`` for every row."""

    def put(self, x: Array, index: Array, value: Array | float) -> Array:
        """x with ``value`` at ``[row, index[row]]``; x is the core's own scratch and may be overwritten."""

    def without(self, x: Array, index: Array) -> Array:
        """A new array: x with -inf at ``[row, index[row]]``."""

    def exp_below(self, x: Array, origin: Array) -> Array:
        """exp(x - origin) of rows; x is the core's own scratch and may be overwritten."""

    def into(self, memory: Array, function: str, *args: Array) -> Array:
        """What the function of the namespace returns for the arguments, written to ``memory`` where ``writes``."""

    def others(self, x: Array, excluded: Array, memory: Array | None) -> Others:
        """The exponentials of rows without one class each, in ``memory`` or not; only where ``writes``."""

    def scale_into(self, out: Array, x: Array, factor: Array) -> None:
        """Write rows x times ``factor``, (rows,) and widened, to ``out``; only where ``writes``."""

    def softplus(self, x: Array) -> Array:
        """log(1 + exp(x)); x is widened."""

    def set_aside(self, x: Array, excluded: Array) -> tuple[Array, Array]:
        """The largest of the classes but the excluded one, and the sum of exp(x - largest) over them, widened."""


class ArrayAPIBackend:
    """Serves every library that speaks the Array API and has no autodiff; the base class of the other backends."""

    name = "array-api"
    logits_share = 0.25

    def namespace(self, *arrays: Array) -> Any:
        return array_api_compat.array_namespace(*arrays)

    def shape(self, x: Array) -> tuple[Any, ...]:
        # Sizes that are not known yet are NaN.
        if any(size != size for size in x.shape):  # noqa: PLR0124
            raise ValueError(
                f"an array of shape {tuple(x.shape)} has sizes that are not computed yet; compute them first"
            )
        return tuple(x.shape)

    def reshape(self, x: Array, shape: tuple[Any, ...]) -> Array:
        return self.namespace(x).reshape(x, shape)

    def ensure_shape(self, x: Array, shape: tuple[Any, ...]) -> Array:
        return x

    def asarray(self, values: np.ndarray[Any, Any] | float, like: Array) -> Array:
        return self.namespace(like).asarray(values, device=array_api_compat.device(like))

    def literal(self, values: Any) -> Array:
        return np.asanyarray(values)

    def concrete(self, x: Array, *, sync: bool) -> Array | None:
        waits = array_api_compat.is_lazy_array(x) or "cpu" not in str(array_api_compat.device(x)).lower()
        return None if waits and not sync else x

    def all_below(self, index: Array, size: int) -> bool:
        xp = self.namespace(index)
        return bool(xp.all(xp.logical_and(index >= 0, index < size)))

    def sees_python(self) -> bool:
        return False

    def as_index(self, x: Array) -> Array:
        xp = self.namespace(x)
        return xp.astype(x, xp.int64, copy=False)

    def run(self, program: Any, arrays: Arrays, constants: Arrays, weights: Arrays) -> Array:
        with quiet():
            return program(self, arrays, constants, weights)

    def mean_of_few(self, logits: Array, targets: Any) -> Array | None:
        return None

    def attach(self, rule: Rule, arrays: Arrays, constants: Arrays) -> Arrays:
        return rule.run(self, arrays, constants)

    def map_rows(self, fn: Callable[..., Arrays], arrays: Sequence[Array | None]) -> Arrays:
        rows, step = block_step(arrays)
        if rows == 0:
            return self._map_no_rows(fn, arrays)
        with quiet():
            if rows <= step or array_api_compat.is_lazy_array(arrays[0]):
                return fn(*arrays)
            blocks = [fn(*cut_rows(arrays, rows, start, start + step)) for start in range(0, rows, step)]
        xp = self.namespace(arrays[0])
        return tuple(xp.concat(list(parts), axis=0) for parts in zip(*blocks, strict=True))

    def _map_no_rows(self, fn: Callable[..., Arrays], arrays: Sequence[Array | None]) -> Arrays:
        """One row of zeros, cut off again: not every library can take the maximum of no rows along their classes."""
        xp = self.namespace(arrays[0])
        one = [
            None if a is None else xp.zeros((1, *a.shape[1:]), dtype=a.dtype) if a.shape[0] == 0 else a for a in arrays
        ]
        return tuple(output[:0, ...] for output in fn(*one))

    def scan_rows(
        self,
        fn: Callable[..., tuple[Arrays, Arrays]],
        carry: Arrays,
        rows: Sequence[Array | None],
        step: int,
        keep: Array | None,
    ) -> tuple[Arrays, Arrays]:
        with quiet():
            first = rows[0]
            assert first is not None
            if first.shape[0] == 0:
                return carry, self._map_no_rows(lambda *block: fn(carry, *block)[1], rows)
            if array_api_compat.is_lazy_array(first):
                return fn(carry, *rows)
            return scan_blocks(self.namespace(first).concat, fn, carry, rows, step)

    def product(self, a: Array, b: Array, memory: Array | None = None) -> Array:
        xp = self.namespace(a)
        b = xp.permute_dims(b, (1, 0))
        return xp.matmul(a, b) if memory is None else self.into(memory, "matmul", a, b)

    def times(self, a: Array, b: Array) -> Array:
        return self.namespace(a).matmul(a, b)

    def add_product(self, total: Array, a: Array, b: Array) -> Array:
        xp = self.namespace(a)
        return total + xp.matmul(xp.permute_dims(a, (1, 0)), b)

    def writes(self, x: Array) -> bool:
        return False

    def empty_like(self, x: Array) -> Array:
        return self.namespace(x).empty_like(x)

    def zeros_like(self, x: Array) -> Array:
        return self.namespace(x).zeros_like(x)

    def own_part(self, x: Any, axis: int) -> OwnPart | None:
        return None

    def uncompiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def devices(self) -> int:
        return 1

    def differentiates(self, x: Array) -> bool:
        return self.records()

    def part(self, group: Any) -> Any:
        return groups.part(group)

    def tell(self, message: bytes, group: Any, like: Array) -> list[bytes]:
        return groups.tell(message, group)

    def all_gather(self, x: Array, group: Any) -> Array:
        return self.namespace(x).stack(groups.all_gather(x, group), axis=0)

    def spread(self, x: Array, group: Any) -> Array:
        return x

    def all_sum(self, x: Array, group: Any) -> Array:
        return self.namespace(x).sum(self.all_gather(x, group), axis=0)

    def records(self) -> bool:
        return tape.records()

    def value_and_grad(self, loss: Callable[..., Array], arrays: Arrays) -> tuple[Array, Arrays]:
        return tape.value_and_grad(loss, arrays)

    def detach(self, x: Array) -> Array:
        return x

    def widen(self, x: Array) -> Array:
        xp = self.namespace(x)
        return xp.astype(x, xp.float64, copy=False)

    def log(self, x: Array) -> Array:
        # Native float32 logarithms err by up to 3.3 ulp in some libraries; through float64 all agree.
        return self._through_wide("log", x)

    def log1p(self, x: Array) -> Array:
        return self._through_wide("log1p", x)

    def quotient(self, x: Array, origin: Array | float, number: float) -> Array:
        return (x - origin) / number

    def argmax(self, x: Array) -> Array:
        return self.as_index(self.namespace(x).argmax(x, axis=-1))

    def tanh(self, x: Array) -> Array:
        return self._through_wide("tanh", x)

    def total(self, x: Array) -> Array:
        return blocked_sum(self, x)

    def dot(self, a: Array, b: Array) -> Array:
        return self.total(a * b)

    def columns(self, x: Array) -> Array:
        xp = self.namespace(x)
        return xp.arange(x.shape[-1], dtype=xp.int64, device=array_api_compat.device(x))

    def pick(self, x: Array, index: Array) -> Array:
        xp = self.namespace(x)
        here = self.columns(x)[None, :] == index[:, None]
        return xp.sum(xp.where(here, x, 0.0), axis=-1, dtype=x.dtype)

    def put(self, x: Array, index: Array, value: Array | float) -> Array:
        return masked_put(self, x, index, value if isinstance(value, float) else value[:, None])

    def without(self, x: Array, index: Array) -> Array:
        xp = self.namespace(x)
        return self.put(xp.astype(x, x.dtype, copy=True), index, -math.inf)

    def exp_below(self, x: Array, origin: Array) -> Array:
        return self.namespace(x).exp(x - origin[:, None])

    def into(self, memory: Array, function: str, *args: Array) -> Array:
        return getattr(self.namespace(memory), function)(*args)

    def others(self, x: Array, excluded: Array, memory: Array | None) -> Others:
        return others(self, x, excluded, memory)

    def scale_into(self, out: Array, x: Array, factor: Array) -> None:
        xp = self.namespace(out)
        out[...] = xp.astype(x * xp.astype(factor, x.dtype)[:, None], out.dtype, copy=False)

    def softplus(self, x: Array) -> Array:
        xp = self.namespace(x)
        return xp.where(x > 0.0, x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))

    def set_aside(self, x: Array, excluded: Array) -> tuple[Array, Array]:
        return set_aside(self, x, excluded)

    def _through_wide(self, function: str, x: Array) -> Array:
        xp = self.namespace(x)
        return xp.astype(getattr(xp, function)(self.widen(x)), x.dtype, copy=False)


def quiet() -> np.errstate:
    """Silences libraries that compute with NumPy: inf and NaN are answers here, as documented, not accidents."""
    return np.errstate(all="ignore")


def block_step(arrays: Sequence[Array | None], block_bytes: int = BLOCK_BYTES) -> tuple[int, int]:
    """How many rows there are, and how many of them make a block."""
    first = arrays[0]
    assert first is not None
    itemsize = 8 if name_of(first.dtype) == "float64" else 4
    return first.shape[0], rows_per_block(first.shape[-1], itemsize, block_bytes)


def cut_rows(arrays: Sequence[Array | None], rows: int, start: int, stop: int) -> list[Array | None]:
    """The rows from start to stop of every array that has them all."""
    if start == 0 and stop >= rows:
        # Not a view of all: not every transform has a rule for that.
        return list(arrays)
    return [a if a is None or a.shape[0] != rows else a[start : min(stop, rows), ...] for a in arrays]


def scan_blocks(
    concat: Callable[..., Array],
    fn: Callable[..., tuple[Arrays, Arrays]],
    carry: Arrays,
    rows: Sequence[Array | None],
    step: int,
) -> tuple[Arrays, Arrays]:
    """``scan_rows`` by a loop of Python, where arrays can't be written; ``concat`` puts rows one after the other."""
    first = rows[0]
    assert first is not None
    count, blocks = first.shape[0], []
    for start in range(0, count, step):
        carry, outputs = fn(carry, *cut_rows(rows, count, start, start + step))
        blocks.append(outputs)
    if len(blocks) == 1:
        return carry, blocks[0]
    return carry, tuple(concat(list(parts)) for parts in zip(*blocks, strict=True))


def fill_scan(
    fn: Callable[..., tuple[Arrays, Arrays]],
    carry: Arrays,
    rows: Sequence[Array | None],
    step: int,
    kept: Array | None,
    zeros: Callable[[Array, tuple[int, ...]], Array],
) -> tuple[Arrays, Arrays]:
    """``scan_rows`` where arrays can be written, over the ``kept`` rows alone (their numbers; None for all of them)."""
    first = rows[0]
    assert first is not None
    count = first.shape[0]
    if count == 1:
        # Arrays with one row for all could not be told from its own; it is masked as well.
        kept = None
    total = count if kept is None else len(kept)
    outputs: Arrays = ()
    # Once where there are no rows: somebody has to say what the outputs are.
    for start in range(0, max(total, 1), step):
        here = slice(start, min(start + step, total)) if kept is None else kept[start : start + step]
        carry, parts = fn(carry, *[a if a is None or a.shape[0] != count else a[here, ...] for a in rows])
        if total == count <= step:
            return carry, parts
        outputs = outputs or tuple(zeros(part, (count, *part.shape[1:])) for part in parts)
        for output, part in zip(outputs, parts, strict=True):
            output[here] = part
    return carry, outputs


def fill_blocks(
    fn: Callable[..., Arrays],
    arrays: Sequence[Array | None],
    empty: Callable[[Array, tuple[int, ...]], Array],
    block_bytes: int = BLOCK_BYTES,
) -> Arrays:
    """``map_rows`` where arrays can be written: blocks into outputs made by ``empty(like, shape)``."""
    rows, step = block_step(arrays, block_bytes)
    if rows <= step:
        return fn(*arrays)
    outputs: Arrays = ()
    for start in range(0, rows, step):
        parts = fn(*cut_rows(arrays, rows, start, start + step))
        if not outputs:
            outputs = tuple(empty(part, (rows, *part.shape[1:])) for part in parts)
        for output, part in zip(outputs, parts, strict=True):
            output[start : start + step] = part
    return outputs
