from importlib.util import find_spec

import numpy as np
import pytest
from harness import Harness

from xentropy.parity import discovery
from xentropy.parity.adapter import ParityAdapter, UnavailableError
from xentropy.parity.families import FAMILIES
from xentropy.parity.judge import judge
from xentropy.parity.matrix import run_case
from xentropy.parity.measure import native, ours
from xentropy.parity.reference import reference

Adapters = dict[str, ParityAdapter]


@pytest.fixture(scope="module")
def adapters(requested: tuple[Harness, ...]) -> Adapters:
    """Those of the backends under test; NumPy's where they have none, so that there is always one."""
    names = [one.name for one in requested if one.name in discovery.registered()] or ["numpy"]
    return {name: discovery.load(name) for name in names}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int32"])
def test_arrays_go_in_and_come_out_unchanged(adapters: Adapters, dtype: str) -> None:
    values = np.asarray([[0.0, 1.0, -2.0], [96.0, 3.0, -7.0]], dtype="float64" if dtype == "float64" else "float32")
    for name, adapter in adapters.items():
        with adapter.scope(dtype):
            if (name, dtype) == ("numpy", "bfloat16") and find_spec("ml_dtypes") is None:
                with pytest.raises(UnavailableError, match="needs ml_dtypes"):
                    adapter.asarray(values, dtype)
                continue
            array = adapter.asarray(values, dtype)
            assert adapter.owns(array), name
            assert adapter.dtype_name(array) == dtype, name
            found = adapter.to_numpy(array)
        assert found.dtype == values.dtype, name
        np.testing.assert_array_equal(found, values)


def test_arrays_of_another_kind_are_not_owned(adapters: Adapters) -> None:
    for adapter in adapters.values():
        assert not adapter.owns([1.0])


def test_our_linear_loss_is_right_and_typed(adapters: Adapters) -> None:
    (given,) = (one for one in FAMILIES["linear"].cases(0) if one.name == "soft-smoothed")
    for name, adapter in adapters.items():
        outcome = ours(adapter, given)
        assert outcome.fault == "", name
        assert [gradient.shape for gradient in outcome.products] == [(192, 16), (64, 16), (64,)]
        verdict = judge(given, reference(given), outcome)
        for worst in (verdict.loss, verdict.products):
            assert worst is not None
            assert worst.share <= 1, name


def test_our_loss_is_right_and_typed(adapters: Adapters) -> None:
    (given,) = (one for one in FAMILIES["digits"].cases(0) if one.name == "index")
    for name, adapter in adapters.items():
        outcome = ours(adapter, given)
        assert outcome.fault == "", name
        verdict = judge(given, reference(given), outcome)
        for worst in (verdict.loss, verdict.label, verdict.elsewhere):
            assert worst is not None
            assert worst.share <= 1, name


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("digits", "index"),
        ("soft", "spread"),
        ("weighted", "sample"),
        ("weighted", "class"),
        ("binary", "soft"),
        ("linear", "index"),
    ],
)
def test_the_own_loss_computes_what_the_reference_does(adapters: Adapters, family: str, name: str) -> None:
    """Not to the last bit, but the same mathematics: else the columns beside each other compare nothing."""
    (given,) = (one for one in FAMILIES[family].cases(0) if one.name == name)
    exact = reference(given)
    for adapter in adapters.values():
        outcome = native(adapter, given)
        assert outcome.fault == ""
        if outcome.loss is None:
            assert outcome.skipped == "no such loss"
            continue
        np.testing.assert_allclose(outcome.loss, exact.loss, rtol=1e-4, atol=1e-5)
        if outcome.gradient is not None:
            np.testing.assert_allclose(outcome.gradient, exact.gradient, rtol=1e-4, atol=1e-5)


def test_the_examples_have_their_four_decimals(adapters: Adapters) -> None:
    for name in adapters:
        found = [run_case(given, {name: adapters[name]}).ours[name].example for given in FAMILIES["examples"].cases(0)]
        assert found == ["0.2231", "0.3567", "0.2231", "0.4158"], name
