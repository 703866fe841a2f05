"""The files that commands write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer


def check_directory(file: Path | None, option: str) -> None:
    """Refuse a file that could not be written, before the minutes that measuring takes."""
    if file is not None and not file.parent.is_dir():
        raise typer.BadParameter(f"there is no directory {file.parent}", param_hint=option)


def write_json(file: Path, record: Mapping[str, Any]) -> None:
    """Write plain JSON values."""
    file.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
