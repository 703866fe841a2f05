"""optax with ours in place of its losses, and without a trace of them afterwards."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import jax.numpy as jnp
import optax
import optax.losses
import pytest

import xentropy_jax as ours
from xentropy_jax.patching import _OURS as OURS

EVERYWHERE = [
    (module, name)
    for module in (optax, optax.losses, sys.modules["optax.losses._classification"])
    for name in OURS
    if not (module is optax and name == "poly_loss_cross_entropy")  # optax itself doesn't offer it there
]


def held() -> dict[tuple[str, str], Any]:
    """Everything that the loaded modules of optax hold."""
    modules = {name: module for name, module in sys.modules.items() if f"{name}.".startswith("optax.")}
    return {(name, key): value for name, module in modules.items() for key, value in vars(module).items()}


def test_every_place_is_patched_and_put_back() -> None:
    before = held()
    with ours.patched():
        for module, name in EVERYWHERE:
            assert getattr(module, name) is getattr(ours, name)
        changed = {key for key, value in held().items() if value is not before[key]}
        assert changed == {(module.__name__, name) for module, name in EVERYWHERE}
    after = held()
    assert after.keys() == before.keys()
    assert all(after[key] is before[key] for key in before)


def test_an_exception_puts_everything_back() -> None:
    before = optax.softmax_cross_entropy
    with pytest.raises(RuntimeError, match="from inside"), ours.patched():
        raise RuntimeError("from inside")
    assert optax.softmax_cross_entropy is before


def test_patch_and_unpatch_nest() -> None:
    before = optax.softmax_cross_entropy
    ours.patch()
    with ours.patched():
        pass
    assert optax.softmax_cross_entropy is ours.softmax_cross_entropy
    ours.unpatch()
    assert optax.softmax_cross_entropy is before
    with pytest.raises(RuntimeError):
        ours.unpatch()


def test_code_that_calls_optax_gets_our_numbers() -> None:
    logits, labels = jnp.array([[20.0, 0.0]]), jnp.array([0])
    assert optax.softmax_cross_entropy_with_integer_labels(logits, labels)[0] == 0.0
    with ours.patched():
        assert f"{optax.softmax_cross_entropy_with_integer_labels(logits, labels)[0]:.3e}" == "2.061e-09"


def test_functions_can_be_pickled_while_patched() -> None:
    with ours.patched():
        assert pickle.loads(pickle.dumps(optax.sigmoid_focal_loss)) is ours.sigmoid_focal_loss


def test_the_package_imports_no_optax() -> None:
    script = "import sys, xentropy_jax; print('optax' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
    )
