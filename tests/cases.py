"""The one table of cases: every option, alone and in company, with its exact answer.

Each case is five rows of four classes (or five by three binary logits), small enough to be differentiated in many
digits. The matrix runs every case on every backend in every mode.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import reference
from mpmath import mp
from reference import DIGITS, BinaryLoss, Exact, SoftmaxLoss

import xentropy

NAN, INF = np.nan, np.inf
ROWS, CLASSES = 5, 4

LOGITS = [
    [0.25, -1.5, 2.0, 0.75],
    [3.0, 3.0, -2.0, 1.125],
    [-0.5, 0.0, 0.5, 9.0],
    [-20.0, 1.5, 14.0, -3.0],
    [1.0, -0.25, -4.0, 2.5],
]
LABELS = [2, 0, 1, 2, 3]
CLASS_WEIGHTS = [0.5, 2.0, 1.25, 3.0]
SAMPLE_WEIGHTS = [1.0, 0.25, 2.0, 1.5, 0.75]
MASK = [True, True, True, False]
MASKED_LABELS = [2, 0, 1, 2, 0]
ROW_MASK = [
    [True, False, True, True],
    [True, True, True, True],
    [False, True, True, False],
    [False, False, True, False],
    [True, True, False, True],
]
SOFT_TARGETS = [
    [0.1, 0.2, 0.3, 0.4],
    [0.0, 1.0, 0.0, 0.0],
    [0.25, 0.25, 0.25, 0.25],
    [0.0, 0.0, 0.875, 0.125],
    [0.5, 0.0, 0.5, 0.0],
]
MASKED_SOFT_TARGETS = [
    [0.1, 0.6, 0.3, 0.0],
    [0.0, 1.0, 0.0, 0.0],
    [0.25, 0.5, 0.25, 0.0],
    [0.0, 0.0, 1.0, 0.0],
    [0.5, 0.0, 0.5, 0.0],
]
PROBABILITY_ROWS = [
    [0.1, 0.2, 0.3, 0.4],
    [0.8, 0.1, 0.0625, 0.03125],
    [0.25, 0.25, 0.25, 0.25],
    [0.0, 1e-6, 0.99999, 1e-12],
    [0.5, 0.25, 0.125, 0.9],
]
BINARY_LOGITS = [
    [0.25, -1.5, 2.0],
    [-20.0, 20.0, -20.0],
    [0.0, 5.5, -7.25],
    [80.0, -80.0, 45.0],
    [-0.75, 3.0, 1.0],
]
BINARY_LABELS = [[1, 0, 1], [0, 1, 1], [1, 0, 0], [1, 0, 0], [0, 0, 1]]
BINARY_SOFT_TARGETS = [[0.9, 0.1, 0.5], [0.0, 1.0, 0.25], [0.3, 0.7, 0.6], [1.0, 0.0, 0.125], [0.2, 0.4, 0.8]]
BINARY_PROBABILITY_ROWS = [
    [0.8, 0.3, 0.999],
    [1e-6, 0.5, 0.25],
    [0.125, 0.0625, 0.9],
    [1.0, 0.0, 0.75],
    [0.2, 0.4, 0.6],
]
BINARY_WEIGHTS = [[1.0, 0.5, 2.0], [0.25, 3.0, 1.0], [1.5, 1.0, 0.75], [2.0, 2.0, 1.0], [0.5, 1.25, 1.0]]


def floats(values: Any) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.float32)


def with_rows(values: Any, replaced: Mapping[int, Any]) -> np.ndarray[Any, Any]:
    """A copy with some rows replaced."""
    array = np.array(values)
    array = floats(array) if array.dtype.kind == "f" else array
    for row, value in replaced.items():
        array[row] = value
    return array


@dataclass(frozen=True, eq=False)
class Problem:
    """Arguments of one call, as NumPy arrays and plain options."""

    logits: Any = field(default_factory=lambda: LOGITS)
    targets: Any = field(default_factory=lambda: LABELS)
    options: Mapping[str, Any] = field(default_factory=dict)
    binary: bool = False
    # Also run under torch.compile, which takes seconds a case.
    compiled: bool = False

    @property
    def function(self) -> Any:
        return xentropy.binary_cross_entropy if self.binary else xentropy.cross_entropy

    @cached_property
    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """All array arguments; floats are float32."""
        arrays = {name: np.array(v) for name, v in self._everything.items() if isinstance(v, (list, np.ndarray))}
        return {name: floats(a) if a.dtype.kind == "f" else a for name, a in arrays.items()}

    @property
    def static(self) -> dict[str, Any]:
        """All other arguments."""
        return {name: v for name, v in self._everything.items() if not isinstance(v, (list, np.ndarray))}

    @property
    def narrow_slack(self) -> float:
        """Extra ulp where there is no float64 for the number of a row or an element, as in JAX.

        The focal power multiplies every error before it by 1 + gamma (measured: 8.6 ulp at a gamma of 2, 22 at 5).
        Capped logits err by an ulp or two of the cap, and the differences between them keep that (26 at a cap of 10).
        """
        options = self.options
        return 4.0 * options.get("focal_gamma", 0.0) + 3.0 * options.get("softcap", 0.0) / options.get(
            "temperature", 1.0
        )

    @property
    def rounds_logits(self) -> bool:
        """Whether the logits that are compared are quotients, which may be rounded up here and down there."""
        return bool(self.options.keys() & {"softcap", "temperature"})

    @property
    def soft(self) -> bool:
        """Whether the targets are probabilities."""
        return self.arrays["targets"].dtype.kind == "f"

    @property
    def _everything(self) -> dict[str, Any]:
        return {"logits": self.logits, "targets": self.targets, **self.options}

    @cached_property
    def exact(self) -> Answer:
        """What every backend has to say."""
        return _answer(self)


@dataclass(frozen=True)
class Answer:
    """The exact loss of every row, mean, and the mean's gradients; and the spans that rounding depends on."""

    rows: Exact
    mean: Exact
    gradient: Exact
    target_gradient: Exact
    spans: np.ndarray[Any, Any]
    # True where the gradient is that at a hard label, which holds its relative accuracy; its other entries and those
    # of mixed targets are sums of terms of both signs.
    at_label: np.ndarray[Any, Any]
    # What each row's gradient is multiplied by.
    scale: np.ndarray[Any, Any]


def _answer(problem: Problem) -> Answer:
    arrays, options = problem.arrays, dict(problem.options)
    logits, targets = arrays["logits"].copy(), arrays["targets"]
    options.pop("ignore_index", None)
    removed = _removed(problem)
    table = targets if problem.soft or problem.binary else _one_hot(np.where(removed, 0, targets))
    if removed.any():
        options["sample_weight"] = np.where(
            removed, 0.0, arrays.get("sample_weight", np.ones_like(removed, dtype=float))
        )
        keep = ~removed if problem.binary else ~removed[:, None]
        logits, table = np.where(keep, logits, 0.5), np.where(keep, table, 0.0)
    options = {k: np.array(v) if isinstance(v, list) else v for k, v in options.items()}
    # The definition, given the float32 numbers that the backends are given.
    options.update({k: arrays[k] for k in ("class_weight", "pos_weight") if k in arrays})
    if problem.soft and not problem.binary and not options.get("label_smoothing"):
        impossible = logits == (-INF if options.get("from_logits", True) else 0.0)
        options["silent"] = impossible & (table == 0.0)
    loss = (BinaryLoss if problem.binary else SoftmaxLoss)(**options)
    with mp.workdps(DIGITS):
        x, t = reference.numbers(logits), reference.numbers(np.asarray(table, dtype=np.float64))
        rows, mean = Exact.of(loss.rows(x, t)), Exact.of(loss.mean(x, t))
        of_logits = reference.gradient(lambda rows: loss.mean(rows, t), x)
        of_targets = reference.gradient(lambda rows: loss.mean(x, rows), t) if problem.soft else [[mp.mpf(0)]]
    return Answer(
        rows,
        mean,
        Exact.of(of_logits),
        Exact.of(of_targets),
        _spans(problem, logits, table),
        _at_label(problem, table),
        _scale(problem, table, removed, options),
    )


def _removed(problem: Problem) -> np.ndarray[Any, Any]:
    arrays = problem.arrays
    shape = arrays["logits"].shape if problem.binary else arrays["logits"].shape[:1]
    removed = np.zeros(shape, dtype=bool)
    if "ignore_index" in problem.options:
        removed |= arrays["targets"] == problem.options["ignore_index"]
    if "sample_weight" in arrays:
        removed |= arrays["sample_weight"] == 0.0
    return removed


def _one_hot(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.eye(CLASSES)[labels]


def _spans(problem: Problem, logits: np.ndarray[Any, Any], table: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Binary rows are (logit, 0): nothing is subtracted. Probabilities neither."""
    if problem.binary or not problem.options.get("from_logits", True):
        return np.zeros(logits.shape if problem.binary else logits.shape[:1])
    scores = logits.astype(np.float64)
    if "softcap" in problem.options:
        scores = problem.options["softcap"] * np.tanh(scores / problem.options["softcap"])
    scores = scores / problem.options.get("temperature", 1.0)
    if "class_mask" in problem.arrays:
        scores = np.where(problem.arrays["class_mask"], scores, -np.inf)
    counted = (table != 0.0) | bool(problem.options.get("label_smoothing"))
    return np.array([reference.span(x, c) for x, c in zip(scores, counted & np.isfinite(scores), strict=True)])


def _at_label(problem: Problem, table: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Where the target is all on one class, and nothing else pulls at its logit."""
    mixed = any(problem.options.get(name) for name in ("label_smoothing", "z_loss"))
    if mixed:
        return np.zeros(table.shape, dtype=bool)
    if problem.binary:
        return (table == 0.0) | (table == 1.0)
    return (table == 1.0) & (np.count_nonzero(table, axis=-1, keepdims=True) == 1)


def _scale(
    problem: Problem, table: np.ndarray[Any, Any], removed: np.ndarray[Any, Any], options: Mapping[str, Any]
) -> np.ndarray[Any, Any]:
    """The factor on each row's gradient: weights over the denominator, target mass, the options' own slopes."""
    sample = options.get("sample_weight")
    sample = np.ones(removed.shape) if sample is None else np.asarray(sample, dtype=np.float64)
    largest = np.max(problem.arrays.get("class_weight", problem.arrays.get("pos_weight", np.ones(1))))
    weights = problem.arrays.get("class_weight", np.ones(table.shape[-1]))
    counts = sample if problem.binary else sample * (table @ weights)
    denominator = problem.options.get("normalizer") or counts.sum() or 1.0
    mass = np.maximum(1.0, table.sum(axis=-1)) if not problem.binary else 1.0
    slope = 1.0 + problem.options.get("focal_gamma", 0.0) + 40.0 * problem.options.get("z_loss", 0.0)
    scale = np.maximum(1.0, largest) * sample * mass * slope / denominator / problem.options.get("temperature", 1.0)
    scale = scale if problem.binary else scale[:, None]
    return scale if problem.options.get("from_logits", True) else scale * _steepness(problem)


def _steepness(problem: Problem) -> np.ndarray[Any, Any]:
    """The slope of -log p, and for binary problems of -log(1 - p), where p is the input."""
    p = problem.arrays["logits"].astype(np.float64)
    steepness = 1.0 / np.where(p == 0.0, 1.0, p)
    return steepness + 1.0 / np.where(p == 1.0, 1.0, 1.0 - p) if problem.binary else steepness


# Rows 1 and 3 are ignored and full of what must not be looked at.
IGNORED_ROWS = Problem(
    logits=with_rows(LOGITS, {1: [NAN, 1.0, INF, -INF], 3: NAN}),
    targets=with_rows(LABELS, {1: -100, 3: -100}),
    options={"ignore_index": -100},
    compiled=True,
)
REMOVED_ROWS = Problem(
    logits=with_rows(LOGITS, {0: NAN, 2: [INF, NAN, 0.0, 1.0]}),
    targets=with_rows(LABELS, {0: 77, 2: -5}),
    options={"sample_weight": with_rows(SAMPLE_WEIGHTS, {0: 0.0, 2: 0.0})},
)
ALL_OPTIONS = {
    "class_weight": CLASS_WEIGHTS,
    "sample_weight": SAMPLE_WEIGHTS,
    "class_mask": MASK,
    "label_smoothing": 0.125,
    "z_loss": 0.01,
    "softcap": 10.0,
    "temperature": 1.5,
    "focal_gamma": 2.0,
}


class Case(enum.Enum):
    """Named as they read in test ids."""

    INDEX = Problem(compiled=True)
    INDEX_OFFSET = Problem(logits=floats(LOGITS) + 1e6)
    INDEX_MINUS_INF = Problem(logits=with_rows(LOGITS, {0: [0.25, -INF, 2.0, -INF], 3: [-INF, -INF, 14.0, -INF]}))
    CLASS_WEIGHT = Problem(options={"class_weight": CLASS_WEIGHTS})
    CLASS_WEIGHT_ZERO = Problem(options={"class_weight": [1.0, 2.0, 0.0, 0.5]})
    SAMPLE_WEIGHT = Problem(options={"sample_weight": SAMPLE_WEIGHTS})
    BOTH_WEIGHTS = Problem(options={"class_weight": CLASS_WEIGHTS, "sample_weight": SAMPLE_WEIGHTS})
    IGNORED = IGNORED_ROWS
    IGNORED_CLASS = Problem(options={"ignore_index": 2})
    IGNORED_WEIGHTED = Problem(
        logits=IGNORED_ROWS.logits,
        targets=IGNORED_ROWS.targets,
        options={"ignore_index": -100, "sample_weight": with_rows(SAMPLE_WEIGHTS, {1: NAN, 3: INF})},
    )
    IGNORED_SMOOTHING = Problem(
        logits=IGNORED_ROWS.logits, targets=IGNORED_ROWS.targets, options={"ignore_index": -100, "label_smoothing": 0.1}
    )
    IGNORED_ALL = Problem(logits=np.full((ROWS, CLASSES), NAN), targets=[7] * ROWS, options={"ignore_index": 7})
    REMOVED = REMOVED_ROWS
    REMOVED_SOFT = Problem(
        logits=REMOVED_ROWS.logits, targets=with_rows(SOFT_TARGETS, {0: NAN, 2: -1.0}), options=REMOVED_ROWS.options
    )
    SMOOTHING = Problem(options={"label_smoothing": 0.1})
    SMOOTHING_ALL = Problem(options={"label_smoothing": 1.0})
    SMOOTHING_WEIGHTED = Problem(options={"label_smoothing": 0.1, "class_weight": CLASS_WEIGHTS})
    SMOOTHING_DOMINATED = Problem(
        logits=floats(LOGITS) + floats([0.0, 90.0, 0.0, 0.0]),
        targets=[0, 0, 1, 0, 0],
        options={"label_smoothing": 0.1, "class_weight": [1.0, 0.0, 0.0, 0.0]},
    )
    SMOOTHING_MASKED = Problem(targets=MASKED_LABELS, options={"label_smoothing": 0.1, "class_mask": MASK})
    SMOOTHING_ROW_MASKED = Problem(options={"label_smoothing": 0.1, "class_mask": ROW_MASK})
    MASKED = Problem(targets=MASKED_LABELS, options={"class_mask": MASK})
    ROW_MASKED = Problem(options={"class_mask": ROW_MASK})
    TEMPERATURE = Problem(options={"temperature": 2.5})
    SOFTCAP = Problem(options={"softcap": 5.0})
    SOFTCAP_TEMPERATURE = Problem(options={"softcap": 5.0, "temperature": 0.25})
    SOFTCAP_TEMPERATURE_MASKED_Z = Problem(
        targets=MASKED_LABELS, options={"softcap": 5.0, "temperature": 0.5, "class_mask": MASK, "z_loss": 0.1}
    )
    FOCAL = Problem(options={"focal_gamma": 2.0})
    FOCAL_ROOT = Problem(options={"focal_gamma": 0.5})
    FOCAL_SMOOTHING_WEIGHTED = Problem(
        options={"focal_gamma": 1.5, "label_smoothing": 0.1, "class_weight": CLASS_WEIGHTS}
    )
    Z_LOSS = Problem(options={"z_loss": 0.05})
    Z_LOSS_WEIGHTED = Problem(
        options={"z_loss": 0.05, "class_weight": CLASS_WEIGHTS, "sample_weight": SAMPLE_WEIGHTS, "focal_gamma": 1.0}
    )
    NORMALIZER = Problem(options={"normalizer": 7.0, "class_weight": CLASS_WEIGHTS, "sample_weight": SAMPLE_WEIGHTS})
    EVERYTHING = Problem(targets=MASKED_LABELS, options=ALL_OPTIONS, compiled=True)

    SOFT = Problem(targets=SOFT_TARGETS)
    SOFT_MASS = Problem(targets=(2.0 * floats(SOFT_TARGETS)) * floats([[1.0], [0.25], [1.0], [0.5], [3.0]]))
    SOFT_ZERO_ROW = Problem(targets=with_rows(SOFT_TARGETS, {1: 0.0}))
    SOFT_WEIGHTED = Problem(
        targets=SOFT_TARGETS, options={"class_weight": CLASS_WEIGHTS, "sample_weight": SAMPLE_WEIGHTS}
    )
    SOFT_SMOOTHING = Problem(targets=SOFT_TARGETS, options={"label_smoothing": 0.25, "class_weight": CLASS_WEIGHTS})
    SOFT_MASKED = Problem(targets=MASKED_SOFT_TARGETS, options={"class_mask": MASK, "label_smoothing": 0.1})
    SOFT_FOCAL = Problem(targets=SOFT_TARGETS, options={"focal_gamma": 2.0})
    SOFT_Z_LOSS = Problem(
        targets=with_rows(SOFT_TARGETS, {1: 0.0}), options={"z_loss": 0.05, "sample_weight": SAMPLE_WEIGHTS}
    )
    SOFT_MINUS_INF = Problem(
        logits=with_rows(LOGITS, {1: [-INF, 3.0, -INF, 1.125], 3: [-INF, -INF, 14.0, 7.0], 4: [1.0, -INF, -4.0, -INF]}),
        targets=SOFT_TARGETS,
        compiled=True,
    )
    SOFT_NORMALIZER = Problem(targets=SOFT_TARGETS, options={"normalizer": 0.5})
    SOFT_EVERYTHING = Problem(targets=MASKED_SOFT_TARGETS, options=ALL_OPTIONS)

    PROBABILITIES = Problem(logits=PROBABILITY_ROWS, options={"from_logits": False})
    PROBABILITIES_SOFT = Problem(
        logits=PROBABILITY_ROWS, targets=SOFT_TARGETS, options={"from_logits": False, "sample_weight": SAMPLE_WEIGHTS}
    )
    PROBABILITIES_FOCAL = Problem(
        logits=PROBABILITY_ROWS, targets=SOFT_TARGETS, options={"from_logits": False, "focal_gamma": 2.0}
    )
    PROBABILITIES_SMOOTHING = Problem(
        logits=np.maximum(floats(PROBABILITY_ROWS), 2.0**-20),
        options={"from_logits": False, "label_smoothing": 0.1, "class_weight": CLASS_WEIGHTS},
    )

    BINARY = Problem(BINARY_LOGITS, BINARY_LABELS, binary=True)
    BINARY_SOFT = Problem(BINARY_LOGITS, BINARY_SOFT_TARGETS, binary=True)
    BINARY_POS_WEIGHT = Problem(BINARY_LOGITS, BINARY_LABELS, {"pos_weight": [[3.0, 0.5, 1.25]] * ROWS}, binary=True)
    BINARY_SAMPLE_WEIGHT = Problem(BINARY_LOGITS, BINARY_SOFT_TARGETS, {"sample_weight": BINARY_WEIGHTS}, binary=True)
    BINARY_REMOVED = Problem(
        with_rows(BINARY_LOGITS, {0: NAN, 2: INF}),
        with_rows(BINARY_LABELS, {0: 9, 2: -1}),
        {"sample_weight": with_rows(BINARY_WEIGHTS, {0: 0.0, 2: 0.0})},
        binary=True,
    )
    BINARY_SMOOTHING = Problem(BINARY_LOGITS, BINARY_LABELS, {"label_smoothing": 0.1}, binary=True)
    BINARY_FOCAL = Problem(BINARY_LOGITS, BINARY_LABELS, {"focal_gamma": 2.0}, binary=True)
    BINARY_FOCAL_ALPHA = Problem(BINARY_LOGITS, BINARY_LABELS, {"focal_alpha": 0.25, "focal_gamma": 1.5}, binary=True)
    BINARY_NORMALIZER = Problem(BINARY_LOGITS, BINARY_LABELS, {"normalizer": 3.0}, binary=True)
    BINARY_EVERYTHING = Problem(
        BINARY_LOGITS,
        BINARY_SOFT_TARGETS,
        {
            "pos_weight": [[3.0, 0.5, 1.25]] * ROWS,
            "sample_weight": BINARY_WEIGHTS,
            "label_smoothing": 0.125,
            "focal_alpha": 0.75,
            "focal_gamma": 2.0,
        },
        binary=True,
        compiled=True,
    )
    BINARY_PROBABILITIES = Problem(BINARY_PROBABILITY_ROWS, BINARY_LABELS, {"from_logits": False}, binary=True)
    BINARY_PROBABILITIES_SOFT = Problem(
        np.clip(floats(BINARY_PROBABILITY_ROWS), 2.0**-20, 0.96875),
        BINARY_SOFT_TARGETS,
        {"from_logits": False, "focal_gamma": 2.0, "pos_weight": [[2.0, 2.0, 0.5]] * ROWS},
        binary=True,
    )

    @property
    def id(self) -> str:
        """As it reads in a test's name."""
        return self.name.lower()
