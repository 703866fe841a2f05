"""What ``assert_parity`` is asked on frameworks that compile for each shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from test_parity_losses import failure, printed

from xentropy.parity import assert_parity
from xentropy.parity.strategies import by_corner

ONE_SHAPE: dict[str, Any] = {"rows": [3], "classes": [4]}
EASY = by_corner(corners=["plain", "ties"], **ONE_SHAPE)

Loss = Callable[..., Any]


def assert_every_corner_passes(ours: Loss, dtypes: list[str]) -> None:
    """With two derivatives."""
    found = assert_parity(ours, "xentropy", cases=by_corner(dtypes=dtypes, **ONE_SHAPE), examples=28)
    assert found.left_out == ()
    assert set(found.largest()) == {"loss", "gradient", "curvature"}
    assert len(found.worst) == 7


def assert_own_loss_loses_digits(framework: str) -> None:
    """Of confident rows, and of no others."""
    assert_parity(framework, "xentropy", cases=EASY, rtol=1e-4, atol=1e-6)
    options = {"quantities": ["loss"], "cases": by_corner(corners=["confident"], **ONE_SHAPE)}
    error = failure(framework, "xentropy", **options)
    assert error.gap is not None
    assert error.gap.wrong == (True, False)
    again = failure(framework, "xentropy", quantities=["loss"], cases=[printed(error)])
    assert again.case.logits.shape[0] == 1, "what is given loses rows, what is drawn has as many as were asked for"


def assert_wrong_in_a_derivative_only(loss: Loss, given: Loss, quantity: str) -> None:
    """``given`` is the loss, or compiled from it."""
    options: Any = {"rtol": 1e-3, "atol": 1e-6, "cases": EASY}
    assert_parity(given, quantities=["loss"], **options)
    error = failure(given, **options)
    assert error.gap is not None
    assert error.gap.quantity == quantity
    assert str(error).startswith(f"{loss.__name__} is off in the {quantity} at ")
