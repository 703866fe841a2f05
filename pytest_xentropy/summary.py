"""The section of pytest's report."""

from __future__ import annotations

import pytest

from pytest_xentropy.fixture import PROPERTY, Property


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for every comparison, failed or not, in the order of the tests' names.

    They are read from the tests' properties, which is what travels from the workers of a parallel run.
    """
    reports = [report for several in terminalreporter.stats.values() for report in several]
    found: dict[str, list[Property]] = {}
    # A test has a report of its fixtures, of itself and of what it clears away; the last one has the properties of all.
    for report in (one for one in reports if isinstance(one, pytest.TestReport)):
        found[report.nodeid] = max(found.get(report.nodeid, []), list(report.user_properties), key=len)
    lines = [(nodeid, str(value)) for nodeid in sorted(found) for name, value in found[nodeid] if name == PROPERTY]
    if not lines:
        return
    terminalreporter.section("parity")
    for nodeid, text in lines:
        terminalreporter.write_line(nodeid)
        terminalreporter.write_line(f"    {text}", red=text.startswith("FAILED"))
