"""Where and with what a benchmark ran."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from cpuinfo import get_cpu_info


def stamp(packages: Iterable[str]) -> dict[str, Any]:
    """The CPU, how many of its cores may be used, the day, and the versions of packages."""
    cpu = get_cpu_info()
    return {
        "cpu": f"{cpu.get('brand_raw', cpu.get('arch', 'unknown CPU'))}, {len(os.sched_getaffinity(0))} cores",
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": cpu["python_version"].split()[0],
        "versions": {name: version(name) for name in sorted({"numpy", "xentropy-array", *packages})},
    }
