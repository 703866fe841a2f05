"""tf.nn with ours in place of its losses, and without a trace of them afterwards."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest
import tensorflow as tf

import xentropy_tensorflow as ours
from xentropy_tensorflow.patching import _OURS as OURS


def held() -> dict[tuple[str, str], Any]:
    """Everything that the loaded modules of TensorFlow hold."""
    modules = {name: module for name, module in sys.modules.items() if f"{name}.".startswith("tensorflow.")}
    return {(name, key): value for name, module in modules.items() for key, value in list(vars(module).items())}


def test_every_place_is_patched_and_put_back() -> None:
    before = held()
    theirs = {id(getattr(tf.nn, name)): name for name in OURS}
    places = {place: theirs[id(value)] for place, value in before.items() if id(value) in theirs}
    assert {("tensorflow._api.v2.nn", name) for name in OURS} <= places.keys()
    with ours.patched():
        during = held()
        for place, name in places.items():
            assert during[place] is getattr(ours, name)
        for name in OURS:
            assert getattr(tf.nn, name) is getattr(tf.compat.v2.nn, name) is getattr(ours, name)
            assert getattr(tf.compat.v1.nn, name) is not getattr(ours, name)
        assert {place for place, value in during.items() if value is not before.get(place, value)} == places.keys()
    after = held()
    assert all(after[place] is value for place, value in before.items())
    # A module that was loaded meanwhile has none of ours, either.
    left = {place for place, value in after.items() if any(value is function for function in OURS.values())}
    assert left == set()


def test_an_exception_puts_everything_back() -> None:
    before = tf.nn.sigmoid_cross_entropy_with_logits
    with pytest.raises(RuntimeError, match="from inside"), ours.patched():
        raise RuntimeError("from inside")
    assert tf.nn.sigmoid_cross_entropy_with_logits is before


def test_patch_and_unpatch_nest() -> None:
    before = tf.nn.sigmoid_cross_entropy_with_logits
    ours.patch()
    with ours.patched():
        pass
    assert tf.nn.sigmoid_cross_entropy_with_logits is ours.sigmoid_cross_entropy_with_logits
    ours.unpatch()
    assert tf.nn.sigmoid_cross_entropy_with_logits is before
    with pytest.raises(RuntimeError):
        ours.unpatch()


def test_code_that_calls_tf_nn_gets_our_numbers() -> None:
    logits, labels = tf.constant([[20.0, 0.0]]), tf.constant([0])
    assert tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)[0] == 0.0
    with ours.patched():
        assert f"{tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)[0]:.3e}" == "2.061e-09"


def test_our_functions_do_not_call_themselves() -> None:
    with ours.patched():
        loss = ours.weighted_cross_entropy_with_logits(tf.constant([1.0]), tf.constant([0.0]), tf.constant(2.0))
    assert f"{loss[0]:.4f}" == "1.3863"


def test_functions_can_be_pickled_while_patched() -> None:
    with ours.patched():
        function = tf.nn.softmax_cross_entropy_with_logits
        assert pickle.loads(pickle.dumps(function)) is ours.softmax_cross_entropy_with_logits
