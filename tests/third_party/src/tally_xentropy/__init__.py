"""xentropy's backend for tally."""
