"""The console script ``xentropy``, also ``python -m xentropy``."""

from __future__ import annotations

import sys
from importlib.util import find_spec

_NEEDED = ("typer", "rich", "mpmath", "jinja2", "hypothesis")


def main() -> None:
    """Run the command line, or say what to install for it."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        print(f"xentropy: the command line needs {', '.join(missing)}. To install them:", file=sys.stderr)
        print('    pip install "xentropy-array[parity]"', file=sys.stderr)
        sys.exit(2)
    from xentropy.parity.cli import app  # noqa: PLC0415 (it needs what was looked for above)

    app(prog_name="xentropy")


if __name__ == "__main__":
    main()
