"""The functions of the Array API that xentropy calls, on Tallies."""

from __future__ import annotations

from typing import Any

from array_api_compat import numpy
from tally.array import compute


def __getattr__(name: str) -> Any:
    member = getattr(numpy, name)
    if isinstance(member, type) or not callable(member):
        return member
    return lambda *args, **kwargs: compute(member, *args, **kwargs)
