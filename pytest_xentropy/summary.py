"""The section of pytest's report."""

from __future__ import annotations

import pytest

from pytest_xentropy.fixture import PROPERTY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for every comparison, failed or not, in the order of the tests.

    They are read from the tests' properties, which is what travels from the workers of a parallel run.
    """
    reports = [report for several in terminalreporter.stats.values() for report in several]
    called = [report for report in reports if getattr(report, "when", None) == "call"]
    lines = [
        (report.nodeid, value)
        for report in sorted(called, key=lambda report: report.nodeid)
        for name, value in report.user_properties
        if name == PROPERTY
    ]
    if not lines:
        return
    terminalreporter.section("parity")
    for nodeid, text in lines:
        terminalreporter.write_line(nodeid)
        terminalreporter.write_line(f"    {text}", red=text.startswith("FAILED"))
