"""Parity of a library that has no adapter of its own: it is taken by the name of its namespace."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import array_api_strict as xp
import numpy as np
import pytest
from typer.testing import CliRunner

from xentropy.parity import Loss, ParityError, UnavailableError, assert_parity, discovery
from xentropy.parity.cli import app

BOUNDS = ["--rtol=1e-5", "--atol=1e-6"]
SOURCE = """
    import array_api_strict as xp


    def loss(logits, targets):
        shifted = logits - xp.max(logits, axis=1, keepdims=True)
        log_p = shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
        return -xp.take_along_axis(log_p, xp.astype(targets, xp.int64)[:, None], axis=1)[:, 0]
"""


def test_arrays_go_in_and_come_out_unchanged() -> None:
    adapter = discovery.load("array_api_strict")
    assert adapter.version == xp.__version__
    for dtype in ("float32", "float64", "int32"):
        values = np.asarray([[0.0, 1.0], [-2.0, 96.0]], dtype="float64" if dtype == "float64" else "float32")
        array = adapter.asarray(values, dtype)
        assert adapter.owns(array)
        assert adapter.dtype_name(array) == dtype
        assert adapter.to_numpy(array).dtype == values.dtype
        np.testing.assert_array_equal(adapter.to_numpy(array), values)
    assert not adapter.owns(values)
    with pytest.raises(UnavailableError, match="array_api_strict has no bfloat16"):
        adapter.asarray(values, "bfloat16")


def test_a_module_that_is_no_namespace_has_no_adapter() -> None:
    for name in ("json", "no_such_library"):
        with pytest.raises(ValueError, match=f"arrays of loss is {name!r}: no backend is called {name!r}"):
            assert_parity(Loss(lambda logits, targets: logits, name, name="loss"))
        with pytest.raises(discovery.AdapterError, match="is no namespace of the Array API"):
            discovery.load(name)


def test_our_losses_are_in_the_report() -> None:
    result = CliRunner().invoke(app, ["parity", "--backends=array_api_strict", "--families=examples,digits,soft"])
    assert result.exit_code == 0, result.output
    assert "0.2231  0.3567  0.2231  0.4158" in result.stdout


def test_a_loss_beside_another_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "strict_losses.py").write_text(dedent(SOURCE))
    monkeypatch.chdir(tmp_path)
    call = [
        "strict_losses:loss",
        "--arrays=array_api_strict",
        "--against=numpy",
        "--families=digits",
        "--html=page.html",
    ]
    result = CliRunner().invoke(app, ["parity", *call, *BOUNDS])
    assert result.exit_code == 0, result.output
    assert "strict_losses:loss" in Path("page.html").read_text(encoding="utf-8")


def test_a_wrong_loss_is_found() -> None:
    def doubled(logits: Any, targets: Any) -> Any:
        picked = xp.take_along_axis(logits, xp.astype(targets, xp.int64)[:, None], axis=1)[:, 0]
        return 2 * (xp.log(xp.sum(xp.exp(logits), axis=1)) - picked)

    with pytest.raises(ParityError, match="doubled is off in the loss"):
        assert_parity(Loss(doubled, "array_api_strict"))
