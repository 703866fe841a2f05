"""value_and_grad: one call for every library, NumPy included."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from cases import Case
from harness import Harness, Subject

import xentropy

CASES = [Case.INDEX, Case.EVERYTHING, Case.SOFT_WEIGHTED, Case.IGNORED, Case.BINARY_EVERYTHING]
X, Y = Case.INDEX.value.arrays["logits"], Case.INDEX.value.arrays["targets"]


@pytest.mark.parametrize("problem", [c.value for c in CASES], ids=[c.id for c in CASES])
def test_same_call_everywhere(subject: Subject, problem: Any) -> None:
    """The value is the loss's, the gradient the library's own autodiff's."""
    pair = subject.run(xentropy.value_and_grad(problem.function), problem.arrays, **problem.static)
    value, gradient = (subject.harness.to_numpy(part) for part in pair)
    expected, (slopes,) = subject.run_gradient(problem.function, problem.arrays, **problem.static)
    assert gradient.shape == problem.arrays["logits"].shape
    np.testing.assert_array_max_ulp(value, subject.harness.to_numpy(expected), maxulp=4)
    np.testing.assert_allclose(gradient, subject.harness.to_numpy(slopes), rtol=1e-6, atol=1e-8)


def test_own_array_type(backend: Harness) -> None:
    logits = backend.asarray(X)
    value, gradient = xentropy.value_and_grad(xentropy.cross_entropy)(logits, backend.asarray(Y))
    assert isinstance(value, backend.array_type)
    assert isinstance(gradient, backend.array_type)
    assert backend.dtype(gradient) == "float32"


def test_arguments_go_through(backend: Harness) -> None:
    """By position, by keyword, bound beforehand or around a lambda."""
    logits, labels = backend.asarray(X), backend.asarray(Y)
    ways = [
        xentropy.value_and_grad(xentropy.cross_entropy)(logits, labels, label_smoothing=0.1),
        xentropy.value_and_grad(xentropy.cross_entropy)(logits, targets=labels, label_smoothing=0.1),
        xentropy.value_and_grad(partial(xentropy.cross_entropy, targets=labels, label_smoothing=0.1))(logits),
        xentropy.value_and_grad(lambda x, y: xentropy.cross_entropy(x, y, label_smoothing=0.1))(logits, labels),
    ]
    for value, gradient in ways[1:]:
        assert backend.to_numpy(value) == backend.to_numpy(ways[0][0])
        np.testing.assert_array_equal(backend.to_numpy(gradient), backend.to_numpy(ways[0][1]))


def test_reduction_none(subject: Subject) -> None:
    """No scalar, no gradient: for one row too."""
    call = xentropy.value_and_grad(xentropy.cross_entropy)
    with pytest.raises(ValueError, match="none"):
        subject.run(call, {"logits": X, "targets": Y}, reduction="none")
    with pytest.raises(ValueError, match="none"):
        subject.run(call, {"logits": X[:1], "targets": Y[:1]}, reduction="none")
    with pytest.raises(ValueError, match="none"):
        subject.run(call, {"logits": X[0], "targets": Y[0]}, reduction="none")


def test_label_out_of_range(backend: Harness) -> None:
    """Eager differentiation knows its values."""
    bad = np.array([0, 1, 2, 3, 4])
    with pytest.raises(IndexError, match=r"targets\[4\] is 4"):
        xentropy.value_and_grad(xentropy.cross_entropy)(backend.asarray(X), backend.asarray(bad), validate=True)


@pytest.mark.parametrize("function", [xentropy.cross_entropy, xentropy.binary_cross_entropy])
def test_axis_and_shape(backend: Harness, function: Any) -> None:
    """The gradient has the logits' shape, whatever it is."""
    binary = function is xentropy.binary_cross_entropy
    for shape, axis in (((2, 3, 4), -1), ((2, 4, 3), 1), ((4,), 0), ((4, 1), 0)):
        labels = np.zeros(shape if binary else tuple(np.delete(shape, axis)), np.int32)
        options = {} if binary else {"axis": axis}
        _, gradient = xentropy.value_and_grad(function)(
            backend.asarray(np.ones(shape, np.float32)), backend.asarray(labels), **options
        )
        assert tuple(gradient.shape) == shape


WITHOUT_AUTODIFF = {
    "scaled": lambda x, y: 2 * xentropy.cross_entropy(x, y),
    "added": lambda x, y: xentropy.cross_entropy(x, y) + xentropy.cross_entropy(x, y, reduction="sum"),
    "two": lambda x, y: (xentropy.cross_entropy(x, y), xentropy.cross_entropy(x, y))[1],
    "other logits": lambda x, y: xentropy.cross_entropy(x + 1, y),
    "no loss": lambda x, y: x[0, 0],
    "statistics": lambda x, y: xentropy.token_statistics(x[0, :], y[0]).entropy,
}


@pytest.mark.parametrize("name", WITHOUT_AUTODIFF)
def test_without_autodiff_only_the_loss_itself(plain: Harness, name: str) -> None:
    """Where nothing differentiates, a loss that is not one unchanged xentropy loss is refused, not guessed."""
    with pytest.raises(TypeError, match="value_and_grad"):
        xentropy.value_and_grad(WITHOUT_AUTODIFF[name])(plain.asarray(X), plain.asarray(Y))


def test_with_autodiff_any_loss(differentiating: Harness) -> None:
    """Where the library differentiates, any scalar function of the logits will do."""
    logits, labels = differentiating.asarray(X), differentiating.asarray(Y)
    _, once = xentropy.value_and_grad(xentropy.cross_entropy)(logits, labels)
    _, twice = xentropy.value_and_grad(lambda x, y: 2 * xentropy.cross_entropy(2 * x, y))(0.5 * logits, labels)
    np.testing.assert_allclose(
        differentiating.to_numpy(twice), 4 * differentiating.to_numpy(once), rtol=2e-6, atol=1e-9
    )


def test_nothing_stays_recorded(plain: Harness) -> None:
    """A loss that raises leaves nothing behind for the next."""
    logits, labels = plain.asarray(X), plain.asarray(Y)

    def broken(x: Any) -> Any:
        xentropy.cross_entropy(x, labels)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        xentropy.value_and_grad(broken)(logits)
    nested = xentropy.value_and_grad(lambda x: xentropy.cross_entropy(x, labels))
    np.testing.assert_array_equal(
        plain.to_numpy(nested(logits)[1]),
        plain.to_numpy(xentropy.value_and_grad(xentropy.cross_entropy)(logits, labels)[1]),
    )
