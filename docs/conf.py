"""How Sphinx builds the reference: ``sphinx-build -W -b html docs docs/_build/html``."""

from __future__ import annotations

import importlib.metadata
import re
from typing import Any

project = "xentropy"
author = "The xentropy authors"
release = importlib.metadata.version("xentropy-array")
copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"xentropy {release}"

add_module_names = False
maximum_signature_line_length = 80
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"Array": "Array", "Arrays": "Arrays", "Reduction": "Reduction"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def display_math(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings set formulas between double dollars, as Markdown does; reStructuredText has a directive."""
    text = re.sub(
        r"^\$\$(.+?)\$\$$",
        lambda formula: ".. math::\n\n" + re.sub(r"(?m)^\s*", "   ", formula[1].strip()) + "\n",
        "\n".join(lines),
        flags=re.DOTALL | re.MULTILINE,
    )
    lines[:] = text.split("\n")


def plain_aliases(*event: Any) -> tuple[str | None, str | None]:
    """``Array`` for the alias that Sphinx spells ``TypeAliasForwardRef('Array')`` within a union."""
    signature, returns = (part and re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", part) for part in event[-2:])
    return signature, returns


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", plain_aliases)
    # Before napoleon, which would take the formula apart.
    app.connect("autodoc-process-docstring", display_math, priority=100)
