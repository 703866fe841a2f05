"""Regenerate the handwritten digits that the parity report judges.

Trains a small classifier on scikit-learn's copy of the UCI optical digits and writes its logits to
``xentropy/parity/data/digits.npz``. Everything is seeded: the same scikit-learn, SciPy and NumPy on the same kind
of processor write the same bytes. Other versions may round the training differently; the data stays as real.

    python tools/make_digits.py

needs scikit-learn and nothing else.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

SEED = 20
PIXEL_RANGE = 16.0
DESTINATION = Path(__file__).resolve().parent.parent / "xentropy" / "parity" / "data" / "digits.npz"


def train(pixels: np.ndarray, labels: np.ndarray) -> MLPClassifier:
    """A network of one hidden layer of 64 units, trained until its loss stops falling."""
    classifier = MLPClassifier(hidden_layer_sizes=(64,), alpha=1e-4, max_iter=400, random_state=SEED)
    return classifier.fit(pixels, labels)


def logits_of(classifier: MLPClassifier, pixels: np.ndarray) -> np.ndarray:
    """What the output layer computes before its softmax, shape (samples, 10), float32."""
    activation = pixels
    for weight, bias in zip(classifier.coefs_[:-1], classifier.intercepts_[:-1], strict=True):
        activation = np.maximum(activation @ weight + bias, 0.0)
    return (activation @ classifier.coefs_[-1] + classifier.intercepts_[-1]).astype(np.float32)


def main() -> None:
    """Train, evaluate and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=DESTINATION)
    output = parser.parse_args().output

    digits = load_digits()
    pixels, labels = digits.data / PIXEL_RANGE, digits.target.astype(np.uint8)
    rows = np.arange(len(labels))
    training, _ = train_test_split(rows, train_size=0.5, random_state=SEED, stratify=labels)
    held_out = ~np.isin(rows, training)

    logits = logits_of(train(pixels[training], labels[training]), pixels)
    np.savez_compressed(output, logits=logits, labels=labels, held_out=held_out)
    right = logits.argmax(axis=1) == labels
    print(f"{output}: {output.stat().st_size:,} bytes")
    print(f"accuracy: {right[~held_out].mean():.4f} trained on, {right[held_out].mean():.4f} held out")


if __name__ == "__main__":
    main()
