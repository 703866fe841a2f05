"""The fixture: ``assert_parity`` that tells the report what it has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_xentropy.marker import options_of, over

if TYPE_CHECKING:
    from xentropy.parity import Agreement, ParityError

PROPERTY = "parity"
Property = tuple[str, object]


class Parity:
    """What the fixture ``parity`` gives: called as ``xentropy.parity.assert_parity``, with the test's options.

    Example::

        @pytest.mark.parity(rtol=1e-6)
        def test_the_served_loss_is_the_trained_one(parity):
            parity(trained_loss, served_loss, reduction="mean")
    """

    def __init__(self, options: dict[str, Any], properties: list[Property]) -> None:
        self._options = options
        self._properties = properties

    def __call__(self, loss_a: Any, loss_b: Any = "exact", **options: Any) -> Agreement:
        """Compare, and record; the arguments are those of ``assert_parity``, which go before the marker's."""
        __tracebackhide__ = True
        from xentropy.parity import ParityError, assert_parity  # noqa: PLC0415 (see the package)

        try:
            agreement = assert_parity(loss_a, loss_b, **over(self._options, options))
        except ParityError as error:
            self._properties += _of_failure(error)
            raise
        self._properties += _of(agreement)
        return agreement


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> Parity:
    """Assert that two losses compute the same numbers: call it as ``xentropy.parity.assert_parity``."""
    return Parity(options_of(request.node), request.node.user_properties)


def _of(agreement: Agreement) -> list[Property]:
    largest = agreement.largest()
    parts = [f"{name} {gap.apart:.3g} of {gap.allowed:.3g} ulp" for name, gap in largest.items()]
    parts += [f"no {name}" for name in agreement.left_out]
    text = f"{' and '.join(agreement.names)}: {agreement.cases} cases, {', '.join(parts)}"
    return [(PROPERTY, text), *((f"{PROPERTY}.{name}.ulp", gap.apart) for name, gap in largest.items())]


def _of_failure(error: ParityError) -> list[Property]:
    text = (PROPERTY, f"FAILED {str(error).partition(chr(10))[0]}")
    return [text] if error.gap is None else [text, (f"{PROPERTY}.{error.gap.quantity}.ulp", error.gap.apart)]
