"""``assert_parity`` on TensorFlow: losses by functions, compiled or not, and name, with two derivatives."""

from typing import Any

import pytest
import tensorflow as tf
from compiled_losses import (
    EASY,
    ONE_SHAPE,
    assert_every_corner_passes,
    assert_own_loss_loses_digits,
    assert_wrong_in_a_derivative_only,
)
from test_parity_losses import failure

import xentropy
from xentropy.parity import assert_parity
from xentropy.parity.strategies import by_corner


def ours(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    return xentropy.cross_entropy(logits, targets, reduction="none")


def wrong_slope(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    right = ours(logits, targets)
    return 2 * right - tf.stop_gradient(right)


def flat_slope(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Right in value and gradient, whose own derivative is cut off."""
    slope = tf.stop_gradient(tf.nn.softmax(logits) - tf.one_hot(targets, logits.shape[1]))
    return tf.stop_gradient(ours(logits, targets)) + tf.reduce_sum((logits - tf.stop_gradient(logits)) * slope, 1)


@pytest.mark.parametrize("dtypes", [["float32"], ["float64"], ["float16"], ["bfloat16"]])
def test_ours_passes_every_corner_with_two_derivatives(dtypes: list[str]) -> None:
    assert_every_corner_passes(ours, dtypes)


@pytest.mark.parametrize("targets", ["probabilities", "binary"])
def test_ours_passes_with_targets_of_every_kind(targets: str) -> None:
    def loss(logits: tf.Tensor, goal: tf.Tensor) -> tf.Tensor:
        call = xentropy.binary_cross_entropy if len(logits.shape) == 1 else xentropy.cross_entropy
        return call(logits, goal, reduction="none")

    assert_parity(loss, cases=by_corner(targets=targets, **ONE_SHAPE), examples=28)


def test_the_own_loss_loses_digits_of_confident_rows() -> None:
    assert_own_loss_loses_digits("tensorflow")


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("loss", "quantity"), [(wrong_slope, "gradient"), (flat_slope, "curvature")])
def test_a_loss_that_is_wrong_in_a_derivative_only(loss: Any, quantity: str, compiled: bool) -> None:
    assert_wrong_in_a_derivative_only(loss, tf.function(loss) if compiled else loss, quantity)


class Layer(tf.Module):
    """Called as a Keras layer is; its variable is none of the comparison's."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = tf.Variable(1.0)

    def __call__(self, logits: Any, targets: Any) -> Any:
        return self.scale * ours(logits, targets)


def test_whose_arrays_a_module_and_a_compiled_function_take() -> None:
    @tf.function
    def unannotated(logits: Any, targets: Any) -> Any:
        return ours(logits, targets)

    for given, name in ((Layer(), "Layer"), (unannotated, "unannotated")):
        found = assert_parity(given, "xentropy", cases=EASY, examples=4)
        assert found.names == (name, "xentropy on tensorflow")


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_reductions(reduction: str) -> None:
    def reduced(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        return getattr(tf, f"reduce_{reduction}")(ours(logits, targets))

    assert_parity(reduced, "xentropy", cases=EASY, examples=10, reduction=reduction)
    with pytest.raises(ValueError, match=r"returned shape \(\) for logits of shape \(3, 4\), where reduction='none'"):
        assert_parity(reduced, cases=EASY, examples=4)


def test_a_loss_that_does_not_depend_on_the_logits_says_so() -> None:
    def constant(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        return tf.zeros(tf.shape(targets))

    error = failure(constant, cases=EASY)
    assert "constant raised ValueError: the loss does not depend on the logits" in str(error)
