"""The PyTorch backend of xentropy."""
