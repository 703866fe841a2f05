"""What docs/porting.md shows of ``xentropy explain`` is what the command prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent / "porting.md").read_text()
SHOWN = re.findall(r"^```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def printed() -> str:
    command = [sys.executable, "-m", "xentropy", "explain", "--framework", "torch"]
    return without_units(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def without_units(text: str) -> str:
    """Without how many units apart two sums are, which processors decide."""
    return re.sub(r" agrees to .*", " agrees", text)


@pytest.mark.parametrize("shown", SHOWN)
def test_the_page_shows_what_is_printed(shown: str, printed: str) -> None:
    assert without_units(shown) in printed


def test_the_page_shows_something() -> None:
    assert len(SHOWN) == 2
