"""What the peers' own tests say of ours: where ours must differ, listed; everything else, counted.

Every module here names its peer (``PEER``) and lists the tests that must fail, with the reason (``DIFFERENCES``, by the
test's name after the file's). Those are expected to fail; one that passes, or that does not exist, or that the
README does not list with its reason, fails the run.
"""

from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import Any

import pytest
from conventions import readme_table
from rich.console import Console
from rich.table import Table

OUTCOMES = ("passed", "failed", "different", "skipped")
COUNTS = pytest.StashKey[dict[str, Counter[str]]]()
PEER = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COUNTS] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what must differ, and refuse a list that names what is not there."""
    found: dict[ModuleType, set[str]] = {}
    for item in items:
        module: Any = getattr(item, "module", None)
        if not hasattr(module, "PEER"):
            continue
        item.stash[PEER] = module.PEER
        config.stash[COUNTS].setdefault(module.PEER, Counter())
        name = item.nodeid.split("::", 1)[1]
        found.setdefault(module, set()).add(name)
        if reason := module.DIFFERENCES.get(name):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    selected = config.option.keyword or config.option.markexpr or any("::" in str(arg) for arg in config.args)
    for module, names in found.items():
        if not selected and (stale := module.DIFFERENCES.keys() - names):
            raise pytest.UsageError(f"{module.__name__}.DIFFERENCES names no test: {', '.join(sorted(stale))}")
        _require_told(module)


def _require_told(module: Any) -> None:
    told = {row[1].strip("`"): row[2] for row in readme_table("| the peer's own tests |")[1:] if row[0] == module.PEER}
    if told != module.DIFFERENCES:
        raise pytest.UsageError(f"the README tells other differences of {module.PEER} than {module.__name__} does")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Tell the report which peer it is about, so that the count survives being run in another process."""
    report = yield
    if peer := item.stash.get(PEER, None):
        report.user_properties.append(("peer", peer))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line a peer: how many of its tests ours passes, and how many differ as listed."""
    counts: dict[str, Counter[str]] = {peer: Counter() for peer in config.stash[COUNTS]}
    named = {"passed": "passed", "failed": "failed", "error": "failed", "xfailed": "different", "skipped": "skipped"}
    for outcome, name in named.items():
        for report in terminalreporter.stats.get(outcome, []):
            peer = dict(getattr(report, "user_properties", ())).get("peer")
            if peer is not None:
                counts.setdefault(peer, Counter())[name] += 1
    if not counts:
        return
    table = Table("the peer's own tests", *OUTCOMES, title="xentropy in the peers' place")
    for peer, count in sorted(counts.items()):
        table.add_row(peer, *(str(count[outcome]) for outcome in OUTCOMES))
    terminalreporter.ensure_newline()
    Console(file=terminalreporter._tw._file, width=100).print(table)
