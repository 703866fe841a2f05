"""Filling in the template."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from xentropy.parity.confidence import CLASSES, ROWS_PER_LEVEL, curves
from xentropy.parity.losses.subject import QUANTITIES
from xentropy.parity.matrix import Adapters, FamilyResult, Miss
from xentropy.parity.page import cells, content, figure, text
from xentropy.parity.page.held import Held

SCRIPTS = ("theme.js", "dialogs.js", "figure.js", "scroll.js")


def write(
    file: Path,
    results: Sequence[FamilyResult],
    misses: Sequence[Miss],
    adapters: Adapters,
    missing: Sequence[str],
    facts: Mapping[str, Any],
    *,
    failures: Sequence[tuple[str, str]] = (),
    held: Held | None = None,
) -> None:
    """Write the page; it says FAIL where there are misses or failures.

    Args:
        file: where to; what is there is replaced.
        results: of all families.
        misses: every bound that was missed.
        adapters: the frameworks that ran.
        missing: the names of those that are not installed.
        facts: ``xentropy``, the version; ``seed``, of the inputs; ``seconds`` that measuring took.
        failures: title and text of all else that the run fails of; a text may have many lines.
        held: a loss that was held against another; its failures are taken from it.
    """
    matrix = content.rows(results, adapters, facts["seed"])
    measured = curves(adapters)
    notes = content.missed(misses, adapters)
    broken = [*failures, *(held.failures() if held else ())]
    page = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            facts=_facts(facts, results),
            columns=content.columns(adapters),
            missing=missing,
            rows=matrix,
            verdict=content.verdict(len(notes), len(broken)),
            failures=broken,
            held=held,
            quantities=QUANTITIES,
            missed=notes,
            failed=content.failed(matrix),
            series=figure.series(measured, content.curve_names(measured, adapters)),
            figure=figure,
            rows_per_level=ROWS_PER_LEVEL,
            classes=CLASSES,
            buckets=cells.BUCKETS,
            style=_inlined("page.css"),
            script=Markup("\n").join(_inlined(name) for name in SCRIPTS),
        )
    )
    file.write_text(page, encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("xentropy.parity.page", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(scientific=text.scientific, exact=text.exact, percent=text.percent)
    return environment


def _facts(facts: Mapping[str, Any], results: Sequence[FamilyResult]) -> dict[str, Any]:
    return {
        **facts,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "time": datetime.now(UTC),
        "cases": sum(len(result.cases) for result in results),
        "families": len(results),
    }


def _inlined(name: str) -> Markup:
    # Ours, not the user's: nothing in it is to be escaped.
    return Markup((files("xentropy.parity.page") / name).read_text(encoding="utf-8"))
