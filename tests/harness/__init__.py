"""One adapter per backend under test: how to make, read, compile and differentiate with its arrays."""

from harness.base import Harness, Subject
from harness.registry import NAMES, UnavailableError, importable, load

__all__ = ["NAMES", "Harness", "Subject", "UnavailableError", "importable", "load"]
