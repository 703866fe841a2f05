"""The JAX backend of xentropy."""
