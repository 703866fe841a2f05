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

from xentropy.parity import snippet
from xentropy.parity.confidence import CLASSES, ROWS_PER_LEVEL, curves
from xentropy.parity.matrix import Adapters, FamilyResult, Miss
from xentropy.parity.page import cells, content, figure, text

SCRIPTS = ("theme.js", "dialogs.js", "figure.js")


def write(
    file: Path,
    results: Sequence[FamilyResult],
    misses: Sequence[Miss],
    adapters: Adapters,
    missing: Sequence[str],
    facts: Mapping[str, Any],
) -> None:
    """Write the page.

    Args:
        file: where to; what is there is replaced.
        results: of all families.
        misses: every bound that was missed.
        adapters: the frameworks that ran.
        missing: the names of those that are not installed.
        facts: ``xentropy``, the version; ``seed``, of the inputs; ``seconds`` that measuring took.
    """
    matrix = content.rows(results, adapters, facts["seed"])
    measured = curves(adapters)
    page = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            facts=_facts(facts, results),
            columns=content.columns(adapters),
            missing=missing,
            rows=matrix,
            missed=content.missed(misses, adapters),
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
    environment.filters.update(scientific=text.scientific, exact=text.exact, percent=text.percent, call=snippet.call)
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
