"""How much memory the process takes at its peak, as Linux counts it."""

from __future__ import annotations

from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """The most memory that was resident since this was made, beyond what was there then.

    It counts whole pages of the whole process, so it wants a process of its own.
    """

    def __init__(self) -> None:
        if not CLEAR.exists():
            raise SystemExit("peak memory is read from /proc, which only Linux has")
        # 5: the peak begins anew (proc(5)). Imports and the reading of weights may have taken more than they kept.
        CLEAR.write_text("5")
        self._before = _status("VmRSS")

    def bytes(self) -> int:
        """So far."""
        return _status("VmHWM") - self._before


def _status(field: str) -> int:
    return next(int(line.split()[1]) * 1024 for line in STATUS.read_text().splitlines() if line.startswith(field))
