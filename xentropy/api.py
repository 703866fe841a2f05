"""The public functions: documentation, options, dispatch. No arithmetic."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from xentropy import labelled, likelihood, logistic, nll, parts, sigmoid, softmax, tape, tokens
from xentropy.dtypes import require_floating, result_name
from xentropy.inputs import as_array
from xentropy.layout import class_layout, element_layout
from xentropy.options import (
    Precision,
    Reduction,
    SigmoidOptions,
    SoftmaxOptions,
    Validate,
    check_choices,
    check_ignore_index,
    remembered,
    sigmoid_options,
    softmax_options,
)
from xentropy.prepare import Prepared, elements, finite_normalizer, rows
from xentropy.program import Program, RowStatistics
from xentropy.registry import resolve
from xentropy.rule import Rule
from xentropy.targets import row_weight

if TYPE_CHECKING:
    from xentropy.backend import Backend

Array = Any


class TokenStatistics(NamedTuple):
    """What ``token_statistics`` returns; every field has the rows' shape.

    Attributes:
        logsumexp: log of the sum of the exponentials of the (tempered) logits, in nats.
        log_prob: log-probability of the target class, in nats.
        entropy: entropy of the softmax, in nats.
        correct: bool, whether the target is the (first) largest logit; False in a row that is NaN.
    """

    logsumexp: Array
    log_prob: Array
    entropy: Array
    correct: Array


def cross_entropy(
    logits: Array,
    targets: Array,
    *,
    axis: int = -1,
    class_weight: Array | None = None,
    sample_weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    from_logits: bool = True,
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
    r"""Cross-entropy of class indices or class probabilities under a softmax of the logits, in nats.

    For one row with targets :math:`t` and :math:`p = \mathrm{softmax}(x)`,

    $$\ell = \sum_j w_j\, q_j\, (1 - p_j)^\gamma\, (-\log p_j) + z \cdot \mathrm{logsumexp}(x)^2,
    \qquad q_j = (1 - \varepsilon)\, t_j + \varepsilon / C$$

    (Goodfellow, Bengio and Courville, *Deep Learning*, section 6.2; smoothing: Szegedy et al. 2016; focal factor: Lin
    et al. 2017; z-loss: Chowdhery et al. 2022). The sum of exponentials never contains the class it is compared with,
    so confident rows keep their relative accuracy.

    Args:
        logits: float16, bfloat16, float32 or float64, of shape (..., classes, ...); classes along ``axis``.
        targets: integers are class indices, of the logits' shape without ``axis``; floats are probabilities, of the
            logits' shape, never renormalised: a target of exactly 0 counts for nothing, even at a logit of -inf.
        axis: the axis of the classes.
        class_weight: shape (classes,). Each class keeps its weight under smoothing.
        sample_weight: broadcastable to the rows' shape. A row of weight 0 is removed: it cannot raise nor be NaN.
        ignore_index: rows with this class index are removed. Any integer.
        label_smoothing: epsilon in [0, 1], shared by all allowed classes.
        from_logits: False if ``logits`` holds probabilities, in [0, 1] and not renormalised.
        reduction: "none" (the rows' shape), "sum", or "mean": the sum of sample weight times loss over the sum of
            sample weight times the label's class weight (probabilities: the sum of class weight times target). A
            denominator of 0 gives 0, with gradient 0.
        normalizer: replaces the denominator of the mean (a number or an array without axes), such as the global
            token count under gradient accumulation.
        z_loss: coefficient of the squared log-sum-exp, multiplied by the sample weight only.
        softcap: finite logits become softcap * tanh(logits / softcap), before the temperature. In [1e-20, 1e20].
        temperature: logits are divided by it. In [1e-20, 1e20].
        focal_gamma: exponent of the focal factor, per class.
        class_mask: bool, True for an allowed class, of shape (classes,) or the logits' shape.
        precision: "float64" computes narrower inputs in float64; the result's dtype stays. All backends then agree
            bit for bit.
        validate: "auto" checks values where that costs no synchronisation, True always (where they are known at
            all), False never. A label that is out of range and not caught gives its row a NaN loss and gradient.
        group: where each device or process has a slice of the classes, all those that together have them: see the
            documentation of the backends for what it is in each. ``logits``, probabilities, ``class_weight`` and
            ``class_mask`` are slices then, of any sizes; all else is the same everywhere, labels (of all classes)
            included. Every part returns the loss, and differentiates by its own logits.

    Returns:
        float64 for float64 logits, float32 for all others.

    Raises:
        TypeError: a dtype, type or library that does not fit.
        ValueError: shapes that do not fit, zero classes, an option outside its domain, a label in a masked class, a
            probability outside [0, 1].
        IndexError: a class index out of range, where values are known.

    Example:
        >>> import numpy as np, xentropy
        >>> logits = np.array([[1.2, -0.5, 0.1], [0.0, 30.0, 1.0]], dtype=np.float32)
        >>> print(round(float(xentropy.cross_entropy(logits[:1], np.array([0]))), 4))
        0.4158
        >>> [f"{loss:.4g}" for loss in xentropy.cross_entropy(logits, np.array([0, 1]), reduction="none")]
        ['0.4158', '3.479e-13']
    """
    backend = resolve(logits)
    own = backend.own_part(logits, axis)
    if group is not None or own is not None:
        # Not locals(): a compiler that rewrites Python may have made a function of this branch.
        given: dict[str, Any] = {
            "logits": logits,
            "targets": targets,
            "axis": axis,
            "class_weight": class_weight,
            "sample_weight": sample_weight,
            "ignore_index": ignore_index,
            "label_smoothing": label_smoothing,
            "from_logits": from_logits,
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
            return backend.uncompiled(parts.cross_entropy)(**given)
        return backend.uncompiled(parts.cross_entropy_of)(own, **given)
    check_choices(reduction, precision, validate, normalizer)
    require_floating(logits, "logits")
    options = remembered(backend, softmax_options)(
        _compute_dtype(logits, precision),
        label_smoothing,
        from_logits,
        z_loss,
        softcap,
        temperature,
        focal_gamma,
    )
    ignore_index = check_ignore_index(ignore_index)
    weighed = class_weight is not None or sample_weight is not None or normalizer is not None or class_mask is not None
    if reduction == "mean" and not weighed:
        mean = _mean_of_few(backend, options, logits, targets, axis, ignore_index)
        if mean is not None:
            return mean
    prepared = rows(
        backend,
        logits,
        as_array(backend, targets, "targets"),
        class_layout(backend, logits, axis),
        class_weight=class_weight,
        class_mask=class_mask,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        from_logits=options.from_logits,
        validate=validate,
    )
    one_pass = prepared.labelled and not backend.sees_python()
    program = remembered(backend, softmax_program)(
        options, one_pass, prepared.checked_labels, reduction, result_name(logits)
    )
    return _run(program, prepared, logits, normalizer, validate)


def nll_loss(
    log_probs: Array,
    targets: Array,
    *,
    axis: int = -1,
    class_weight: Array | None = None,
    sample_weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    normalizer: Array | float | None = None,
    precision: Precision = None,
    validate: Validate = "auto",
) -> Array:
    r"""Negative log-likelihood of log-probabilities that are already there, in nats.

    $$\ell = -\sum_j w_j\, q_j\, x_j, \qquad q_j = (1 - \varepsilon)\, t_j + \varepsilon / C$$

    (Goodfellow, Bengio and Courville, *Deep Learning*, section 5.5). Rows are neither checked nor normalised. Of a
    log-softmax in the logits' dtype this is not what ``cross_entropy`` of the logits is: a confident row has lost its
    digits before it comes here.

    Args:
        log_probs: float16, bfloat16, float32 or float64, of shape (..., classes, ...); classes along ``axis``.
        targets: integers are class indices, of the shape of ``log_probs`` without ``axis``; floats are probabilities,
            of its shape. A target of exactly 0 counts for nothing, even at -inf.
        axis: the axis of the classes.
        class_weight: as in ``cross_entropy``, like all that follow.
        sample_weight: broadcastable to the rows' shape.
        ignore_index: rows with this class index are removed.
        label_smoothing: epsilon in [0, 1].
        reduction: "none", "sum" or "mean".
        normalizer: replaces the denominator of the mean.
        precision: "float64" computes narrower inputs in float64; the result's dtype stays.
        validate: as in ``cross_entropy``.

    Returns:
        float64 for float64 inputs, float32 for all others.

    Raises:
        TypeError: a dtype, type or library that does not fit.
        ValueError: shapes that do not fit, zero classes, an option outside its domain.
        IndexError: a class index out of range, where values are known.

    Example:
        >>> import numpy as np, xentropy
        >>> print(xentropy.nll_loss(np.log(np.array([[0.25, 0.75], [0.5, 0.5]])), np.array([1, 0])).round(4))
        0.4904
    """
    check_choices(reduction, precision, validate, normalizer)
    backend = resolve(log_probs, "log_probs")
    require_floating(log_probs, "log_probs")
    options = remembered(backend, softmax_options)(_compute_dtype(log_probs, precision), label_smoothing)
    prepared = rows(
        backend,
        log_probs,
        as_array(backend, targets, "targets"),
        class_layout(backend, log_probs, axis),
        class_weight=class_weight,
        sample_weight=sample_weight,
        ignore_index=check_ignore_index(ignore_index),
        validate=validate,
    )
    program = remembered(backend, _nll_program)(options, prepared.checked_labels, reduction, result_name(log_probs))
    return _run(program, prepared, log_probs, normalizer, validate)


def binary_cross_entropy(
    logits: Array,
    targets: Array,
    *,
    pos_weight: Array | None = None,
    sample_weight: Array | None = None,
    label_smoothing: float = 0.0,
    focal_alpha: float | None = None,
    focal_gamma: float = 0.0,
    from_logits: bool = True,
    reduction: Reduction = "mean",
    normalizer: Array | float | None = None,
    precision: Precision = None,
    validate: Validate = "auto",
) -> Array:
    r"""Binary cross-entropy of every element under a sigmoid of its logit, in nats.

    $$\ell = w_+ \alpha\, y\, (1 - p)^\gamma (-\log p) + (1 - \alpha)(1 - y)\, p^\gamma (-\log(1 - p)),
    \qquad p = \sigma(z)$$

    (Goodfellow, Bengio and Courville, *Deep Learning*, section 6.2.2.2; focal factor: Lin et al. 2017). Both
    logarithms are softplus functions of the logit, accurate to the last bits at any size, with the right limits (0
    or +inf) at infinite logits.

    Args:
        logits: float16, bfloat16, float32 or float64, of any shape.
        targets: of the logits' shape; floats are probabilities of the positive class, integers are labels 0 or 1.
        pos_weight: weight of the positive term, broadcastable to the logits' shape. Not in the denominator.
        sample_weight: broadcastable to the logits' shape. An element of weight 0 is removed.
        label_smoothing: epsilon in [0, 1]: targets become y (1 - epsilon) + epsilon / 2.
        focal_alpha: in [0, 1], weight of positives, 1 - alpha of negatives; None weighs neither.
        focal_gamma: exponent of the focal factor.
        from_logits: False if ``logits`` holds probabilities, in [0, 1].
        reduction: "none", "sum", or "mean": over elements, weighted by the sample weight.
        normalizer: replaces the denominator of the mean.
        precision: "float64" computes narrower inputs in float64; the result's dtype stays.
        validate: as in ``cross_entropy``.

    Returns:
        float64 for float64 logits, float32 for all others.

    Raises:
        TypeError: a dtype, type or library that does not fit.
        ValueError: shapes that do not fit, an option outside its domain, a probability outside [0, 1].
        IndexError: an integer label that is neither 0 nor 1, where values are known.

    Example:
        >>> import numpy as np, xentropy
        >>> loss = xentropy.binary_cross_entropy(np.array([0.8]), np.array([1.0]), from_logits=False)
        >>> print(round(float(loss), 4))
        0.2231
    """
    check_choices(reduction, precision, validate, normalizer)
    backend = resolve(logits)
    require_floating(logits, "logits")
    options = remembered(backend, sigmoid_options)(
        _compute_dtype(logits, precision), label_smoothing, from_logits, focal_alpha, focal_gamma
    )
    prepared = elements(
        backend,
        logits,
        as_array(backend, targets, "targets"),
        element_layout(backend, logits),
        pos_weight=pos_weight,
        sample_weight=sample_weight,
        from_logits=options.from_logits,
        validate=validate,
    )
    one_pass = all(constant is None for constant in prepared.constants) and not backend.sees_python()
    program = remembered(backend, _sigmoid_program)(options, one_pass, reduction, result_name(logits))
    return _run(program, prepared, logits, normalizer, validate)


def token_statistics(logits: Array, targets: Array, *, axis: int = -1, temperature: float = 1.0) -> TokenStatistics:
    """Log-sum-exp, log-probability, entropy and correctness of every row, without a log-softmax of the logits' size.

    All but ``correct`` are differentiable with respect to the logits wherever the library differentiates.

    Args:
        logits: float16, bfloat16, float32 or float64, of shape (..., classes, ...).
        targets: class indices, of the logits' shape without ``axis``.
        axis: the axis of the classes.
        temperature: logits are divided by it first. In [1e-20, 1e20].

    Returns:
        ``TokenStatistics`` of arrays of the rows' shape: float64 for float64 logits, else float32; and bool.

    Raises:
        TypeError: targets that are no integers, or another dtype, type or library that does not fit.
        ValueError: shapes that do not fit, zero classes, a temperature outside its domain.
        IndexError: a class index out of range, where values are known; NaN log-probability elsewhere.

    Example:
        >>> import numpy as np, xentropy
        >>> found = xentropy.token_statistics(np.array([[0.0, 0.0], [0.0, 50.0]]), np.array([0, 1]))
        >>> print(found.entropy.round(4), found.correct)
        [0.6931 0.    ] [ True  True]
    """
    backend = resolve(logits)
    require_floating(logits, "logits")
    targets = as_array(backend, targets, "targets")
    options = remembered(backend, softmax_options)(result_name(logits), temperature=temperature)
    layout = class_layout(backend, logits, axis)
    prepared = rows(backend, logits, targets, layout, indices_only=True)
    options = replace(options, checked_labels=prepared.checked_labels)
    rule = Rule(tokens.forward, tokens.gradient, options)
    outputs = backend.run(RowStatistics(rule), prepared.arrays, prepared.constants, ())
    lse, log_prob, entropy = (layout.restore(backend, output) for output in outputs)
    label = prepared.constants[0]
    correct = backend.argmax(prepared.arrays[0]) == label
    xp = backend.namespace(logits)
    # Where a logit is NaN, every library has another largest.
    correct = xp.logical_and(correct, outputs[0] == outputs[0])
    return TokenStatistics(lse, log_prob, entropy, layout.restore(backend, correct))


def _compute_dtype(logits: Array, precision: Precision) -> str:
    return "float64" if precision == "float64" else result_name(logits)


def _mean_of_few(
    backend: Backend, options: SoftmaxOptions, logits: Array, targets: Any, axis: Any, ignore_index: int | None
) -> Array | None:
    """See ``Backend.mean_of_few``; None too where the arguments are not for it."""
    if type(axis) is not int or axis not in (-1, 1) or (ignore_index is not None and ignore_index >= 0):
        return None
    if backend.sees_python() or not labelled.applies(options):
        return None
    return backend.mean_of_few(logits, targets)


def softmax_program(
    options: SoftmaxOptions, one_pass: bool, checked_labels: bool, reduction: Reduction, result: str
) -> Program:
    """The program of a loss of rows of classes; ``one_pass`` if its blocks may be written over."""
    formula = softmax if options.from_logits else likelihood
    options = replace(options, checked_labels=checked_labels)
    joint = labelled.joint if one_pass and labelled.applies(options) else None
    keeping = softmax.forward_keeping if options.from_logits else None
    rule = Rule(formula.forward, formula.gradient, options, joint=joint, keeping=keeping, row_weight=row_weight)
    return Program(rule, reduction, result)


def _nll_program(options: SoftmaxOptions, checked_labels: bool, reduction: Reduction, result: str) -> Program:
    options = replace(options, checked_labels=checked_labels)
    return Program(Rule(nll.forward, nll.gradient, options, row_weight=row_weight), reduction, result)


def _sigmoid_program(options: SigmoidOptions, one_pass: bool, reduction: Reduction, result: str) -> Program:
    one_pass = one_pass and logistic.applies(options)
    if reduction == "none":
        joint = logistic.joint if one_pass else None
        return Program(
            Rule(sigmoid.forward, sigmoid.gradient, options, elementwise=True, joint=joint), reduction, result
        )
    joint = logistic.joint_summed if one_pass else None
    rule = Rule(sigmoid.forward_summed, sigmoid.gradient_summed, options, joint=joint, row_weight=sigmoid.row_weight)
    return Program(rule, reduction, result)


def _run(
    program: Program, prepared: Prepared, logits: Array, normalizer: Array | float | None, validate: Validate
) -> Array:
    backend, layout = prepared.backend, prepared.layout
    weights = (prepared.sample_weight, finite_normalizer(backend, normalizer, logits, layout, validate, program.result))
    if backend.records():
        found = backend.run(program.value_and_gradient, prepared.arrays, prepared.constants, weights)
        result, gradient = found
        result = tape.record(result, logits, (prepared.restore(gradient),))
    else:
        result = backend.run(program, prepared.arrays, prepared.constants, weights)
    if program.reduction != "none":
        return result
    return prepared.restore(result) if program.rule.elementwise else layout.restore(backend, result)
