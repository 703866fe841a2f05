"""Gradients: of probabilities that are clipped, of confident logits, of targets that don't sum to 1."""

from __future__ import annotations

import numpy as np
import pytest
from keras_tools import gradient, numpy, tensor

import xentropy_keras as ours


def test_a_probability_that_is_clipped_has_gradient_0():
    slope = gradient(lambda p: ours.binary_crossentropy([1.0, 1.0, 0.0], p, axis=0), [1e-9, 0.5, 1.0])
    np.testing.assert_allclose(slope, [0.0, -2.0 / 3, 0.0], rtol=1e-6)


def test_probabilities_have_the_gradient_of_their_normalisation():
    slope = gradient(lambda p: ours.categorical_crossentropy([[0.0, 1.0, 0.0]], p), [[1.0, 2.0, 5.0]])
    np.testing.assert_allclose(slope, [[1 / 8, 1 / 8 - 1 / 2, 1 / 8]], rtol=1e-6)


@pytest.mark.parametrize("x", [15.0, 20.0, 60.0])
def test_confident_logits_keep_their_gradient(x):
    exact = np.array([-2.0, 1.0, 1.0]) * np.exp(-x) / (1 + 2 * np.exp(-x))
    for loss in (
        lambda z: ours.sparse_categorical_crossentropy(np.array([0]), z, from_logits=True),
        lambda z: ours.categorical_crossentropy([[1.0, 0.0, 0.0]], z, from_logits=True),
    ):
        np.testing.assert_allclose(gradient(loss, [[x, 0.0, 0.0]]), [exact], rtol=1e-6)


@pytest.mark.parametrize("z", [-20.0, 20.0, 60.0])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_binary_logits_keep_their_gradient(z, y):
    slope = gradient(lambda x: ours.binary_crossentropy([y], x, from_logits=True), [z])
    exact = 1 / (1 + np.exp(-z)) if y == 0 else -1 / (1 + np.exp(z))
    np.testing.assert_allclose(slope, [exact], rtol=1e-6)


def test_soft_targets_that_do_not_sum_to_1_have_the_right_gradient():
    targets, logits = np.float32([[1.0, 0.5, 0.5]]), np.float32([[1.0, 2.0, 3.0]])
    p = np.exp(logits) / np.exp(logits).sum()
    slope = gradient(lambda x: ours.categorical_crossentropy(targets, x, from_logits=True), logits)
    np.testing.assert_allclose(slope, 2 * p - targets, rtol=1e-5)


def test_focal_logits_have_a_gradient_however_wrong_they_are():
    slope = gradient(lambda x: ours.categorical_focal_crossentropy([[1.0, 0.0]], x, from_logits=True), [[-50.0, 0.0]])
    np.testing.assert_allclose(slope, [[-0.25, 0.25]], rtol=1e-6)
    slope = gradient(lambda x: ours.binary_focal_crossentropy([1.0], x, from_logits=True), [-50.0])
    np.testing.assert_allclose(slope, [-1.0], rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_the_binary_focal_gradient_is_that_of_its_definition(gamma):
    z, y, step = np.array([-2.0, 0.3, 1.5]), np.array([1.0, 0.0, 0.25]), 1e-6

    def exact(x):
        p = 1 / (1 + np.exp(-x))
        return (y * (1 - p) + (1 - y) * p) ** gamma * -(y * np.log(p) + (1 - y) * np.log(1 - p))

    slope = gradient(lambda x: ours.binary_focal_crossentropy(y, x, gamma=gamma, from_logits=True, axis=0), z)
    np.testing.assert_allclose(slope * 3, (exact(z + step) - exact(z - step)) / (2 * step), rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_a_focal_factor_of_0_has_gradient_0_not_nan(gamma):
    slope = gradient(lambda p: ours.binary_focal_crossentropy([1.0, 0.0], p, gamma=gamma, axis=0), [1.0, 0.0])
    assert np.all(np.isfinite(slope))


def test_smoothed_targets_have_their_gradient_in_both_losses():
    logits = tensor([[2.0, -1.0]])
    p = np.exp(numpy(logits)) / np.exp(numpy(logits)).sum()
    slope = gradient(
        lambda x: ours.categorical_crossentropy([[1.0, 0.0]], x, from_logits=True, label_smoothing=0.2), logits
    )
    np.testing.assert_allclose(slope, p - [[0.9, 0.1]], rtol=1e-5)
