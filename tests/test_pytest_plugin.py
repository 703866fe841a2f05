"""The pytest plugin, in runs of its own."""

import subprocess
import sys
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from xentropy.parity import assert_parity, discovery

pytest_plugins = ["pytester"]

# Once for all: a run within this process forgets what it has imported, and NumPy cannot be imported twice.
assert callable(assert_parity)
discovery.load("numpy")

LOSSES = """
import numpy as np
import pytest
from xentropy.parity import Case, Loss, ParityError

def careful(logits: np.ndarray, targets: np.ndarray):
    wide, rows = logits.astype(np.float64), np.arange(len(targets))
    odds = np.exp(wide - wide[rows, targets][:, None])
    odds[rows, targets] = 0
    return np.log1p(odds.sum(axis=1))

def wrong(logits: np.ndarray, targets: np.ndarray):
    return careful(logits, targets) * 1.5

case = Case("flat", np.zeros((1, 2), dtype=np.float32), np.zeros(1, dtype=np.int32))
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs pytest on a file with the losses above; by itself, as only a process has options of its own."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run_(tests: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_losses=LOSSES + tests)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)

    return run_


def test_the_fixture_asserts_and_the_summary_says_what_was_seen(run: Run) -> None:
    result = run(
        """
def test_right(parity):
    found = parity(careful, cases=case)
    assert found.cases == 1
    assert found.names == ("careful", "exact")

def test_wrong(parity):
    parity(careful, cases=case)
    parity(careful, wrong, cases=case)

def test_of_something_else():
    pass
"""
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *xentropy.parity.ParityError: careful and wrong differ in the loss at * ulp, 4 allowed*",
            "E *wrong *<- wrong",
            "*= parity =*",
            "test_losses.py::test_right",
            "    careful and exact: 1 cases, loss * of 4 ulp, no gradient, no curvature",
            "test_losses.py::test_wrong",
            "    careful and exact: 1 cases, loss * of 4 ulp, no gradient, no curvature",
            "test_losses.py::test_wrong",
            "    FAILED careful and wrong differ in the loss at *",
        ],
        consecutive=False,
    )
    result.stdout.no_fnmatch_line("*test_of_something_else*")
    result.stdout.no_fnmatch_line("*losses/comparison.py*")


def test_a_run_without_parity_has_no_section(run: Run) -> None:
    result = run("\ndef test_nothing(): pass\n")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*= parity =*")


def test_a_comparison_in_a_fixture_is_in_the_summary(run: Run) -> None:
    result = run(
        """
@pytest.fixture
def given(parity):
    parity(wrong, cases=case)

@pytest.fixture
def after(parity):
    yield
    parity(wrong, cases=case)

def test_before(given): pass
def test_after(after): pass
"""
    )
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*= parity =*",
            "test_losses.py::test_after",
            "    FAILED wrong is off in the loss*",
            "test_losses.py::test_before",
            "    FAILED wrong is off in the loss*",
        ],
        consecutive=True,
    )


def test_expected_failures_are_in_the_summary(run: Run) -> None:
    result = run("\n@pytest.mark.xfail(raises=ParityError)\ndef test_known(parity): parity(wrong, cases=case)\n")
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["*= parity =*", "test_losses.py::test_known", "    FAILED wrong is off*"])


PRECEDENCE = """
@pytest.mark.parity(rtol=1.0, cases=case)
class TestMarked:
    def test_of_the_class(self, parity):
        parity(wrong)

    @pytest.mark.parity(ulp=4)
    def test_of_the_function(self, parity):
        with pytest.raises(ParityError, match=r"4 allowed \\(4 ulp\\)"):
            parity(wrong)

    @pytest.mark.parity(ulp=4)
    def test_of_the_call(self, parity):
        assert parity(wrong, rtol=0.6).tolerance == "rtol 0.6"
        assert parity(careful, atol=1e-3).tolerance == "4 ulp, atol 0.001"

    @pytest.mark.parity(reduction="sum")
    def test_that_adds(self, parity):
        found = parity(lambda z, t: careful(z, t).sum() if 0 else None, "numpy") if 0 else None
        total = Loss(lambda z, t: float(wrong(z, t).sum()), "numpy")
        assert parity(total).tolerance == "rtol 1"
"""


def test_the_closest_option_wins_and_ulp_and_rtol_replace_each_other(run: Run) -> None:
    run(PRECEDENCE).assert_outcomes(passed=4)


DRAWS = """
counts = {}

def counting(logits: np.ndarray, targets: np.ndarray):
    drawn.append(logits.tobytes())
    return careful(logits, targets)

drawn = []

def test_drawn(parity):
    found = parity(counting)
    print("DREW", found.cases, hash(tuple(drawn)))

@pytest.mark.parity(examples=21)
def test_marked(parity):
    print("MARKED", parity(careful).cases)
"""


def test_the_command_line_says_how_many_cases_and_which(run: Run) -> None:
    def drew(*arguments: str) -> tuple[str, str]:
        lines = run(DRAWS, "-s", *arguments).stdout.lines
        (first,) = [line for line in lines if "DREW" in line]
        (second,) = [line for line in lines if "MARKED" in line]
        return first.partition("DREW ")[2], second.partition("MARKED ")[2]

    default, marked = drew()
    few, still = drew("--parity-examples=14")
    assert default.startswith("70 ")
    assert few.startswith("14 ")
    assert marked == still == "21", "a marker goes before the command line"
    assert drew("--parity-examples=14", "--parity-seed=0")[0] == few
    assert drew("--parity-examples=14", "--parity-seed=1")[0] != few


def test_a_wrong_number_on_the_command_line(run: Run) -> None:
    result = run("\ndef test_drawn(parity): parity(careful)\n", "--parity-examples=0")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ValueError: examples is 0; it is a positive integer*"])
    assert run("", "--parity-examples=few").ret == pytest.ExitCode.USAGE_ERROR


def test_the_marker_selects(run: Run) -> None:
    tests = "\ndef test_one(parity): parity(careful, cases=case)\ndef test_other(): pass\n"
    run(tests, "-m", "parity", "--strict-markers").assert_outcomes(passed=1, deselected=1)
    run(tests, "-m", "not parity").assert_outcomes(passed=1, deselected=1)
    run(tests, "--markers").stdout.fnmatch_lines(["@pytest.mark.parity(*options): options of assert_parity*"])


POSITIONAL = "\n@pytest.mark.parity(3)\ndef test_marked(parity): parity(careful)\n"


def test_a_marker_with_a_positional_argument_is_a_usage_error(run: Run) -> None:
    result = run(POSITIONAL)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: test_losses.py::test_marked: parity(3,): the marker takes options by name only"]
    )


def test_somebody_elses_marker_of_the_name_is_left_alone(run: Run) -> None:
    run("\n@pytest.mark.parity('odd')\ndef test_marked(): pass\n").assert_outcomes(passed=1)


TWO = "\ndef test_a(parity): parity(careful, cases=case)\ndef test_b(parity): parity(wrong, cases=case)\n"


def test_workers_of_a_parallel_run_report_what_they_saw(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_losses=LOSSES + TWO + POSITIONAL)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "2", "--junitxml=junit.xml")
    result.assert_outcomes(passed=1, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*= parity =*",
            "test_losses.py::test_a",
            "    careful and exact: 1 cases, loss *",
            "test_losses.py::test_b",
            "    FAILED wrong is off in the loss at *",
        ],
        consecutive=True,
    )
    result.stdout.fnmatch_lines(["*test_marked: parity(3,): the marker takes options by name only*"])
    properties = of_junit(pytester)
    assert set(properties) == {"test_a", "test_b", "test_marked"}


def of_junit(pytester: pytest.Pytester) -> dict[str, dict[str, str]]:
    cases = ElementTree.parse(pytester.path / "junit.xml").getroot().iter("testcase")
    return {case.attrib["name"]: {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")} for case in cases}


def test_junit_has_the_numbers(run: Run, pytester: pytest.Pytester) -> None:
    run(TWO, "--junitxml=junit.xml")
    properties = of_junit(pytester)
    assert set(properties["test_a"]) == set(properties["test_b"]) == {"parity", "parity.loss.ulp"}
    assert properties["test_a"]["parity"].startswith("careful and exact: 1 cases, loss ")
    assert 0 <= float(properties["test_a"]["parity.loss.ulp"]) <= 0.5 + 1e-9, "a float64 loss beside ln 2"
    assert properties["test_b"]["parity"].startswith("FAILED wrong is off in the loss at [0]: ")
    # Half of ln 2, in units of 2^-24.
    assert float(properties["test_b"]["parity.loss.ulp"]) == pytest.approx(0.34657359 * 2**24, rel=1e-6)


def test_a_loss_that_raises_has_no_number(run: Run, pytester: pytest.Pytester) -> None:
    run("\ndef test_c(parity): parity(Loss(lambda z, t: 1 / 0, 'numpy'), cases=case)\n", "--junitxml=junit.xml")
    (found,) = of_junit(pytester).values()
    assert found == {"parity": "FAILED <lambda> raised ZeroDivisionError: division by zero"}


def python(pytester: pytest.Pytester, program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=pytester.path
    )


def test_a_run_without_parity_imports_nothing_for_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_nothing="def test_nothing(): pass")
    done = python(
        pytester,
        "import sys, pytest\n"
        "code = pytest.main(['-q', '-p', 'no:cacheprovider'])\n"
        "heavy = ('xentropy', 'numpy', 'torch', 'tensorflow', 'jax', 'keras', 'mpmath', 'scipy')\n"
        "print('PLUGIN', 'pytest_xentropy' in sys.modules)\n"
        "print('HEAVY', [name for name in heavy if name in sys.modules])\n"
        "sys.exit(code)",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PLUGIN True" in done.stdout
    assert "HEAVY []" in done.stdout


@pytest.mark.parametrize("missing", ["hypothesis", "mpmath"])
def test_without_the_extra_it_is_said_what_to_install(pytester: pytest.Pytester, missing: str) -> None:
    pytester.makepyfile(test_asks="def test_asks(parity): parity('numpy')")
    done = python(
        pytester,
        "import os, sys, pytest\n"
        "os.environ['PYTEST_DISABLE_PLUGIN_AUTOLOAD'] = '1'\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {missing!r}:\n"
        f"            raise ModuleNotFoundError('not there', name={missing!r})\n"
        "sys.meta_path.insert(0, Without())\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-p', 'pytest_xentropy']))",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"needs {missing}" in done.stdout
    assert 'pip install "xentropy-array[parity]"' in done.stdout
