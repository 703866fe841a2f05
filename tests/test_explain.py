"""``xentropy explain``: frameworks made up here, whose losses are right, late, wrong, rounded away or refused."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from xentropy.conventions import discovery, measure
from xentropy.conventions.measure import Finding, Inquiry
from xentropy.conventions.outcome import Outcome, agreement, evaluate
from xentropy.conventions.probe import NO_SUCH_OPTION, QUESTIONS, Framework, Probe, Raises
from xentropy.parity.cli import app
from xentropy_numpy.parity import adapter

OWN = """\
import warnings, xentropy, numpy as np
mean = lambda x, y: xentropy.cross_entropy(x, y)
total = lambda x, y: xentropy.cross_entropy(x, y, reduction="sum")
lost = lambda x, y: np.float32(0.0)
def refuses(x, y):
    raise RuntimeError("not today\\nnor tomorrow")
def warns(x, y):
    warnings.warn("mind the gap", UserWarning)
    return mean(x, y)
"""
DROP_IN = "import xentropy, numpy as np\nmean = warns = xentropy.cross_entropy\ntotal = lost = refuses = mean"
ARRAYS = """\
x, y = np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]], np.float32), np.array([0, 2])
"""
REDUCTIONS = {
    "the mean": "xentropy.cross_entropy(x, y)",
    "each loss": 'xentropy.cross_entropy(x, y, reduction="none")',
    "the sum": 'xentropy.cross_entropy(x, y, reduction="sum")',
}
CONFIDENT = "x, y = np.array([[25.0, 0.0]], np.float32), np.array([0])"


def framework(*probes: Probe, drop_in: str = DROP_IN, **more: Any) -> Framework:
    return Framework("made up", OWN, drop_in, ARRAYS, probes, adapter, ("numpy",), **more)


def find(call: str, answers: Any = REDUCTIONS, given: str = "", drop_in: str = DROP_IN) -> Finding:
    probe = Probe("default reduction", call, answers, given=given)
    return Inquiry(framework(probe, drop_in=drop_in)).finding(probe)


# --- what is found ---------------------------------------------------------------------------------------------------


def test_the_first_answer_that_agrees_is_found_and_none_is_tried_after_it() -> None:
    found = find("mean(x, y)")
    assert (found.answer, found.fault) == ("the mean", "")
    assert [trial.ulp for trial in found.trials] == [0.0]
    assert found.drop_in_ulp == 0.0


def test_a_later_answer_is_found() -> None:
    found = find("total(x, y)")
    assert found.answer == "the sum"
    assert [trial.ulp for trial in found.trials] == [None, None, 0.0]
    assert found.nearest is None


def test_a_loss_that_is_wrong_has_no_answer_and_both_numbers_are_kept() -> None:
    found = find("mean(x, y) * np.float32(1.001)")
    assert (found.answer, found.right) == ("", None)
    assert found.nearest is not None
    assert found.nearest.ours == REDUCTIONS["the mean"]
    assert found.nearest.outcome is not None
    np.testing.assert_allclose(found.theirs.values, found.nearest.outcome.values * 1.001, rtol=1e-6)


def test_a_loss_that_is_rounded_to_0_is_not_near_one_that_is_not() -> None:
    """Spacing at 0 is that of subnormal numbers, so nothing but 0 is 0."""
    found = find("lost(x, y)", given=CONFIDENT)
    assert found.answer == ""
    assert found.drop_in_ulp is None
    assert found.drop_in is not None
    np.testing.assert_allclose(found.drop_in.values, np.exp(-25.0), rtol=1e-6)


def test_a_few_units_in_the_last_place_are_no_other_convention() -> None:
    assert find("mean(x, y) * np.float32(1 + 2.0**-22)").answer == "the mean"
    assert find("mean(x, y) * np.float32(1 + 2.0**-18)").answer == ""


def test_the_same_number_of_another_dtype_or_shape_is_not_the_same() -> None:
    for call in ("np.float64(mean(x, y))", "mean(x, y)[None]", "float(mean(x, y))"):
        assert find(call, {"the mean": "xentropy.cross_entropy(x, y)"}).answer == "", call


def test_a_refusal_is_an_answer() -> None:
    found = find("refuses(x, y)", {"refused": Raises("^RuntimeError: not today$")})
    assert (found.answer, found.fault) == ("refused", "")
    assert found.theirs.error == "RuntimeError: not today"


def test_an_option_that_does_not_exist_is_an_answer() -> None:
    found = find("mean(x, y, label_smoothing=0.1)", {"there is no such option": NO_SUCH_OPTION, **REDUCTIONS})
    assert found.answer == "there is no such option"
    assert find("mean(x, y)", {"there is no such option": NO_SUCH_OPTION, **REDUCTIONS}).answer == "the mean"


def test_an_error_of_the_same_type_is_an_answer_and_of_another_none() -> None:
    given = "y = np.array([0, 3])"
    assert find("mean(x, y)", {"IndexError": REDUCTIONS["the mean"]}, given).answer == "IndexError"
    found = find("refuses(x, y)", {"IndexError": REDUCTIONS["the mean"]}, given)
    assert (found.answer, found.fault) == ("", "")


def test_an_error_that_nothing_expects_is_a_fault() -> None:
    assert find("refuses(x, y)").fault == "RuntimeError: not today"
    assert find("refuses(x, y)", {"refused": Raises("^ValueError")}).fault == "RuntimeError: not today"


@pytest.mark.parametrize(
    ("call", "answers", "given", "fault"),
    [
        ("mean(x, nothing)", REDUCTIONS, "", "NameError: name 'nothing' is not defined"),
        ("mean(x, y", REDUCTIONS, "", "SyntaxError"),
        ("mean(x, y)", {"the mean": "nothing(x, y)"}, "", "NameError"),
        ("mean(x, y)", REDUCTIONS, "x = x[5]", "IndexError"),
    ],
)
def test_a_probe_that_is_miswritten_is_a_fault(call: str, answers: Any, given: str, fault: str) -> None:
    assert fault in find(call, answers, given).fault


def test_words_are_an_answer() -> None:
    assert find("'input, target'", {}).answer == "input, target"
    assert find("type(1.0).__name__", {"a float": "type(2.0).__name__"}).answer == "a float"
    assert find("'one'", {"another": "'other'"}).answer == "one"


def test_warnings_for_users_are_kept_and_raise_nothing() -> None:
    found = find("warns(x, y)")
    assert (found.answer, found.theirs.warned) == ("the mean", ("UserWarning: mind the gap",))


def test_without_a_drop_in_nothing_is_said_of_it() -> None:
    found = find("mean(x, y)", drop_in="")
    assert (found.drop_in, found.drop_in_ulp) == (None, None)


def test_a_loss_that_writes_to_its_arguments_changes_nothing_for_ours_or_the_next() -> None:
    writes = Probe("takes", "mean(x.__setitem__((0, 0), 9.0) or x, y)", REDUCTIONS)
    after = Probe("takes", "mean(x, y)", REDUCTIONS, case="after")
    first, second = Inquiry(framework(writes, after)).findings()
    assert (first.answer, second.answer) == ("", "the mean")
    assert second.theirs.text(9) == find("mean(x, y)").theirs.text(9)


def test_nan_is_nan_and_no_number() -> None:
    nan, one = (evaluate(f"np.float32({x})", {"np": np}, adapter) for x in ("'nan'", "1.0"))
    assert agreement(nan, nan) == 0.0
    assert agreement(nan, one) is agreement(one, nan) is None
    assert agreement(Outcome(error="ValueError: a"), Outcome(error="ValueError: b")) == 0.0


def test_findings_come_in_the_order_of_the_questions() -> None:
    probes = [Probe(name, "mean(x, y)", REDUCTIONS) for name in reversed(QUESTIONS)]
    assert [one.probe.convention for one in Inquiry(framework(*probes)).findings()] == list(QUESTIONS)


def test_every_question_fits_a_line() -> None:
    assert max(len(line) for pair in QUESTIONS.items() for line in pair) <= 80


def test_a_convention_that_nobody_asks_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"convention must be one of first arguments, .*; got 'nonsense'"):
        Probe("nonsense", "1")


# --- the command -----------------------------------------------------------------------------------------------------

good = framework(
    Probe("takes", "mean(x, y)", {"logits": "xentropy.cross_entropy(x, y)"}),
    Probe("default reduction", "total(x, y)", REDUCTIONS, "a case"),
    Probe("a confident row", "lost(x, y)", {"yes": REDUCTIONS["the mean"]}, given=CONFIDENT),
    Probe("label smoothing", "mean(x, y, label_smoothing=0.1)", {"there is no such option": NO_SUCH_OPTION}),
    Probe("nothing to average", "warns(x[:0], y[:0])", {"0": "xentropy.cross_entropy(x[:0], y[:0])"}),
    note="made up here",
)
faulty = framework(Probe("takes", "refuses(x, y)", REDUCTIONS), *good.probes[1:])
needy = framework(*good.probes, needs={"no_such_module": "no-such-package"})


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", *arguments])


def register(monkeypatch: pytest.MonkeyPatch, **entries: str) -> None:
    found = {name: EntryPoint(name, value, discovery.GROUP) for name, value in entries.items()}
    monkeypatch.setattr(discovery, "registered", lambda: found)


def flat(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def test_the_report_has_question_call_number_answer_and_our_call(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, numpy=f"{__name__}:good")
    result = run("--framework", "numpy")
    assert result.exit_code == 0, result.output
    told = result.stdout
    assert "What the losses of made up do, measured on\nnumpy " in told
    assert "made up here" in told
    assert QUESTIONS["default reduction"] in told
    total = np.log(np.exp([[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]]).sum(axis=1)) - [1.0, 0.0]
    assert (
        f"""  a case
     call total(x, y)
    gives {total.sum():.4g}
    means the sum
     ours xentropy.cross_entropy(x, y, reduction="sum")
          agrees to the last bit
  drop-in {total.mean():.4g}
"""
        in told
    )
    assert (
        """    gives 0
          nothing of ours does this
     ours xentropy.cross_entropy(x, y)
    gives 1.389e-11
  drop-in 1.389e-11
"""
        in told
    )
    assert "means there is no such option\n" in told
    assert "warns UserWarning: mind the gap\n" in told
    assert "5 calls; nothing of ours does what 1 of them do; the drop-in differs in 3" in flat(told)
    assert "every call was made and compared in this run" in flat(told)


def test_the_report_says_what_calls_start_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for drop_in in (DROP_IN, ""):
        monkeypatch.setattr(f"{__name__}.good", framework(*good.probes, drop_in=drop_in))
        register(monkeypatch, numpy=f"{__name__}:good")
        assert flat(run("--framework", "numpy").stdout).count("starts from the arrays that they make") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "and compared in this run"),
        (["one"], "in this run; compared: 1, only shown: 1"),
        (["one", "two"], "in this run; compared: 1, only shown: 2"),
    ],
)
def test_what_is_compared_with_nothing_is_not_said_to_be(
    monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    probes = [Probe("first arguments", f"{word!r}", case=word) for word in words]
    monkeypatch.setattr(f"{__name__}.good", framework(good.probes[0], *probes))
    register(monkeypatch, numpy=f"{__name__}:good")
    assert flat(run("--framework", "numpy").stdout).endswith(f"every call was made {told}")


def test_the_report_fits_a_log_of_80_columns_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    long = Probe("takes", f"mean({' + '.join(['x'] * 60)}, y)", REDUCTIONS)
    monkeypatch.setattr(f"{__name__}.good", framework(long, *good.probes))
    register(monkeypatch, numpy=f"{__name__}:good")
    output = run("--framework", "numpy").stdout
    assert "\x1b" not in output
    assert max(len(line) for line in output.splitlines()) <= 80
    assert [line for line in output.splitlines() if line != line.rstrip()] == []


def test_no_call_is_printed_that_was_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def noted(source: str, *rest: Any) -> Outcome:
        made.append(source)
        return evaluate(source, *rest)

    monkeypatch.setattr(measure, "evaluate", noted)
    register(monkeypatch, numpy=f"{__name__}:good")
    printed = re.findall(r"^ +(?:call|ours) (.+)$", run("--framework", "numpy").stdout, re.MULTILINE)
    assert len(printed) == 9
    assert set(printed) - {CONFIDENT} <= set(made)


def test_json_has_every_number_version_and_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register(monkeypatch, numpy=f"{__name__}:good")
    file = tmp_path / "explained.json"
    assert run("--framework", "numpy", "--json", str(file)).exit_code == 0
    record = json.loads(file.read_text(encoding="utf-8"))
    assert (record["schema"], record["framework"], record["losses"]) == (1, "numpy", "made up")
    assert record["versions"] == {"numpy": np.__version__}
    assert record["code"]["own"] == good.own
    takes, reduction, smoothing, _nothing, confident = record["findings"]
    assert (takes["answer"], takes["ours"], takes["ulp"]) == ("logits", "xentropy.cross_entropy(x, y)", 0.0)
    assert [trial["answer"] for trial in reduction["tried"]] == list(REDUCTIONS)
    assert [trial["ulp"] for trial in reduction["tried"]] == [None, None, 0.0]
    assert reduction["tried"][1]["found"]["shape"] == [2]
    assert (smoothing["answer"], smoothing["ours"]) == ("there is no such option", None)
    assert smoothing["theirs"]["error"].startswith("TypeError: ")
    assert (confident["answer"], confident["theirs"]["values"], confident["given"]) == (None, 0.0, CONFIDENT)
    np.testing.assert_allclose(confident["drop_in"]["values"], np.exp(-25.0), rtol=1e-6)


def test_json_names_what_json_cannot_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    probe = Probe("takes", "mean(np.full((1, 2), np.nan), y[:1]) + np.array([0.0, np.inf])")
    monkeypatch.setattr(f"{__name__}.good", framework(probe))
    register(monkeypatch, numpy=f"{__name__}:good")
    file = tmp_path / "explained.json"
    run("--framework", "numpy", "--json", str(file))
    assert json.loads(file.read_text())["findings"][0]["theirs"]["values"] == ["nan", "nan"]


def test_a_probe_that_cannot_be_run_exits_with_1_and_the_others_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, numpy=f"{__name__}:faulty")
    result = run("--framework", "numpy")
    assert result.exit_code == 1
    assert "FAILED RuntimeError: not today" in flat(result.stdout)
    assert "means the sum" in result.stdout


def test_without_a_name_it_says_which_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, numpy=f"{__name__}:good", no_such_framework="nowhere:framework")
    result = run()
    assert result.exit_code == 2
    assert "there are numpy (installed), no_such_framework (not installed)" in flat(result.stderr)


@pytest.mark.parametrize("name", ["nonsense", "no_such_framework", ""])
def test_a_framework_that_is_not_there_exits_with_2(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    register(monkeypatch, numpy=f"{__name__}:good", no_such_framework="nowhere:framework")
    result = run("--framework", name)
    assert result.exit_code == 2
    assert "there are numpy (installed), no_such_framework (not installed)" in flat(result.stderr)


def test_what_is_needed_beside_the_framework_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, numpy=f"{__name__}:needy")
    result = run("--framework", "numpy")
    assert result.exit_code == 2
    assert "pip install no-such-package" in flat(result.stderr)


def test_a_framework_that_does_not_load_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, numpy="no_such_module:framework")
    result = run("--framework", "numpy")
    assert result.exit_code == 1
    assert "numpy is installed, but its probes (no_such_module:framework) do not load: ModuleNotFoundError" in flat(
        result.stderr
    )


def test_a_module_without_a_version_has_that_of_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("markdown_it.__version__", raising=False)
    modules = ("markdown_it", "rich")
    assert discovery.versions(replace(good, modules=modules)) == {
        "markdown_it": version("markdown-it-py"),
        "rich": version("rich"),
    }


@pytest.mark.parametrize(
    ("module", "wrong"),
    [
        ("made_up", "made_up, named in Framework.modules, has no __version__, and no package of it is installed"),
        ("no_such_module", "no_such_module, named in Framework.modules, cannot be imported: No module named"),
    ],
)
def test_a_module_whose_version_nobody_knows_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, module: str, wrong: str
) -> None:
    monkeypatch.setitem(sys.modules, "made_up", ModuleType("made_up"))
    monkeypatch.setattr(f"{__name__}.good", replace(good, modules=(module,)))
    register(monkeypatch, numpy=f"{__name__}:good")
    result = run("--framework", "numpy")
    assert result.exit_code == 1
    assert wrong in flat(result.stderr)


def test_a_directory_that_is_not_there_exits_with_2() -> None:
    result = run("--framework", "numpy", "--json", "/no/such/directory/explained.json")
    assert result.exit_code == 2
    assert "no directory" in flat(result.stderr)


def test_list_names_the_frameworks_and_imports_none(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, numpy="no_such_module:framework", no_such_framework="nowhere:framework")
    result = run("--list")
    assert result.exit_code == 0
    assert [line.split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["numpy", "installed"],
        ["no_such_framework", "not installed"],
    ]


def test_ours_are_registered() -> None:
    assert set(discovery.registered()) >= {"jax", "keras", "numpy", "tensorflow", "torch"}
