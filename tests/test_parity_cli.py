import json
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import xentropy
import xentropy.__main__
from xentropy.parity import discovery
from xentropy.parity.cli import app
from xentropy.parity.families import FAMILIES
from xentropy_numpy.parity import NumPyAdapter

FEW = ["--backends", "numpy", "--families", "examples,digits"]


class Wrong(NumPyAdapter):
    """Brings back a hundred-thousandth too much, as a loss that was computed carelessly would."""

    def to_numpy(self, array: Any) -> Any:
        return super().to_numpy(array) * (1 + 1e-5)


class Misplaced(NumPyAdapter):
    """Claims that nothing is an array of its library."""

    def owns(self, result: Any) -> bool:
        return False


wrong, misplaced = Wrong(), Misplaced()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["parity", *arguments])


def register(monkeypatch: pytest.MonkeyPatch, **entries: str) -> None:
    found = {name: EntryPoint(name, value, discovery.GROUP) for name, value in entries.items()}
    monkeypatch.setattr(discovery, "registered", lambda: found)


def test_bounds_that_are_met_exit_with_0() -> None:
    result = run(*FEW)
    assert result.exit_code == 0, result.output
    assert "PASS" in result.stdout
    assert "0.2231  0.3567  0.2231  0.4158" in result.stdout


def test_the_report_fits_a_log_of_80_columns_without_colours() -> None:
    output = run(*FEW).stdout
    assert "\x1b" not in output
    assert max(len(line.rstrip()) for line in output.splitlines()) <= 80
    assert "[1/2] examples" in output
    assert "[2/2] digits" in output


def test_a_missed_bound_exits_with_1_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, numpy=f"{__name__}:wrong")
    result = run(*FEW)
    assert result.exit_code == 1
    assert "FAIL" in result.stdout
    assert re.search(r"digits/index, numpy: loss, row \d+\n\s+\S+ in place of \S+: \S+ ulp off", result.stdout)
    assert "digits/index, numpy: gradient at the label, row" in result.stdout


def test_a_loss_of_the_wrong_type_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, numpy=f"{__name__}:misplaced")
    result = run(*FEW)
    assert result.exit_code == 1
    assert "digits/index, numpy: returned a numpy.ndarray" in result.stdout
    assert "FAILED" in result.stdout


def test_a_loss_that_raises_is_a_failure_and_the_report_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no kernel\nand a page of traceback")

    monkeypatch.setattr(xentropy, "cross_entropy", broken)
    result = run(*FEW)
    assert result.exit_code == 1
    assert "digits/index, numpy: RuntimeError: no kernel\n" in result.stdout
    assert "0.2231" in result.stdout, "the binary example is not broken"


def test_json_has_every_case_of_every_backend(tmp_path: Path) -> None:
    file = tmp_path / "parity.json"
    assert run(*FEW, "--json", str(file), "--seed", "5").exit_code == 0
    record = json.loads(file.read_text(encoding="utf-8"))
    assert (record["schema"], record["seed"], record["verdict"], record["missed"]) == (1, 5, "pass", [])
    assert set(record) >= {"xentropy", "python", "platform", "not_installed"}
    assert list(record["backends"]) == ["numpy"]
    assert [family["name"] for family in record["families"]] == ["examples", "digits"]
    first = record["families"][0]["cases"][0]
    assert first["expected"] == first["ours"]["numpy"]["example"] == "0.2231"
    assert first["ours"]["numpy"]["array_type"] == "numpy.ndarray"
    for case in (case for family in record["families"] for case in family["cases"]):
        assert set(case) == {"name", "shape", "dtype", "expected", "ours", "native", "spread", "native_spread"}
        loss = case["ours"]["numpy"]["loss"]
        assert set(loss) == {"error", "share", "row", "computed", "exact", "bound"}
        assert loss["share"] <= 1


def test_json_names_what_json_cannot_write(tmp_path: Path) -> None:
    file = tmp_path / "parity.json"
    run("--backends", "numpy", "--families", "minus-inf", "--json", str(file))
    cases = {case["name"]: case for case in json.loads(file.read_text())["families"][0]["cases"]}
    assert cases["at-the-label"]["ours"]["numpy"]["loss"]["exact"] == "inf"


def test_json_has_the_gradients_of_linear_losses(tmp_path: Path) -> None:
    file = tmp_path / "parity.json"
    assert run("--backends", "numpy", "--families", "linear", "--json", str(file)).exit_code == 0
    cases = {case["name"]: case for case in json.loads(file.read_text())["families"][0]["cases"]}
    assert cases["index"]["shape"] == [192, 64]
    assert 0 < cases["index"]["ours"]["numpy"]["gradient_of_products"]["share"] <= 1


def test_json_is_written_when_a_bound_is_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register(monkeypatch, numpy=f"{__name__}:wrong")
    file = tmp_path / "parity.json"
    assert run(*FEW, "--json", str(file)).exit_code == 1
    record = json.loads(file.read_text())
    assert record["verdict"] == "fail"
    assert {"family", "case", "backend", "what", "numbers"} == set(record["missed"][0])


def test_list_names_families_and_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, numpy="xentropy_numpy.parity:adapter", no_such_framework="nowhere:adapter")
    result = run("--list")
    assert result.exit_code == 0
    for name, family in FAMILIES.items():
        assert re.search(rf"^ +{name} +{re.escape(family.title)}", result.stdout, re.MULTILINE)
    assert re.search(r"^ +numpy +installed", result.stdout, re.MULTILINE)
    assert re.search(r"^ +no_such_framework +not installed", result.stdout, re.MULTILINE)


def test_a_framework_that_is_not_there_is_listed_and_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, numpy="xentropy_numpy.parity:adapter", no_such_framework="nowhere:adapter")
    result = run("--families", "examples")
    assert result.exit_code == 0
    assert re.search(r"no_such_framework +not installed", result.stdout)


def test_a_framework_that_is_asked_for_and_not_there_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, numpy="xentropy_numpy.parity:adapter", no_such_framework="nowhere:adapter")
    result = run("--backends", "numpy,no_such_framework")
    assert result.exit_code == 2
    assert "no_such_framework" in result.stderr
    assert "not installed" in result.stderr


def test_an_adapter_that_does_not_load_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, numpy="no_such_module:adapter")
    result = run("--families", "examples")
    assert result.exit_code == 1
    assert "numpy is installed, but its adapter (no_such_module:adapter) does not load" in result.stderr
    assert "ModuleNotFoundError" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backends", "nonsense"], "nonsense"),
        (["--backends", ","], "no backend"),
        (["--families", "nonsense"], "nonsense"),
        (["--families", ","], "empty list"),
        (["--json", "/no/such/directory/parity.json"], "no directory"),
        (["--seed", "-1"], "seed"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_a_wrong_call_exits_with_2(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in re.sub(r"\s+", " ", result.stderr.replace("│", " "))


def test_what_is_missing_for_the_command_line_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(xentropy.__main__, "find_spec", lambda name: None if name in ("rich", "mpmath") else name)
    with pytest.raises(SystemExit) as stopped:
        xentropy.__main__.main()
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "needs rich, mpmath" in message
    assert 'pip install "xentropy-array[parity]"' in message


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "xentropy", "parity", "--list"]
    assert "many-classes" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
