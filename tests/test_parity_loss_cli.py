"""``xentropy parity package.module:loss``."""

import ast
import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from xentropy.parity.cli import app

LOSSES = """
    import numpy as np

    import xentropy
    from xentropy.parity import Loss


    def log_p(logits):
        shifted = logits - logits.max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


    def naive(logits: np.ndarray, targets):
        return -np.take_along_axis(log_p(logits), targets[:, None], axis=1)[:, 0]


    def silent(logits, targets):
        return naive(logits, targets)


    def flipped(targets, logits):
        return naive(logits, targets)


    def careful(logits: np.ndarray, targets):
        return xentropy.cross_entropy(logits, targets, reduction="none")


    def mean(logits: np.ndarray, targets):
        return xentropy.cross_entropy(logits, targets)


    def smoothed(logits: np.ndarray, targets):
        return xentropy.cross_entropy(logits, targets, label_smoothing=0.1, ignore_index=-100, reduction="none")


    def binary(logits: np.ndarray, targets):
        return xentropy.binary_cross_entropy(logits, targets, reduction="none")


    def forgetful(logits: np.ndarray, targets):
        raise RuntimeError("no such kernel")


    def ignoring(logits: np.ndarray, targets):
        return xentropy.cross_entropy(logits, targets, ignore_index=0, reduction="none")


    def ignoring_mean(logits: np.ndarray, targets):
        return xentropy.cross_entropy(logits, targets, ignore_index=-100)


    def sum_of_all(logits: np.ndarray, targets):
        return xentropy.cross_entropy(logits, targets, reduction="sum")


    def gradient(logits, targets):
        return xentropy.value_and_grad(xentropy.cross_entropy)(logits, targets, reduction="sum")[1]


    differentiated = Loss(careful, "numpy", gradient)
    misled = Loss(careful, "numpy", lambda logits, targets: 2 * gradient(logits, targets))
    swapped = Loss(flipped, "numpy", targets_first=True)
    number = 3
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of the caller's in the directory that the command runs in; its name is new in every test."""
    name = f"package_{tmp_path.name}".replace("-", "_")
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "losses.py").write_text(dedent(LOSSES))
    (tmp_path / name / "losses_broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    return f"{name}.losses"


def unfolded(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def run(loss: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["parity", loss, "--families=digits,confident,binary", *arguments])


def test_a_careful_loss_passes(package: str) -> None:
    result = run(f"{package}:careful")
    assert result.exit_code == 0, result.output
    assert f"own loss: {package}:careful" in unfolded(result.stdout)
    assert f"{package}:careful against the exact value: 4 ulp + span" in unfolded(result.stdout)
    assert "no gradient was compared" in result.stdout
    assert result.stdout.splitlines()[-1] == "PASS  76 cases within the bound"


def test_a_naive_loss_fails_with_its_smallest_case(package: str) -> None:
    result = run(f"{package}:naive", "--json=record.json")
    assert result.exit_code == 1
    assert "<- wrong" in result.stdout
    (line, *_) = [line for line in result.stdout.splitlines() if line.startswith("    case = Case(")]
    assert line.endswith("dtype='float32')"), "a program is not folded"
    record = json.loads(Path("record.json").read_text())["loss"]
    assert record["verdict"] == "fail"
    assert record["loss"] == f"{package}:naive"
    groups = {group["name"]: group for group in record["groups"]}
    assert "<- wrong" in groups["drawn: confident"]["failure"]
    assert groups["drawn: confident"]["ulp"]["loss"]["apart"] > 100
    assert groups["drawn: ties"]["failure"] is None
    assert groups["drawn: ties"]["left_out"] == ["gradient", "curvature"]


def test_a_bound_that_is_wide_enough_passes(package: str) -> None:
    result = run(f"{package}:naive", "--rtol=1e-5", "--atol=1e-6")
    assert result.exit_code == 0, result.output
    assert "against the exact value: rtol 1e-05, atol 1e-06" in unfolded(result.stdout)


def test_a_run_that_fails_says_so_everywhere(package: str) -> None:
    result = run(f"{package}:naive", "--html=page.html", "--json=record.json")
    assert result.exit_code == 1
    html = Path("page.html").read_text(encoding="utf-8")
    assert "<title>xentropy parity: FAIL" in html
    assert f"{package}:naive is off in the loss" in html
    assert json.loads(Path("record.json").read_text())["verdict"] == "fail"
    Path("page.html").unlink()
    assert run(f"{package}:careful", "--html=page.html", "--json=record.json").exit_code == 0
    assert "<title>xentropy parity: PASS" in Path("page.html").read_text(encoding="utf-8")
    assert json.loads(Path("record.json").read_text())["verdict"] == "pass"


@pytest.mark.parametrize(
    ("loss", "options"),
    [("naive", ["--rtol=1"]), ("mean", ["--reduction=mean"]), ("differentiated", []), ("swapped", ["--rtol=1"])],
)
def test_programs_of_the_page_call_the_loss(package: str, loss: str, options: list[str]) -> None:
    assert run(f"{package}:{loss}", "--html=page.html", *options).exit_code == 0
    page = Path("page.html").read_text(encoding="utf-8")
    programs = [unescape(program) for program in re.findall(r"<code>(.*?)</code>", page, re.DOTALL)]
    (first, *_) = [program for program in programs if f"import {package}" in program]
    done = subprocess.run([sys.executable, "-c", first], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.isfinite(np.array(ast.literal_eval(done.stdout))).all()


def test_another_loss_or_ours_on_the_other_side(package: str) -> None:
    assert run(f"{package}:careful", "--against=xentropy", "--ulp=0").exit_code == 0
    assert run(f"{package}:careful", f"--against={package}:differentiated", "--ulp=0").exit_code == 0
    result = run(f"{package}:careful", f"--against={package}:naive")
    assert result.exit_code == 1
    assert f"{package}:careful and {package}:naive differ" in result.stdout


def test_a_wrong_gradient_fails(package: str) -> None:
    assert run(f"{package}:differentiated").exit_code == 0
    result = run(f"{package}:misled")
    assert result.exit_code == 1
    assert "is off in the gradient" in result.stdout


def test_whose_arrays_it_takes(package: str) -> None:
    result = run(f"{package}:silent")
    assert result.exit_code == 2
    assert "whose arrays does" in unfolded(result.output)
    assert run(f"{package}:silent", "--arrays=numpy", "--rtol=1e-5", "--atol=1e-6").exit_code == 0
    assert run(f"{package}:flipped", "--arrays=numpy", "--targets-first", "--rtol=1e-5", "--atol=1e-6").exit_code == 0


def test_a_mean_is_reported_row_by_row(package: str) -> None:
    result = run(f"{package}:mean", "--reduction=mean", "--json=record.json")
    assert result.exit_code == 0, result.output
    record = json.loads(Path("record.json").read_text())
    (case, *_) = record["families"][0]["cases"]
    assert case["shape"] == [24, 10]
    assert case["native"]["numpy"]["loss"]["share"] <= 1


def test_the_conventions_of_the_loss_choose_the_cases(package: str) -> None:
    smoothed = ["--label-smoothing=0.1", "--ignore-index=-100"]
    result = CliRunner().invoke(app, ["parity", f"{package}:smoothed", "--families=smoothing,digits", *smoothed])
    assert result.exit_code == 0, result.output
    assert "[1/1] smoothing" in result.stdout
    assert "drawn: confident" in result.stdout
    assert "drawn: minus-inf" not in result.stdout, "which has no finite loss"
    wrong = CliRunner().invoke(app, ["parity", f"{package}:careful", "--families=smoothing", "--label-smoothing=0.1"])
    assert wrong.exit_code == 1, "it doesn't smooth"
    result = run(f"{package}:binary", "--targets=binary")
    assert result.exit_code == 0, result.output
    assert "binary" in result.stdout


def test_what_a_loss_ignores_is_ignored_in_every_case(package: str) -> None:
    result = run(f"{package}:ignoring", "--ignore-index=0")
    assert result.exit_code == 0, result.output
    mean = ["--families=ignored,digits", "--ignore-index=-100", "--reduction=mean"]
    result = CliRunner().invoke(app, ["parity", f"{package}:ignoring_mean", *mean])
    assert result.exit_code == 0, result.output
    assert "left out" not in result.stdout


def test_a_sum_in_the_place_of_a_mean_is_shown_as_one(package: str) -> None:
    result = run(f"{package}:sum_of_all", "--reduction=mean", f"--against={package}:mean")
    assert result.exit_code == 1
    assert f"{package}:sum_of_all and {package}:mean differ in the loss" in unfolded(result.stdout)
    assert "2 x 2, float32" in result.stdout, "of one row a sum is a mean"


def test_families_that_do_not_fit_are_named(package: str) -> None:
    assert "left out, since LOSS computes something else: binary" in unfolded(run(f"{package}:careful").stdout)


def test_a_loss_that_raises_fails(package: str) -> None:
    result = run(f"{package}:forgetful")
    assert result.exit_code == 1
    assert f"{package}:forgetful raised RuntimeError: no such kernel" in result.stdout


def test_page_and_baseline_are_of_the_loss(package: str) -> None:
    assert run(f"{package}:careful", "--html=page.html", "--save=baseline.json").exit_code == 0
    assert f"{package}:careful" in Path("page.html").read_text(encoding="utf-8")
    assert run(f"{package}:careful", "--compare=baseline.json").exit_code == 0
    saved = Path("baseline.json").read_text().replace("careful", "naive")
    Path("baseline.json").write_text(saved)
    result = run(f"{package}:naive", "--compare=baseline.json", "--bound=0", "--rtol=1e-5", "--atol=1e-6")
    assert result.exit_code == 1, "the numbers of a careful loss are not those of a naive one"
    assert "own loss: the loss of row" in unfolded(result.output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ulp=3"], "is about LOSS, and none is given"),
        (["no_package.losses:loss"], "is no loss, as in package.module:function"),
        (["{package}:absent"], "is no loss, as in package.module:function"),
        (["{package}:number"], "a loss is called with logits and targets"),
        (["{package}:naive", "--backends=numpy"], "and LOSS exclude each other"),
        (
            ["{package}:naive", "--against=nobody"],
            "for --against: is 'nobody': no backend is called 'nobody'; there are",
        ),
        (["{package}:naive", "--arrays=nobody"], "no backend is called 'nobody'"),
        (["{package}:naive", "--reduction=mean"], "reduction says what the losses return"),
        (["{package}:naive", "--reduction=total"], "for --reduction: is 'total'; it is one of none, sum, mean"),
        (
            ["{package}:naive", "--targets=labels"],
            "for --targets: is 'labels'; it is one of indices, probabilities, binary",
        ),
        (["{package}.naive"], "it has no colon"),
        (["{package}_broken:loss"], "ZeroDivisionError"),
        (["{package}:naive", "--families=weighted"], "nothing in weighted is what LOSS computes"),
        (
            ["{package}:naive", "--targets=probabilities", "--ignore-index=3"],
            "only indices have it",
        ),
        (["{package}:naive", "--against=numpy", "--probabilities"], "numpy has no loss of its own for the case"),
        (["{package}:naive", "--against-arrays=numpy"], "is about --against package.module:function"),
        (["--bound=3"], "is about --compare"),
        (["--no-own"], "is about --save"),
        (["{package}:naive", "--ulp=-1"], "ulp is -1.0; a tolerance is a number, 0 or larger"),
        (["{package}:naive", "--ulp=1", "--rtol=1"], "give one of them"),
        (["{package}:naive", "--quantities=slope"], "they are some of loss, gradient, curvature"),
        (["{package}:naive", "--quantities=gradient"], "its library has no derivatives"),
    ],
)
def test_a_wrong_call_exits_with_2_and_says_why(package: str, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["parity", *(each.format(package=package) for each in arguments)])
    assert result.exit_code == 2
    assert message in unfolded(result.output)


def test_the_console_script_finds_a_loss_where_it_runs(package: str) -> None:
    command = [sys.executable, "-m", "xentropy", "parity", f"{package}:careful", "--families=digits"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
