"""The NumPy backend of xentropy."""
