"""The losses of ``torch.nn.functional`` under their own names and signatures.

TorchScript cannot compile a call into the core, so a scripted model has PyTorch's own losses; a traced, exported or
compiled one has ours. (The linear loss can't be scripted, PyTorch's neither.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_variadic

from xentropy_torch import classes, elements, heads, native
from xentropy_torch.reduction import reduction_name

if TYPE_CHECKING:
    from torch.nn import LinearCrossEntropyOptions
else:
    # Not in PyTorch's older versions.
    LinearCrossEntropyOptions = getattr(torch.nn, "LinearCrossEntropyOptions", Any)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """``torch.nn.functional.cross_entropy``, accurate for confident rows.

    Args:
        input: logits, float16, bfloat16, float32 or float64, of shape (classes,) or (batch, classes, ...).
        target: class indices, of the input's shape without the classes, int64 (or uint8 where the input has one or two
            axes); or probabilities, floats of the input's shape, never renormalised.
        weight: of shape (classes,); the input's dtype where the target holds indices.
        size_average: deprecated, see ``reduction``.
        ignore_index: rows with this class index are removed; negative where the target holds probabilities.
        reduce: deprecated, see ``reduction``.
        reduction: "none", "sum" or "mean": over the rows' class weights for indices (NaN if those sum to 0 or every
            row is ignored), over the number of rows for probabilities.
        label_smoothing: epsilon in [0, 1]; a negative one counts as 0.

    Returns:
        The loss in nats, in the dtype that PyTorch returns: the input's, or what input, probabilities and weight
        promote to. Under autocast half precision becomes float32.

    Raises:
        RuntimeError, ValueError, IndexError, TypeError: PyTorch's own, in its own words.

    It differs from PyTorch's where that loses the answer: a confident row keeps its loss and gradient (float32
    [20, 0, 0], class 0: 4.1e-9, PyTorch 0); a probability of 0 counts for nothing at a logit of -inf (PyTorch NaN); an
    ignored row whose logits are NaN or infinite has gradient 0 (PyTorch NaN); half-precision losses are computed and
    summed in wider dtypes and rounded once. A label out of range that only an accelerator, a compiler or vmap sees
    makes its row NaN. Logits changed in place between loss and backward can be an error (PyTorch keeps a log-softmax
    instead). Scripted by TorchScript, it is PyTorch's.

    Example:
        >>> import torch
        >>> from xentropy_torch import cross_entropy
        >>> print(f"{cross_entropy(torch.tensor([[1.2, -0.5, 0.1]]), torch.tensor([0])):.4f}")
        0.4158
        >>> print(f"{cross_entropy(torch.tensor([[0.0, 20.0]]), torch.tensor([1])):.4g}")
        2.061e-09
    """
    if torch.jit.is_scripting():
        return native.cross_entropy(
            input, target, weight, size_average, ignore_index, reduce, reduction, label_smoothing
        )
    if has_torch_function_variadic(input, target, weight):
        return handle_torch_function(
            cross_entropy,
            (input, target, weight),
            input,
            target,
            weight=weight,
            size_average=size_average,
            ignore_index=ignore_index,
            reduce=reduce,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )
    reduced = reduction_name(size_average, reduce, reduction)
    return classes.cross_entropy(input, target, weight, ignore_index, reduced, label_smoothing)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``torch.nn.functional.nll_loss``: the negative log-probabilities of the labels.

    Args:
        input: log-probabilities, float16, bfloat16, float32 or float64, of shape (classes,) or (batch, classes, ...).
        target: class indices, of the input's shape without the classes, int64 (or uint8 where the input has one or two
            axes).
        weight: of shape (classes,), in the input's dtype.
        size_average: deprecated, see ``reduction``.
        ignore_index: rows with this class index are removed.
        reduce: deprecated, see ``reduction``.
        reduction: "none", "sum" or "mean": over the rows' class weights, NaN if those sum to 0 or every row is
            ignored.

    Returns:
        The loss in the input's dtype; under autocast half precision becomes float32.

    Raises:
        RuntimeError, ValueError, IndexError, TypeError: PyTorch's own, in its own words.

    It differs from PyTorch's in that half-precision losses are summed in a wider dtype and rounded once, and that a
    label of weight 0 counts for nothing at a log-probability of -inf (PyTorch NaN). What a log-softmax has rounded away
    before is lost: ``cross_entropy`` of the logits keeps it.

    Example:
        >>> import torch
        >>> from xentropy_torch import nll_loss
        >>> print(f"{nll_loss(torch.tensor([[0.25, 0.75]]).log(), torch.tensor([0])):.4f}")
        1.3863
    """
    if torch.jit.is_scripting():
        return native.nll_loss(input, target, weight, size_average, ignore_index, reduce, reduction)
    if has_torch_function_variadic(input, target, weight):
        return handle_torch_function(
            nll_loss,
            (input, target, weight),
            input,
            target,
            weight=weight,
            size_average=size_average,
            ignore_index=ignore_index,
            reduce=reduce,
            reduction=reduction,
        )
    reduced = reduction_name(size_average, reduce, reduction)
    return classes.nll_loss(input, target, weight, ignore_index, reduced)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Tensor:
    """``torch.nn.functional.linear_cross_entropy``, always without the logits, and in every transform.

    The cross-entropy of ``input @ linear_weight.T + linear_bias``, a block of rows at a time; in every version of
    PyTorch, those that have no such function included.

    Args:
        input: float16, bfloat16, float32 or float64, of shape (features,) or (batch, features).
        linear_weight: of the input's dtype and shape (classes, features); or (classes, d1, ..., dK, features), of
            which all logits are computed.
        target: class indices, int64 (or uint8), of shape () or (batch,) or (batch, d1, ..., dK); or probabilities,
            floats of shape (classes,) or (batch, classes, d1, ..., dK), never renormalised.
        linear_bias: of the input's dtype and the shape of the weight without its features.
        weight: of the classes, as in ``cross_entropy``.
        reduction: as in ``cross_entropy``, of which each mean is.
        ignore_index: rows with this class index are removed. None, which is all that may be said beside
            probabilities, stands for -100.
        label_smoothing: as in ``cross_entropy``.
        options: a ``torch.nn.LinearCrossEntropyOptions``, of which ``batch_chunk_size`` is how many rows make a block;
            where it is None, and without options, ours chooses. The others say how PyTorch saves memory, and change
            nothing here: sums are always accumulated in float32 or wider, and graphs may always be retained.

    Returns:
        The loss in nats, in the dtype that PyTorch returns: the input's, or what input, probabilities and weight
        promote to. Under autocast what isn't float64 becomes float32.

    Raises:
        RuntimeError, ValueError, IndexError, TypeError: PyTorch's own, in its own words.

    It differs from PyTorch's as ``cross_entropy`` does, and in these: half-precision inputs are multiplied in float32,
    under autocast too, where PyTorch rounds every logit to half precision; PyTorch computes all logits without
    ``options`` and wherever it smooths or differentiates by the targets; with ``options`` it has no ``torch.func.grad``
    and no ``create_graph``, by default no ``retain_graph`` and no compiled graph, and its jvp and Hessian are 0.

    Example:
        >>> import torch
        >>> from xentropy_torch import linear_cross_entropy
        >>> hidden = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> weight = torch.tensor([[1.2, 0.0], [-0.5, 10.0], [0.1, 1.0]])
        >>> losses = linear_cross_entropy(hidden, weight, torch.tensor([0, 1]), reduction="none")
        >>> [f"{loss:.4g}" for loss in losses]
        ['0.4158', '1.729e-08']
    """
    if has_torch_function_variadic(input, linear_weight, target, linear_bias, weight):
        return handle_torch_function(
            linear_cross_entropy,
            (input, linear_weight, target, linear_bias, weight),
            input,
            linear_weight,
            target,
            linear_bias=linear_bias,
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            options=options,
        )
    rows = None if options is None else options.batch_chunk_size
    return heads.linear_cross_entropy(
        input, linear_weight, target, linear_bias, weight, reduction, ignore_index, label_smoothing, rows
    )


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``torch.nn.functional.binary_cross_entropy``, of probabilities, clipped as PyTorch clips.

    Logarithms are at least -100, and the gradient divides by at least 1e-12: where p (1 - p) is less, value and
    derivatives are PyTorch's own.

    Args:
        input: probabilities in [0, 1], float16, bfloat16, float32 or float64, of any shape.
        target: of the input's shape and dtype.
        weight: of the elements, broadcastable to the input's shape. Not in the mean's denominator.
        size_average: deprecated, see ``reduction``.
        reduce: deprecated, see ``reduction``.
        reduction: "none", "sum" or "mean": over the number of elements.

    Returns:
        The loss in the input's dtype. Under CPU autocast half precision becomes float32.

    Raises:
        RuntimeError, ValueError, TypeError: PyTorch's own, in its own words; under CUDA autocast too.

    It differs from PyTorch's in half precision alone: computed in float32, rounded once, without PyTorch's NaN gradient
    of float16 probabilities 0 and 1.

    Example:
        >>> import torch
        >>> from xentropy_torch import binary_cross_entropy
        >>> print(f"{binary_cross_entropy(torch.tensor([0.8]), torch.tensor([1.0])):.4f}")
        0.2231
    """
    if torch.jit.is_scripting():
        return native.binary_cross_entropy(input, target, weight, size_average, reduce, reduction)
    if has_torch_function_variadic(input, target, weight):
        return handle_torch_function(
            binary_cross_entropy,
            (input, target, weight),
            input,
            target,
            weight=weight,
            size_average=size_average,
            reduce=reduce,
            reduction=reduction,
        )
    reduced = reduction_name(size_average, reduce, reduction)
    return elements.of_probabilities(input, target, weight, reduced)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """``torch.nn.functional.binary_cross_entropy_with_logits``, accurate for confident elements.

    Args:
        input: logits, float16, bfloat16, float32 or float64, of any shape.
        target: floats of the input's shape, probabilities of the positive class.
        weight: of the elements, broadcastable to the input's shape. Not in the mean's denominator.
        size_average: deprecated, see ``reduction``.
        reduce: deprecated, see ``reduction``.
        reduction: "none", "sum" or "mean": over the number of elements.
        pos_weight: weight of the positive term, broadcastable to the input's shape.

    Returns:
        The loss in nats, in the target's dtype (sic). Under autocast half precision becomes float32.

    Raises:
        RuntimeError, ValueError, TypeError: PyTorch's own, in its own words.

    It differs from PyTorch's where that loses the answer: a confident element keeps its loss and gradient (float32 -20,
    target 0: 2.1e-9, PyTorch 0); infinite logits give the limit, 0 or infinity (PyTorch NaN); half-precision losses are
    computed and summed in wider dtypes and rounded once.

    Example:
        >>> import torch
        >>> from xentropy_torch import binary_cross_entropy_with_logits
        >>> print(f"{binary_cross_entropy_with_logits(torch.tensor([-20.0]), torch.tensor([0.0])):.4g}")
        2.061e-09
    """
    if torch.jit.is_scripting():
        return native.binary_cross_entropy_with_logits(
            input, target, weight, size_average, reduce, reduction, pos_weight
        )
    if has_torch_function_variadic(input, target, weight, pos_weight):
        return handle_torch_function(
            binary_cross_entropy_with_logits,
            (input, target, weight, pos_weight),
            input,
            target,
            weight=weight,
            size_average=size_average,
            reduce=reduce,
            reduction=reduction,
            pos_weight=pos_weight,
        )
    reduced = reduction_name(size_average, reduce, reduction)
    return elements.with_logits(input, target, weight, reduced, pos_weight)
