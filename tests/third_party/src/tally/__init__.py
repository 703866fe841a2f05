"""Arrays that count how often they are computed with; they are no NumPy arrays and don't speak the Array API."""

from tally.array import Tally, operations

__all__ = ["Tally", "operations"]
