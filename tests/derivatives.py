"""Problems to differentiate, with their exact derivatives of first and second order: one table for every library.

Small enough for many digits, without ties and without infinities, so that every number has a derivative on both sides.
All numbers are multiples of powers of two: float32 and float64 inputs are the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import reference
from mpmath import mp, mpf
from reference import DIGITS, STEP, BinaryLoss, SoftmaxLoss

import xentropy

Array = Any
Numbers = np.ndarray[Any, np.dtype[np.float64]]

IGNORED = -100
LOGITS = [[0.25, -1.5, 2.0, 0.75], [3.0, 1.0, -2.0, 1.125], [-0.5, 0.0, 0.5, 1.5]]
LABELS = [2, 1, 0]
SOFT = [[0.125, 0.25, 0.25, 0.375], [0.0, 1.0, 0.0, 0.0], [0.5, 0.0, 0.25, 0.5]]
CLASS_WEIGHT = [0.5, 2.0, 1.25, 3.0]
SAMPLE_WEIGHT = [1.0, 0.25, 2.0]
MASK = [True, True, True, False]
MASKED_SOFT = [[0.125, 0.5, 0.375, 0.0], [0.0, 1.0, 0.0, 0.0], [0.5, 0.0, 0.25, 0.0]]
ROW_MASK = [[True, False, True, True], [True, True, True, False], [True, True, False, True]]
PROBABILITIES = [[0.125, 0.25, 0.25, 0.375], [0.75, 0.125, 0.0625, 0.03125], [0.25, 0.25, 0.5, 0.875]]
EVERYTHING = {
    "class_weight": CLASS_WEIGHT,
    "sample_weight": SAMPLE_WEIGHT,
    "class_mask": MASK,
    "label_smoothing": 0.125,
    "z_loss": 0.0625,
    "softcap": 4.0,
    "temperature": 1.5,
    "focal_gamma": 2.0,
}
BINARY_LOGITS = [[0.25, -1.5, 2.0], [3.0, -2.0, 1.125], [-0.5, 0.125, 5.5]]
BINARY_LABELS = [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
BINARY_SOFT = [[0.875, 0.125, 0.5], [0.0, 1.0, 0.25], [0.375, 0.75, 0.625]]
BINARY_PROBABILITIES = [[0.75, 0.25, 0.875], [0.125, 0.5, 0.25], [0.625, 0.0625, 0.9375]]
BINARY_WEIGHT = [[1.0, 0.5, 2.0], [0.25, 3.0, 1.0], [1.5, 1.0, 0.75]]
POS_WEIGHT = [3.0, 0.5, 1.25]


@dataclass(frozen=True)
class Exact:
    """The scalar's value and derivatives.

    ``along`` is its change along ``Problem.direction``, ``curve`` that of its gradient. Pairs are (logits, targets);
    what belongs to class indices is an array without elements.
    """

    value: float
    gradient: tuple[Numbers, Numbers]
    along: float
    curve: tuple[Numbers, Numbers]


@dataclass(frozen=True, eq=False)
class Problem:
    """One call whose result, or its product with ``cotangent``, is a number to differentiate."""

    name: str
    logits: Any = field(default_factory=lambda: LOGITS)
    targets: Any = field(default_factory=lambda: LABELS)
    options: Mapping[str, Any] = field(default_factory=dict)
    binary: bool = False

    @property
    def loss(self) -> Any:
        """The public function."""
        return xentropy.binary_cross_entropy if self.binary else xentropy.cross_entropy

    @cached_property
    def arrays(self) -> tuple[np.ndarray[Any, Any], ...]:
        """What is differentiated, in float64: the logits and, where they are probabilities, the targets."""
        logits = np.array(self.logits, dtype=np.float64)
        return (logits, np.array(self.targets)) if self.soft else (logits,)

    @property
    def soft(self) -> bool:
        """Whether the targets are probabilities."""
        return np.array(self.targets).dtype.kind == "f"

    @property
    def labels(self) -> np.ndarray[Any, Any]:
        """Class indices."""
        return np.array(self.targets)

    def bind(self, convert: Callable[[np.ndarray[Any, Any]], Array], **more: Any) -> Callable[..., Array]:
        """The loss as a function of the arrays that are differentiated, all others being converted once."""
        options = {k: convert(np.array(v)) if isinstance(v, list) else v for k, v in self.options.items()}
        loss, labels = self.loss, () if self.soft else (convert(self.labels),)
        return lambda *arrays: loss(*arrays, *labels, **options, **more)

    @cached_property
    def cotangent(self) -> Numbers:
        """What the result is multiplied by before it is summed: 1 for a scalar."""
        if self.options.get("reduction") != "none":
            return np.ones(())
        shape = np.shape(self.logits)
        if not self.binary:
            shape = shape[:-1] if self.options.get("axis", -1) == -1 else (shape[0], *shape[2:])
        return np.linspace(-1.0, 2.0, int(np.prod(shape))).reshape(shape)

    @cached_property
    def direction(self) -> tuple[Numbers, ...]:
        """One tangent per differentiated array."""
        tangents = [np.random.default_rng(7).integers(-8, 9, a.shape) / 4.0 for a in self.arrays]
        if self.soft:
            tangents[1] = np.where(self.settled, tangents[1], 0.0)
        return tuple(tangents)

    @property
    def settled(self) -> np.ndarray[Any, Any]:
        """The targets that have derivatives: a class is excluded where its target is 0 and may not be anything else."""
        if not self.soft:
            return np.ones(0, dtype=bool)
        return np.broadcast_to(self.options.get("class_mask", True), np.shape(self.targets))

    @cached_property
    def exact(self) -> Exact:
        """The answers, from differences of the definition in many digits."""
        with mp.workdps(DIGITS):
            return _answers(self)


def _answers(problem: Problem) -> Exact:
    axis = problem.options.get("axis", -1)
    x, *soft = (_rows(a, axis) for a in problem.arrays)
    dx, *dsoft = (_rows(a, axis) for a in problem.direction)
    labels = (
        problem.labels if problem.binary else np.eye(x.shape[-1])[np.maximum(problem.labels, 0)] if not soft else None
    )
    table, dtable = (soft[0], dsoft[0]) if soft else (labels.reshape(x.shape), np.zeros(x.shape))
    f = _definition(problem)

    def at(step: Any) -> tuple[Any, Any]:
        return _moved(x, dx, step), _moved(table, dtable, step)

    def gradients(step: Any) -> tuple[Any, Any]:
        xs, ts = at(step)
        of_targets = reference.gradient(lambda rows: f(xs, rows), ts) if soft else [[]]
        return np.array(reference.gradient(lambda rows: f(rows, ts), xs)), np.array(of_targets)

    def back(rows: Any) -> Numbers:
        if not rows.size:
            return np.empty(0)
        shape = np.moveaxis(problem.arrays[0], axis, -1).shape
        return np.moveaxis(rows.astype(np.float64).reshape(shape), -1, axis)

    above, below, here = gradients(STEP), gradients(-STEP), gradients(mpf(0))
    along = (f(*at(STEP)) - f(*at(-STEP))) / (2 * STEP)
    curve = tuple(back((a - b) / (2 * STEP)) for a, b in zip(above, below, strict=True))
    return Exact(float(f(*at(mpf(0)))), tuple(back(g) for g in here), float(along), curve)


def _definition(problem: Problem) -> Any:
    """The scalar as a function of rows of logits and rows of targets."""
    options = dict(problem.options)
    reduction = options.pop("reduction", "mean")
    options.pop("axis", None)
    arrays = {name: np.array(value) for name, value in options.items() if isinstance(value, list)}
    if options.pop("ignore_index", None) is not None:
        counted = (problem.labels != IGNORED).astype(float)
        arrays["sample_weight"] = counted * arrays.get("sample_weight", 1.0)
    if "pos_weight" in arrays:
        arrays["pos_weight"] = np.broadcast_to(arrays["pos_weight"], np.shape(problem.logits))
    loss = (BinaryLoss if problem.binary else SoftmaxLoss)(**{**options, **arrays})
    factors = [mpf(float(c)) for c in problem.cotangent.ravel()]

    def scalar(xs: Any, ts: Any) -> Any:
        if reduction == "mean":
            return loss.mean(xs, ts)
        rows = loss.rows(xs, ts)
        flat = [v for row in rows for v in row] if problem.binary else rows
        return mp.fsum(flat) if reduction == "sum" else mp.fdot(flat, factors)

    return scalar


def _rows(array: Any, axis: int) -> Numbers:
    moved = np.moveaxis(np.asarray(array, dtype=np.float64), axis, -1)
    return moved.reshape(-1, moved.shape[-1])


def _moved(start: Numbers, tangent: Numbers, step: Any) -> Any:
    return [[mpf(a) + step * mpf(b) for a, b in zip(*pair, strict=True)] for pair in zip(start, tangent, strict=True)]


def _cube(values: Any) -> Any:
    """Rows of classes as (2, classes, rows / 2)."""
    rows = np.array([*values, *values[:1]])
    return np.moveaxis(rows.reshape(2, 2, *rows.shape[1:]), -1, 1).tolist()


INDEX = Problem("index")
SOFT_TARGETS = Problem("soft", targets=SOFT)
BINARY = Problem("binary", BINARY_LOGITS, BINARY_LABELS, binary=True)

PROBLEMS = (
    INDEX,
    Problem("index_sum", options={"reduction": "sum"}),
    Problem("index_none", options={"reduction": "none"}),
    Problem("index_axis", logits=_cube(LOGITS), targets=[[2, 1], [0, 2]], options={"axis": 1}),
    Problem("class_weight", options={"class_weight": CLASS_WEIGHT}),
    Problem("both_weights", options={"class_weight": CLASS_WEIGHT, "sample_weight": SAMPLE_WEIGHT}),
    Problem("weights_none", options={"sample_weight": SAMPLE_WEIGHT, "reduction": "none"}),
    Problem("ignored", targets=[2, IGNORED, 0], options={"ignore_index": IGNORED, "class_weight": CLASS_WEIGHT}),
    Problem("removed", options={"sample_weight": [1.0, 0.0, 2.0]}),
    Problem("smoothing", options={"label_smoothing": 0.125}),
    Problem("smoothing_all", options={"label_smoothing": 1.0}),
    Problem("smoothing_weighted", options={"label_smoothing": 0.125, "class_weight": CLASS_WEIGHT}),
    Problem("masked", options={"class_mask": MASK}),
    Problem("row_masked_smoothing", options={"class_mask": ROW_MASK, "label_smoothing": 0.125}),
    Problem("z_loss", options={"z_loss": 0.0625, "sample_weight": SAMPLE_WEIGHT}),
    Problem("softcap", options={"softcap": 2.0}),
    Problem("temperature", options={"temperature": 2.5}),
    Problem("softcap_temperature_z", options={"softcap": 2.0, "temperature": 0.5, "z_loss": 0.0625}),
    Problem("focal", options={"focal_gamma": 2.0}),
    Problem("focal_root", options={"focal_gamma": 0.5}),
    Problem("normalizer", options={"normalizer": 7.0, "class_weight": CLASS_WEIGHT}),
    Problem("everything", options=EVERYTHING),
    SOFT_TARGETS,
    Problem("soft_sum", targets=SOFT, options={"reduction": "sum"}),
    Problem("soft_none", targets=SOFT, options={"reduction": "none"}),
    Problem("soft_axis", logits=_cube(LOGITS), targets=_cube(SOFT), options={"axis": 1}),
    Problem(
        "soft_both_weights",
        targets=SOFT,
        options={"class_weight": CLASS_WEIGHT, "sample_weight": SAMPLE_WEIGHT},
    ),
    Problem("soft_smoothing", targets=SOFT, options={"label_smoothing": 0.25, "class_weight": CLASS_WEIGHT}),
    Problem("soft_masked", targets=MASKED_SOFT, options={"class_mask": MASK, "label_smoothing": 0.125}),
    Problem("soft_focal", targets=SOFT, options={"focal_gamma": 1.5}),
    Problem("soft_z_loss", targets=SOFT, options={"z_loss": 0.0625}),
    Problem("soft_normalizer", targets=SOFT, options={"normalizer": 0.5}),
    Problem("soft_everything", targets=MASKED_SOFT, options=EVERYTHING),
    Problem("probabilities", PROBABILITIES, options={"from_logits": False}),
    Problem("probabilities_soft", PROBABILITIES, SOFT, {"from_logits": False, "sample_weight": SAMPLE_WEIGHT}),
    Problem("probabilities_focal", PROBABILITIES, SOFT, {"from_logits": False, "focal_gamma": 2.0}),
    Problem("probabilities_smoothing", PROBABILITIES, options={"from_logits": False, "label_smoothing": 0.125}),
    BINARY,
    Problem("binary_none", BINARY_LOGITS, BINARY_SOFT, {"reduction": "none"}, binary=True),
    Problem("binary_pos_weight", BINARY_LOGITS, BINARY_LABELS, {"pos_weight": POS_WEIGHT}, binary=True),
    Problem("binary_sample_weight", BINARY_LOGITS, BINARY_SOFT, {"sample_weight": BINARY_WEIGHT}, binary=True),
    Problem("binary_smoothing", BINARY_LOGITS, BINARY_SOFT, {"label_smoothing": 0.125}, binary=True),
    Problem("binary_focal", BINARY_LOGITS, BINARY_LABELS, {"focal_gamma": 2.0, "focal_alpha": 0.25}, binary=True),
    Problem(
        "binary_focal_soft",
        BINARY_LOGITS,
        BINARY_SOFT,
        {"focal_gamma": 1.5, "pos_weight": POS_WEIGHT},
        binary=True,
    ),
    Problem("binary_probabilities", BINARY_PROBABILITIES, BINARY_LABELS, {"from_logits": False}, binary=True),
    Problem(
        "binary_probabilities_focal",
        BINARY_PROBABILITIES,
        BINARY_SOFT,
        {"from_logits": False, "focal_gamma": 2.0, "label_smoothing": 0.125},
        binary=True,
    ),
)


def softmax_hessian(logits: Any) -> Numbers:
    """Second derivative of each row's cross-entropy, diag(p) - p p^T: of shape (rows, classes, classes)."""
    x = np.asarray(logits, dtype=np.float64)
    odds = np.exp(x - x.max(axis=-1, keepdims=True))
    p = odds / odds.sum(axis=-1, keepdims=True)
    return p[:, :, None] * np.eye(x.shape[-1]) - p[:, :, None] * p[:, None, :]


def softmax_gradient(logits: Any, targets: Any) -> Numbers:
    """First derivative of each row's cross-entropy with soft targets, (sum t) p - t."""
    x, t = np.asarray(logits, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    odds = np.exp(x - x.max(axis=-1, keepdims=True))
    return t.sum(axis=-1, keepdims=True) * odds / odds.sum(axis=-1, keepdims=True) - t


def assert_close(found: Any, expected: Any, dtype: str = "float64") -> None:
    """Equal to some tens of rounding errors of the largest number around."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    bound = 64.0 * np.finfo(dtype).eps
    np.testing.assert_allclose(found, expected, rtol=bound, atol=bound * np.max(np.abs(expected), initial=0.0))


def assert_derivatives(problem: Problem, found: tuple[Any, ...], exact: tuple[Numbers, Numbers], dtype: str) -> None:
    """One derivative per differentiated array."""
    of_logits, *of_targets = found
    assert_close(of_logits, exact[0], dtype)
    assert len(of_targets) == int(problem.soft)
    for t in of_targets:
        assert_close(np.asarray(t)[problem.settled], exact[1][problem.settled], dtype)
