"""The linear loss beside the same framework's loss of all the logits: ``python -m benchmarks linear --help``."""
