"""The marker, and the options of the command line: what the fixture's calls begin with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

NAME = "parity"
MARKER = (
    "parity(**options): options of assert_parity for the calls of the fixture `parity` in this test, "
    "as ulp, rtol, atol, reduction, examples, seed, cases, quantities. Every test with that fixture has the marker."
)
# Of assert_parity, by the option of the command line that sets them for the whole run.
OPTIONS = {"examples": "--parity-examples", "seed": "--parity-seed"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--parity-examples`` and ``--parity-seed``."""
    group = parser.getgroup("parity", "parity of losses (xentropy)")
    group.addoption("--parity-examples", type=int, metavar="N", help="how many cases are drawn for each comparison")
    group.addoption("--parity-seed", type=int, metavar="N", help="of the drawn cases")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", MARKER)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses the fixture, so that ``-m parity`` selects it.

    Raises:
        pytest.UsageError: a marker of such a test has an argument without a name.
    """
    for item in items:
        if NAME in getattr(item, "fixturenames", ()):
            # The workers of a parallel run can only break off: there it is the test that says so.
            if not hasattr(config, "workerinput"):
                _check(item)
            item.add_marker(NAME)


def _check(item: pytest.Item) -> None:
    for marker in item.iter_markers(NAME):
        if marker.args:
            raise pytest.UsageError(f"{item.nodeid}: parity{marker.args!r}: the marker takes options by name only")


def options_of(node: pytest.Item) -> dict[str, Any]:
    """What markers and the command line say; the closest marker wins, and any marker over the command line."""
    _check(node)
    options = {name: node.config.getoption(option) for name, option in OPTIONS.items()}
    options = {name: value for name, value in options.items() if value is not None}
    for marker in reversed(list(node.iter_markers(NAME))):
        options = over(options, marker.kwargs)
    return options


def over(outer: dict[str, Any], inner: Mapping[str, Any]) -> dict[str, Any]:
    """The options of both, the inner ones first; a bound in ulp takes the place of a relative one, and the reverse."""
    replaced = {"ulp", "rtol"} if {"ulp", "rtol"} & set(inner) else set()
    return {name: value for name, value in outer.items() if name not in replaced} | dict(inner)
