"""Time and memory of every mode, beside the framework's own loss: ``python -m benchmarks --help``."""
