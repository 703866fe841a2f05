"""The public function of the linear loss: documentation, options, dispatch. No arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xentropy import parts, tape
from xentropy.api import softmax_program
from xentropy.inputs import as_array
from xentropy.linear import LinearProgram, LinearRule
from xentropy.linear_arguments import Shared, as_given, check_chunk_rows, shared_arrays, wide_name
from xentropy.options import (
    Precision,
    Reduction,
    Validate,
    check_choices,
    check_ignore_index,
    remembered,
    softmax_options,
)
from xentropy.prepare import Prepared, finite_normalizer, rows_without_logits
from xentropy.registry import resolve

if TYPE_CHECKING:
    from xentropy.options import SoftmaxOptions

Array = Any


def linear_cross_entropy(
    hidden: Array,
    weight: Array,
    targets: Array,
    *,
    bias: Array | None = None,
    chunk_rows: int | None = None,
    class_weight: Array | None = None,
    sample_weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    normalizer: Array | float | None = None,
    z_loss: float = 0.0,
    softcap: float | None = None,
    temperature: float = 1.0,
    focal_gamma: float = 0.0,
    class_mask: Array | None = None,
    precision: Precision = None,
    validate: Validate = "auto",
    group: Any = None,
) -> Array:
    r"""Cross-entropy under the softmax of ``hidden @ weight.T + bias``, in nats, without the logits.

    $$\ell(h) = \mathrm{cross\_entropy}(W h + b, t)$$

    The logits are computed a block of rows at a time, forward and, where somebody differentiates, back at once, so that
    memory grows with the rows' features and not with their classes (Wijmans et al. 2024, "Cut Your Losses in
    Large-Vocabulary Language Models"; Hsu et al. 2024, "Liger Kernel"). Blocks of rows that are ignored, or of sample
    weight 0, are left out, and single rows where values are known and memory can be written to.

    Args:
        hidden: float16, bfloat16, float32 or float64, of shape (..., features).
        weight: a class each row, of shape (classes, features), of any such dtype.
        targets: integers are class indices, of shape hidden.shape[:-1]; floats are probabilities, of shape
            (..., classes).
        bias: shape (classes,).
        chunk_rows: how many rows make a block, at least 1; None chooses by classes and features. Lazy arrays are one
            block, whose size their own chunks decide.
        class_weight: as in ``cross_entropy``, like all that follow.
        sample_weight: broadcastable to hidden.shape[:-1].
        ignore_index: rows with this class index are removed.
        label_smoothing: epsilon in [0, 1].
        reduction: "none", "sum" or "mean".
        normalizer: replaces the denominator of the mean: with the token count of all micro-batches, their gradients
            add up to that of the whole batch.
        z_loss: coefficient of the squared log-sum-exp.
        softcap: finite logits become softcap * tanh(logits / softcap).
        temperature: logits are divided by it.
        focal_gamma: exponent of the focal factor.
        class_mask: bool, of shape (classes,) or (..., classes).
        precision: "float64" computes narrower inputs, matrix products and all, in float64.
        validate: as in ``cross_entropy``.
        group: as in ``cross_entropy``. ``weight`` and ``bias`` are slices of the classes then; ``hidden`` is the same
            in every part, and so is its gradient, which is summed over the parts.

    Returns:
        float64 if hidden, weight or bias is, float32 otherwise: half inputs are multiplied and added in float32.
        Gradients have the dtypes of their arrays.

    Raises:
        TypeError: a dtype, type or library that does not fit.
        ValueError: shapes that do not fit, zero classes, an option outside its domain.
        IndexError: a class index out of range, where values are known.

    Example:
        >>> import numpy as np, xentropy
        >>> hidden = np.array([[1.0, 0.0], [0.0, 2.0]], dtype=np.float32)
        >>> weight = np.array([[1.2, 0.0], [-0.5, 10.0], [0.1, 1.0]], dtype=np.float32)
        >>> losses = xentropy.linear_cross_entropy(hidden, weight, np.array([0, 1]), reduction="none")
        >>> [f"{loss:.4g}" for loss in losses]
        ['0.4158', '1.729e-08']
        >>> value_and_grad = xentropy.value_and_grad(xentropy.linear_cross_entropy)
        >>> value, (of_hidden, of_weight) = value_and_grad(hidden, weight, np.array([0, 1]))
        >>> of_hidden.shape, of_weight.shape
        ((2, 2), (3, 2))
    """
    backend = resolve(hidden, "hidden")
    own = backend.own_part(weight, 0)
    if group is not None or own is not None:
        given: dict[str, Any] = {
            "hidden": hidden,
            "weight": weight,
            "targets": targets,
            "bias": bias,
            "chunk_rows": chunk_rows,
            "class_weight": class_weight,
            "sample_weight": sample_weight,
            "ignore_index": ignore_index,
            "label_smoothing": label_smoothing,
            "reduction": reduction,
            "normalizer": normalizer,
            "z_loss": z_loss,
            "softcap": softcap,
            "temperature": temperature,
            "focal_gamma": focal_gamma,
            "class_mask": class_mask,
            "precision": precision,
            "validate": validate,
            "group": group,
        }
        if own is None:
            return backend.uncompiled(parts.linear_cross_entropy)(**given)
        return backend.uncompiled(parts.linear_cross_entropy_of)(own, **given)
    check_choices(reduction, precision, validate, normalizer)
    rows = check_chunk_rows(chunk_rows)
    shared = shared_arrays(backend, hidden, weight, bias)
    wide = wide_name(shared)
    options = remembered(backend, softmax_options)(
        "float64" if precision == "float64" else wide,
        label_smoothing,
        True,
        z_loss,
        softcap,
        temperature,
        focal_gamma,
    )
    prepared = rows_without_logits(
        backend,
        hidden,
        as_array(backend, targets, "targets"),
        shared.layout,
        dtype=wide,
        class_weight=class_weight,
        class_mask=class_mask,
        sample_weight=sample_weight,
        ignore_index=check_ignore_index(ignore_index),
        validate=validate,
    )
    one_pass = len(prepared.arrays) == 0 and not backend.sees_python()
    program = remembered(backend, linear_program)(
        options, one_pass, prepared.checked_labels, reduction, wide, bias is not None, rows
    )
    return _run(program, shared, prepared, normalizer, validate)


def linear_program(
    options: SoftmaxOptions,
    one_pass: bool,
    checked_labels: bool,
    reduction: Reduction,
    result: str,
    biased: bool,
    chunk_rows: int | None,
) -> LinearProgram:
    """The program of a linear loss; ``one_pass`` if the blocks of its logits may be written over."""
    dense = softmax_program(options, one_pass, checked_labels, reduction, result)
    rule: Any = LinearRule(dense.rule, biased, chunk_rows)
    return LinearProgram(rule, reduction, result)


def _run(
    program: LinearProgram, shared: Shared, prepared: Prepared, normalizer: Array | float | None, validate: Validate
) -> Array:
    backend, layout = prepared.backend, shared.layout
    arrays = (*shared.arrays, *prepared.arrays)
    divisor = finite_normalizer(backend, normalizer, shared.hidden, layout, validate, program.result)
    weights = (prepared.sample_weight, divisor)
    if backend.records():
        result, gradients = backend.run(program.value_and_gradient, arrays, prepared.constants, weights)
        result = tape.record(result, shared.hidden, as_given(backend, gradients, shared))
    else:
        result = backend.run(program, arrays, prepared.constants, weights)
    return layout.restore(backend, result) if program.reduction == "none" else result
