"""The console script ``xentropy``, also ``python -m xentropy``."""

from __future__ import annotations

import sys
from importlib.util import find_spec

_NEEDED = ("typer", "rich", "mpmath")


def main() -> None:
    """Run the command line, or say what to install for it."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        sys.exit(
            f"xentropy: the command line needs {', '.join(missing)}. Install them with\n"
            '    pip install "xentropy-array[parity]"'
        )
    from xentropy.parity.cli import app

    app(prog_name="xentropy")


if __name__ == "__main__":
    main()
