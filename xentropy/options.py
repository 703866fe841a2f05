"""Every option of the public functions, checked once and kept in frozen, hashable records."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

if TYPE_CHECKING:
    from xentropy.backend import Backend

P = ParamSpec("P")
T = TypeVar("T")

Reduction = Literal["none", "sum", "mean"]
Precision = Literal["float64"] | None
Validate = Literal["auto"] | bool

_REDUCTIONS = ("none", "sum", "mean")
# What logits are divided by: neither it nor its reciprocal leaves float32, nor do the quotients of sane logits.
_SCALE = {"low": 1e-20, "high": 1e20}


@dataclass(frozen=True)
class SoftmaxOptions:
    """What shapes the loss of one row of classes; ``checked_labels`` if none of them can be out of range."""

    compute: str
    label_smoothing: float = 0.0
    from_logits: bool = True
    z_loss: float = 0.0
    softcap: float | None = None
    temperature: float = 1.0
    focal_gamma: float = 0.0
    checked_labels: bool = False

    @property
    def activates(self) -> bool:
        """Whether the logits are changed before the softmax."""
        return self.softcap is not None or self.temperature != 1.0


@dataclass(frozen=True)
class SigmoidOptions:
    """What shapes the loss of one element of a binary problem."""

    compute: str
    label_smoothing: float = 0.0
    from_logits: bool = True
    focal_alpha: float | None = None
    focal_gamma: float = 0.0


def remembered(backend: Backend, function: Callable[P, T]) -> Callable[P, T]:
    """The function with its results out of a cache, where nothing that must be seen happens in it.

    Checking the options and putting a program together took 14 us, as much as all of a small loss.
    """
    return function if backend.sees_python() else _remembering(function)


@cache
def _remembering(function: Callable[P, T]) -> Callable[P, T]:
    # By type too: True == 1.0, and only one of them is a number here.
    cached = lru_cache(maxsize=256, typed=True)(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return cached(*args, **kwargs)  # type: ignore[arg-type]
        except TypeError:
            # What can't be hashed is no option either: the function says so in its own words.
            return function(*args, **kwargs)

    return call


def check_number(argument: str, value: Any, *, low: float, high: float = math.inf) -> float:
    """The value as a float, or an error that names the argument, the value and the rule.

    Raises:
        TypeError: the value is no real number (a bool is none).
        ValueError: the value is outside the domain, NaN or infinite.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{argument} must be a real number, got {value!r} of type {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    inside = low <= number <= high
    # No math.isinf: a compiler that keeps the number symbolic can compare it only.
    if not inside or number == math.inf:
        rule = f"in [{low:g}, {high:g}]" if high != math.inf else f"finite and >= {low:g}"
        raise ValueError(f"{argument} must be {rule}, got {value!r}")
    return number


def check_flag(argument: str, value: Any) -> bool:
    """The value if it is a bool, TypeError otherwise."""
    if not isinstance(value, bool):
        raise TypeError(f"{argument} must be True or False, got {value!r}")
    return value


def check_choices(reduction: Any, precision: Any, validate: Any, normalizer: Any) -> None:
    """Raise ValueError for a reduction, precision or validate that does not exist, or a normalizer without a mean."""
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(map(repr, _REDUCTIONS))}, got {reduction!r}")
    if precision not in (None, "float64"):
        raise ValueError(f"precision must be None or 'float64', got {precision!r}")
    if not (isinstance(validate, bool) or validate == "auto"):
        raise ValueError(f"validate must be 'auto', True or False, got {validate!r}")
    if normalizer is not None and reduction != "mean":
        raise ValueError(f"normalizer replaces the denominator of reduction='mean'; reduction is {reduction!r}")


def check_ignore_index(value: Any) -> int | None:
    """The value as an int or None, TypeError for anything else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"ignore_index must be an integer or None, got {value!r}")
    return int(value)


def softmax_options(
    compute: str,
    label_smoothing: Any = 0.0,
    from_logits: Any = True,
    z_loss: Any = 0.0,
    softcap: Any = None,
    temperature: Any = 1.0,
    focal_gamma: Any = 0.0,
) -> SoftmaxOptions:
    """Check the row options of ``cross_entropy`` and keep them.

    Raises:
        TypeError: an option is of the wrong type.
        ValueError: an option is outside its domain, or needs logits where there are probabilities.
    """
    options = SoftmaxOptions(
        compute=compute,
        label_smoothing=check_number("label_smoothing", label_smoothing, low=0.0, high=1.0),
        from_logits=check_flag("from_logits", from_logits),
        z_loss=check_number("z_loss", z_loss, low=0.0),
        softcap=None if softcap is None else check_number("softcap", softcap, **_SCALE),
        temperature=check_number("temperature", temperature, **_SCALE),
        focal_gamma=check_number("focal_gamma", focal_gamma, low=0.0),
    )
    if not options.from_logits:
        _refuse_with_probabilities(options)
    return options


def _refuse_with_probabilities(options: SoftmaxOptions) -> None:
    given = {"z_loss": options.z_loss != 0.0, "softcap": options.softcap is not None}
    given["temperature"] = options.temperature != 1.0
    for argument, present in given.items():
        if present:
            value = getattr(options, argument)
            raise ValueError(f"{argument} acts on logits, so from_logits=False cannot take it; got {value!r}")


def sigmoid_options(
    compute: str, label_smoothing: Any, from_logits: Any, focal_alpha: Any, focal_gamma: Any
) -> SigmoidOptions:
    """Check the element options of ``binary_cross_entropy`` and keep them.

    Raises:
        TypeError: an option is of the wrong type.
        ValueError: an option is outside its domain.
    """
    alpha = None if focal_alpha is None else check_number("focal_alpha", focal_alpha, low=0.0, high=1.0)
    return SigmoidOptions(
        compute=compute,
        label_smoothing=check_number("label_smoothing", label_smoothing, low=0.0, high=1.0),
        from_logits=check_flag("from_logits", from_logits),
        focal_alpha=alpha,
        focal_gamma=check_number("focal_gamma", focal_gamma, low=0.0),
    )
