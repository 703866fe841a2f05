"""The TensorFlow backend of xentropy."""
