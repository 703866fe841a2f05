"""optax's own tests of its classification losses, from its wheel, with ours in optax's place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from optax.losses import _classification_test as theirs

from xentropy_jax import patched

PEER = "optax"
DIFFERENCES: dict[str, str] = {}

# assertWarnsRegex reads an attribute of every module there is, and mpmath has modules that warn when they are read.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mpmath")

for _name, _test_case in vars(theirs).copy().items():
    if _name.endswith("Test"):
        globals()[_name] = _test_case


@pytest.fixture(autouse=True)
def ours() -> Iterator[None]:
    with patched():
        yield
