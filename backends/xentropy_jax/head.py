"""``linear_cross_entropy`` of a kernel as Flax's layers keep it: (features, classes)."""

from __future__ import annotations

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

import xentropy
from xentropy.linear_arguments import check_chunk_rows
from xentropy.options import Reduction, check_choices, check_ignore_index, check_number, softmax_options
from xentropy_jax.arguments import require
from xentropy_jax.backend import backend

Options = tuple[tuple[str, Any], ...]


def linear_cross_entropy(
    hidden: ArrayLike,
    kernel: ArrayLike,
    labels: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    chunk_rows: int | None = None,
    class_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "none",
    normalizer: ArrayLike | None = None,
    z_loss: float = 0.0,
    softcap: float | None = None,
    temperature: float = 1.0,
    focal_gamma: float = 0.0,
    class_mask: ArrayLike | None = None,
) -> jax.Array:
    """Cross-entropy under the softmax of ``hidden @ kernel + bias``, in nats, without the logits.

    That is ``xentropy.linear_cross_entropy`` for the parameters of a dense layer, as Flax and others keep them, and
    with optax's reduction: none. Losses of optax come by row, and are weighed and summed by who calls them; there, a
    mean that nobody asked for would go unnoticed. But ask for "mean" or "sum" where that is what you want: the
    gradient is then computed along with the value, in three products of matrices instead of four.

    Compiled as one program outside of ``jax.jit`` too. Options that are numbers are constants of the program.

    Args:
        hidden: floats of shape (..., features).
        kernel: floats of shape (features, classes).
        labels: integers are class indices, of shape hidden.shape[:-1]; floats are probabilities, of shape
            (..., classes).
        bias: floats of shape (classes,).
        chunk_rows: how many rows make a block, at least 1; None chooses by classes and features.
        class_weight: as in ``xentropy.linear_cross_entropy``, like all that follow.
        sample_weight: broadcastable to hidden.shape[:-1]. A row of weight 0 is removed.
        ignore_index: rows with this class index are removed.
        label_smoothing: epsilon in [0, 1].
        reduction: "none", "sum" or "mean".
        normalizer: replaces the denominator of the mean.
        z_loss: coefficient of the squared log-sum-exp.
        softcap: logits become softcap * tanh(logits / softcap).
        temperature: logits are divided by it.
        focal_gamma: exponent of the focal factor.
        class_mask: bool, True for an allowed class, of shape (classes,) or (..., classes).

    Returns:
        float64 if hidden, kernel or bias is, float32 otherwise; of the shape hidden.shape[:-1], or without axes.

    Raises:
        TypeError: hidden, kernel or bias of another dtype than floats, labels that are neither integers nor floats, an
            option of the wrong type.
        ValueError: shapes that do not fit, no classes, an option outside its domain.
        IndexError: a class index out of range, where values are known. In jit and vmap its row's loss and gradient are
            NaN, and so are those of a label that ``class_mask`` excludes, everywhere.

    XLA's while loops take a matrix in one layout only: on CPUs, jit makes one copy of the kernel, transposed, for all
    blocks, and one of its gradient.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> head = {"kernel": jnp.array([[1.2, -0.5, 0.1], [0.0, 30.0, 1.0]]), "bias": jnp.zeros(3)}
        >>> hidden, labels = jnp.eye(2), jnp.array([0, 1])
        >>> loss = linear_cross_entropy(hidden, head["kernel"], labels, bias=head["bias"])
        >>> [f"{value:.4g}" for value in loss]
        ['0.4158', '3.479e-13']
        >>> def mean(head):
        ...     return linear_cross_entropy(hidden, head["kernel"], labels, bias=head["bias"], reduction="mean")
        >>> jax.tree.map(jnp.shape, jax.jit(jax.grad(mean))(head))
        {'bias': (3,), 'kernel': (2, 3)}
    """
    softmax_options("float32", label_smoothing, True, z_loss, softcap, temperature, focal_gamma)
    check_choices(reduction, None, "auto", normalizer)
    if isinstance(normalizer, numbers.Number):
        check_number("normalizer", normalizer, low=0.0)
    ignored = check_ignore_index(ignore_index)
    options = {
        "chunk_rows": check_chunk_rows(chunk_rows),
        "ignore_index": ignored,
        "label_smoothing": label_smoothing,
        "reduction": reduction,
        "z_loss": z_loss,
        "softcap": softcap,
        "temperature": temperature,
        "focal_gamma": focal_gamma,
    }
    arrays = {
        "bias": None if bias is None else require("bias", bias, np.floating),
        "class_weight": _array(class_weight),
        "sample_weight": _array(sample_weight),
        "normalizer": normalizer,
        "class_mask": _array(class_mask),
    }
    x, w = require("hidden", hidden, np.floating), require("kernel", kernel, np.floating)
    targets = _array(labels)
    if targets is None:
        raise TypeError("labels must be class indices or probabilities, got None")
    _require_shapes(x, w, targets, arrays["bias"])
    # Labels that the core is to refuse are its to name.
    run = _compiled if _usable(targets, w.shape[1], ignored) and _divides(normalizer) else _loss
    result: jax.Array = run(x, w, targets, arrays, tuple(options.items()))
    return result


def _loss(
    hidden: jax.Array, kernel: jax.Array, targets: ArrayLike, arrays: dict[str, Any], options: Options
) -> jax.Array:
    loss: jax.Array = xentropy.linear_cross_entropy(hidden, kernel.T, targets, **arrays, **dict(options))
    return loss


# No decorator: the function runs without it too.
_compiled = jax.jit(_loss, static_argnums=4)


def _array(value: Any) -> Any:
    """Lists as arrays. NumPy's stay NumPy's, for JAX would wrap labels that don't fit 32 bits into range."""
    return value if value is None or hasattr(value, "dtype") else np.asarray(value)


def _usable(labels: Any, classes: int, ignored: int | None) -> bool:
    """Whether every label is in range or ignored, as far as values are known."""
    known = backend.concrete(labels, sync=False)
    if known is None or not jnp.issubdtype(labels.dtype, np.integer):
        return True
    values = np.asarray(known)
    if not jax.config.jax_enable_x64 and np.any((values < -(2**31)) | (values >= 2**31)):
        # In jit they would be wrapped first, and found in range, or not the ignored one.
        return False
    inside = (values >= 0) & (values < classes)
    return bool(np.all(inside if ignored is None else inside | (values == ignored)))


def _divides(normalizer: Any) -> bool:
    """Whether this is finite and not negative, as far as values are known."""
    if normalizer is None or isinstance(normalizer, numbers.Number):
        return True
    known = backend.concrete(jnp.asarray(normalizer), sync=False)
    return known is None or bool(np.all(np.isfinite(known)) and np.all(np.asarray(known) >= 0.0))


def _require_shapes(hidden: jax.Array, kernel: jax.Array, labels: Any, bias: jax.Array | None) -> None:
    if hidden.ndim == 0:
        raise ValueError("hidden has shape (); it must have at least one axis, of features")
    if kernel.ndim != 2 or kernel.shape[0] != hidden.shape[-1]:
        raise ValueError(
            f"kernel has shape {kernel.shape}, but for hidden of shape {hidden.shape} it must be "
            f"({hidden.shape[-1]}, classes)"
        )
    classes = kernel.shape[1]
    if classes == 0:
        raise ValueError(f"kernel of shape {kernel.shape} has no classes; at least one is needed")
    if bias is not None and bias.shape != (classes,):
        raise ValueError(f"bias has shape {bias.shape}, but for kernel of shape {kernel.shape} it must be {(classes,)}")
    rows, given = hidden.shape[:-1], jnp.shape(labels)
    if jnp.issubdtype(labels.dtype, np.integer):
        if given != rows:
            raise ValueError(f"labels have shape {given}, but for hidden of shape {hidden.shape} they must be {rows}")
    elif not jnp.issubdtype(labels.dtype, np.floating):
        raise TypeError(f"labels have dtype {labels.dtype}; integers are class indices, floats are probabilities")
    elif given != (*rows, classes):
        raise ValueError(
            f"labels have shape {given}, but probabilities for hidden of shape {hidden.shape} and kernel of shape "
            f"{kernel.shape} must have {(*rows, classes)}"
        )
