"""The page without a browser: what it says, and that it says it of everything; the rest is in tests/page."""

import math
import re
from html import unescape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_parity_cli import register, run

import xentropy
from xentropy.parity import snippet
from xentropy.parity.cases import Case
from xentropy.parity.confidence import LEVELS, ROWS_PER_LEVEL, SMALLEST_ERROR, Curve, curves, make_case, worst
from xentropy.parity.families import FAMILIES
from xentropy.parity.highprec import exact
from xentropy.parity.judge import Judgement, Worst
from xentropy.parity.matrix import CaseResult, Entry, FamilyResult, run_family
from xentropy.parity.page import Distance, Held, HeldRow, content, figure
from xentropy.parity.page.cells import Cell, bucket, make_cell
from xentropy.parity.page.text import percent, scientific
from xentropy_numpy.parity import NumPyAdapter, adapter

FINE = Worst(2.0, 0.5, 3, 1.0, 1.1, 4.0)


class Silent(NumPyAdapter):
    """Has no loss of its own, and tells nothing of its array library."""

    version = "<1 & 2>"
    native_name = None

    def native(self, case: Case) -> None:
        return None

    def literal(self, values: Any, dtype: str) -> None:
        return None

    def listed(self, array: str) -> None:
        return None


silent = Silent()


def written(tmp_path: Path, *arguments: str, exit_code: int = 0) -> str:
    file = tmp_path / "page.html"
    result = run(*arguments, "--html", str(file))
    assert result.exit_code == exit_code, result.output
    return file.read_text(encoding="utf-8")


def cell_of(*entries: Entry, family: str = "digits") -> Cell:
    cases = [CaseResult(case, {"numpy": entry}) for case, entry in zip(FAMILIES[family].cases(0), entries, strict=True)]
    return make_cell(FamilyResult(FAMILIES[family], cases, 0.0), "numpy", own=False)


def test_the_verdict_counts_misses_and_all_else() -> None:
    assert content.verdict(0, 0) == ("PASS", "every bound met")
    assert content.verdict(3, 0) == ("FAIL", "bounds missed: 3")
    assert content.verdict(0, 1) == ("FAIL", "other failures: 1; every bound met")
    assert content.verdict(3, 2) == ("FAIL", "other failures: 2; bounds missed: 3")


def test_what_fails_of_a_loss_that_is_held() -> None:
    fine = HeldRow("digits", 2, {"loss": Distance(4.0, 4.0)})
    wrong = HeldRow("soft", 1, {"loss": Distance(4.5, 4.0)}, failure="too far")
    none = HeldRow("linear", 0, skipped="no such loss")
    assert [one.distances["loss"].met for one in (fine, wrong)] == [True, False]
    assert [one.verdict for one in (fine, wrong, none)] == ["met", "failed", "left out: no such loss"]
    assert Held("a", "b", "4 ulp", [fine, wrong, none]).failures() == [("a against b: soft", "too far")]
    assert Held("a", "b", "4 ulp", [fine, none]).failures() == []
    assert Held("a", "b", "4 ulp", [none]).failures() == [("a against b", "no case was compared")]


def test_a_directory_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    result = run("--html", str(tmp_path / "nowhere" / "page.html"))
    assert result.exit_code == 2
    assert "--html" in result.stderr
    assert "no directory" in re.sub(r"\s+", " ", result.stderr.replace("│", " "))


def test_page_and_json_are_written_by_one_run(tmp_path: Path) -> None:
    page = written(tmp_path, "--backends", "numpy", "--families", "examples", "--json", str(tmp_path / "parity.json"))
    assert (tmp_path / "parity.json").is_file()
    assert "every bound met" in page
    assert f"<dt>xentropy</dt><dd>{version('xentropy-array')}</dd>" in page
    assert page.count("<dialog") == page.count("</dialog>") == 2


def test_what_a_library_says_is_escaped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("<script>alert('&')</script>")

    monkeypatch.setattr(xentropy, "cross_entropy", broken)
    page = written(tmp_path, "--backends", "numpy", "--families", "digits", exit_code=1)
    assert "<script>alert" not in page
    assert "RuntimeError: <script>alert('&')</script>" in unescape(page)
    assert re.search(r'<a href="#numpy-ours-digits">digits/index, numpy</a>: RuntimeError', page)
    assert re.search(r'id="numpy-ours-digits" class="b5".*?failed.*?missed', page, re.DOTALL)


def test_an_adapter_of_somebody_else_gets_a_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register(monkeypatch, numpy=f"{__name__}:silent")
    page = written(tmp_path, "--families", "digits")
    assert "&lt;1 &amp; 2&gt;" in page
    assert "no loss of its own" in page
    assert "not measured" in page
    code = unescape(page.partition("<code>")[2].partition("</code>")[0])
    assert 'adapter = discovery.load("numpy")' in code
    names: dict[str, Any] = {}
    exec(code, names)
    computed = re.search(r"<dt>computed</dt><dd[^>]*>([^<]+)", page)
    assert computed is not None
    quantities = [names["loss"], names["gradient"]]
    assert any(float(computed[1]) in np.asarray(one, dtype=np.float64) for one in quantities)


def test_a_cell_opens_what_is_nearest_to_its_bound() -> None:
    far = Worst(3.0, 0.9, 7, 2.0, 2.1, 3.0)
    elsewhere = Worst(1e-7, 0.95, 1, 0.0, 0.0, 1e-7)
    cell = cell_of(Entry(Judgement(FINE, far, None)), Entry(Judgement(FINE, None, elsewhere)))
    assert cell.worst is not None
    assert (cell.worst.quantity, cell.worst.worst, cell.worst.unit) == ("gradient at the label", far, " ulp")
    assert cell.worst.distance == pytest.approx(2.7)
    assert (cell.error, cell.met, cell.text, cell.bucket) == (3.0, True, "3.00", 1)


def test_a_missed_bound_elsewhere_comes_first() -> None:
    beyond = Worst(1e-6, 2.5, 1, 0.0, 1e-6, 4e-7)
    cell = cell_of(Entry(Judgement(FINE, None, beyond)), Entry(Judgement(FINE, None, None)))
    assert cell.worst is not None
    assert (cell.worst.quantity, cell.worst.unit, cell.met) == ("gradient elsewhere", "", False)


def test_faults_nothing_and_nan() -> None:
    failed = cell_of(Entry(Judgement(None, None, None), fault="boom"), Entry(Judgement(FINE, None, None)))
    assert (failed.text, failed.met, failed.bucket) == ("2.00", False, 5)
    skipped = cell_of(*[Entry(Judgement(None, None, None), skipped="no such loss")] * 2)
    assert (skipped.text, skipped.met, skipped.bucket, skipped.worst) == ("-", None, None, None)
    lost = cell_of(*[Entry(Judgement(Worst(math.inf, math.inf, 0, math.nan, 1.0, 4.0, nan=True), None, None))] * 2)
    assert (lost.text, lost.met, lost.bucket) == ("nan", False, 5)
    assert lost.worst is not None
    assert lost.worst.distance == math.inf


def test_buckets_hold_their_upper_ends() -> None:
    errors = [0.0, 1.0, 1.1, 4.0, 32.0, 1e3, 1e5, 1.1e5, math.inf, math.nan]
    assert [bucket(error) for error in errors] == [0, 0, 1, 1, 2, 3, 4, 5, 5, 5]


def test_numbers_are_short_and_never_look_better_than_they_are() -> None:
    values = [0.0, 1.0, 0.034, 1.23e-7, 456.0, 1e-36, math.inf, math.nan, 99.9, 12345.0]
    expected = ["0", "1", "0.034", "1.2e-7", "456", "1.0e-36", "inf", "nan", "100", "1.2e4"]
    assert [scientific(value) for value in values] == expected
    assert [percent(share) for share in (0.5, 1.0001, 250.0, math.inf)] == [
        "50 %",
        "101 %",
        "250 times the bound",
        "has to be hit exactly",
    ]


def test_rows_have_the_losses_of_their_levels() -> None:
    case = make_case()
    few = [0, ROWS_PER_LEVEL * 40, len(case.logits) - 1]
    (loss, _), _ = exact(case.only(few))
    # float32 logits round the loss by the logit's last place.
    np.testing.assert_allclose(loss, LEVELS[[0, 40, 79]], rtol=1e-5)


def test_the_worst_of_a_level_is_told() -> None:
    truth = np.full(len(LEVELS) * ROWS_PER_LEVEL, 2.0)
    found = truth.copy()
    found[3], found[ROWS_PER_LEVEL], found[-1] = 2.5, np.nan, 0.0
    error = worst(found, truth)
    assert error[[0, 1, 2, 79]].tolist() == [0.25, math.inf, SMALLEST_ERROR, 1.0]


def test_ours_stays_within_its_bound_and_the_own_loss_does_not() -> None:
    for curve in curves({"numpy": adapter}):
        if curve.own:
            assert curve.loss[-1] == 1.0
        else:
            # 4 ulp and one for each unit of the span, of 2^-24 to 2^-23 each; a span of 84 at most.
            assert curve.loss.max() < 88 * 2.0**-23
            assert curve.gradient is not None
            assert curve.gradient.max() < 88 * 2.0**-23


def test_curves_stay_inside_their_panel() -> None:
    errors = np.full(len(LEVELS), 1e-3)
    errors[:4] = math.inf, 100.0, 1e-12, 1.0
    (drawn,) = figure.series([Curve("numpy", True, errors, None)], ["given"])
    points = [tuple(map(float, point.split(","))) for point in drawn.lines["loss"].points.split()]
    assert [y for _, y in points[:4]] == [figure.TOP, figure.TOP, figure.HEIGHT - figure.BOTTOM, figure.y_of(1.0)]
    assert (points[0][0], points[-1][0]) == (figure.LEFT, figure.WIDTH - figure.RIGHT)
    assert "gradient" not in drawn.lines
    assert drawn.gradient == ()


def test_a_program_of_a_linear_loss_indexes_every_dimension(monkeypatch: pytest.MonkeyPatch) -> None:
    """An array of two dimensions need not take a single index, and this program is for any array library."""
    register(monkeypatch, numpy=f"{__name__}:silent")
    adapters = {"numpy": silent}
    (row,) = content.rows([run_family(FAMILIES["linear"], adapters, 0, lambda: None)], adapters, 0)
    found, worst = row.cells[0].reproduction, row.cells[0].cell.worst
    assert found is not None
    assert worst is not None
    assert worst.quantity == "loss"
    assert found.program is not None
    assert f"adapter.to_numpy(gradient[0][{0 if found.alone else found.row}, ...])" in found.program
    assert found.program.count("adapter = discovery.load") == 1
    names: dict[str, Any] = {}
    exec(found.program, names)
    assert worst.worst.computed in names["loss"]


class Named(NumPyAdapter):
    """Its own loss lives in a module that is named after gradients, and gives none."""

    def native_source(self, case: Case) -> str:
        return "import my_gradients\n\nloss = my_gradients.loss(logits, gradient=None)"


class Grouped(Named):
    """Assigns the gradient in company."""

    def native_source(self, case: Case) -> str:
        return "if True:\n    loss, (gradient, _) = logits, (logits, None)"


def test_a_gradient_is_printed_where_one_is_assigned(capsys: pytest.CaptureFixture[str]) -> None:
    case = FAMILIES["examples"].cases(0)[0]
    named = snippet.reproduce(case, Named(), own=True)
    assert named is not None
    assert named.endswith("\n\nprint(loss.tolist())\n")
    grouped = snippet.reproduce(case, Grouped(), own=True)
    assert grouped is not None
    exec(grouped, {})
    assert len(capsys.readouterr().out.splitlines()) == 2
