import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_parity_cli import register, run

from xentropy.parity.baseline import (
    OURS,
    OWN,
    Baseline,
    BaselineError,
    Key,
    check_losses,
    current_versions,
    load,
    measured,
    save,
)
from xentropy.parity.comparison import Run, compare
from xentropy.parity.comparison_report import PRINTED, text
from xentropy.parity.families import FAMILIES
from xentropy.parity.linear import LinearCase, products, term_sums
from xentropy.parity.matrix import run_family
from xentropy.parity.measure import Outcome
from xentropy.parity.reference import reference
from xentropy.parity.sample import COUNT, Numbers, Scale, chosen, exact_sample, sample
from xentropy_numpy.parity import NumPyAdapter

FEW = ["--backends", "numpy", "--families", "examples,digits"]
KEY = Key("digits", "index", "torch", OWN, "loss")
ROW = "of row {}".format
LARGEST = "its row's largest logit"


class Later(NumPyAdapter):
    """NumPy of another version, whose numbers are all a hundred-thousandth larger."""

    version = "9.9"

    def to_numpy(self, array: Any) -> Any:
        return super().to_numpy(array) * (1 + 1e-5)


class Silent(NumPyAdapter):
    """NumPy whose own loss is gone."""

    def native(self, case: Any) -> None:
        return None


later, silent = Later(), Silent()


def numbers(*values: float, dtype: str = "float32", wide: str = "", scale: float = 0.0) -> Numbers:
    places = tuple(ROW(i) for i in range(len(values)))
    size, alone = Scale.of(np.full(len(values), scale), LARGEST), Scale.of(np.zeros(len(values)))
    return Numbers("the loss", places, np.asarray(values, dtype=np.float64), dtype, wide or dtype, size, alone)


def compared(was: Numbers, now: Numbers, tmp_path: Path, bound: float = 4.0, strict: Any = False) -> Any:
    """Two numbers of one backend, one of them through a file."""
    file = tmp_path / "baseline.json"
    save(file, 0, {"torch": "2.14.0"}, {KEY: was}, own=True)
    return compare(load(file, 0), Run([], {KEY: now}, {"torch": "2.15.0"}), bound, strict=strict)


def after(value: float, steps: int, kind: type[np.floating[Any]] = np.float32) -> float:
    """The neighbour of a float that is this many further up."""
    found = kind(value)
    for _ in range(steps):
        found = np.nextafter(found, kind(np.inf))
    return float(found)


FLOATS = [0.1, 1 / 3, -0.0, 1e-45, -1.17549435e-38, 3.4028235e38, np.inf, -np.inf, np.nan, 16777216.0, 7e-39]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_come_back_from_the_file_with_every_bit(dtype: str, tmp_path: Path) -> None:
    kind = np.dtype(dtype).type
    values = [float(kind(one)) for one in FLOATS] + ([5e-324, 1.7976931348623157e308] if dtype == "float64" else [])
    file = tmp_path / "baseline.json"
    save(file, 3, {}, {KEY: numbers(*values, dtype=dtype)}, own=True)
    found = load(file, 3).lines[KEY].astype(dtype)
    assert found.tobytes() == np.asarray(values, dtype=dtype).tobytes()


def test_a_float32_is_written_with_its_own_digits(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    save(file, 0, {}, {KEY: numbers(float(np.float32(0.22314355)), np.nan, -np.inf)}, own=True)
    assert '"digits/index torch own loss": [0.22314355, "nan", "-inf"]\n' in file.read_text()


def test_a_number_that_moved_is_named_with_its_versions(tmp_path: Path) -> None:
    was = float(np.float32(0.22314355))
    found = compared(numbers(was, was), numbers(was, after(was, 8)), tmp_path)
    assert found.failed
    assert [str(move) for move in found.moved] == [
        "digits/index, torch's own loss: the loss of row 1 was 0.22314355, is 0.22314367: "
        "8 ulp of the number apart, 4 allowed (torch 2.14.0 -> 2.15.0)"
    ]


def test_a_number_within_the_bound_moved_and_is_no_failure(tmp_path: Path) -> None:
    found = compared(numbers(1.0, 1.5), numbers(after(1.0, 4), after(1.5, 3)), tmp_path)
    assert not found.failed
    assert found.largest[OWN].distance == 4
    assert found.largest[OWN].place == "of row 0"
    assert found.count == 2
    assert compared(numbers(1.0), numbers(after(1.0, 4)), tmp_path, bound=3.0).failed


def test_bits_that_are_the_same_moved_nowhere(tmp_path: Path) -> None:
    same = numbers(0.125, np.nan, np.inf, -np.inf, 0.0, 1e-44)
    found = compared(same, same, tmp_path, bound=0.0)
    assert not found.failed
    assert not found.largest


@pytest.mark.parametrize(
    ("was", "now"),
    [(1.0, np.nan), (np.nan, 1.0), (np.inf, np.nan), (np.inf, -np.inf), (1.0, np.inf), (np.inf, 1.0), (0.0, 1e-30)],
)
@pytest.mark.parametrize("wide", ["float32", "bfloat16"])
def test_a_number_that_became_another_kind_is_infinitely_far(was: float, now: float, wide: str, tmp_path: Path) -> None:
    found = compared(numbers(was, dtype="bfloat16", wide=wide), numbers(now, dtype="bfloat16", wide=wide), tmp_path)
    assert found.failed
    assert found.moved[0].distance > 1e6


def test_no_bound_allows_nan_in_the_place_of_a_number(tmp_path: Path) -> None:
    found = compared(numbers(1.0, 2.0), numbers(np.nan, 3.0), tmp_path, bound=np.inf)
    assert [move.place for move in found.moved] == ["of row 0"]
    assert json.loads(json.dumps(found.record(), allow_nan=False))["bound"] == "inf"


@pytest.mark.parametrize(("was", "now"), [(1e-40, 0.0), (0.0, 1e-40), (9e-38, 3e-39)])
def test_what_hardware_may_flush_is_as_good_as_zero(was: float, now: float, tmp_path: Path) -> None:
    assert not compared(numbers(was), numbers(now), tmp_path, bound=0.0).failed


def test_roundings_are_those_of_what_was_rounded(tmp_path: Path) -> None:
    """A loss of 1e-6 beside a logit of 100: one ulp of 100 is 7.6e-6."""
    beside = numbers(1e-6, scale=100.0)
    assert not compared(beside, numbers(1e-6 + 3 * 2.0**-17, scale=100.0), tmp_path).failed
    found = compared(beside, numbers(1e-6 + 5 * 2.0**-17, scale=100.0), tmp_path)
    assert found.moved[0].distance == pytest.approx(5)


@pytest.mark.parametrize(("strict", "failed"), [(True, True), ({"torch"}, True), ({"jax"}, False), (False, False)])
def test_a_loss_that_became_0_is_met_by_a_strict_comparison(strict: Any, failed: bool, tmp_path: Path) -> None:
    was, now = numbers(2.0**-21, 3.0, scale=10.0), numbers(0.0, 3.0, scale=10.0)
    found = compared(was, now, tmp_path, strict=strict)
    assert found.failed is failed
    assert found.record()["strict"] == (["torch"] if failed else [])
    unit, apart = ("the number", 2.0**23) if failed else (LARGEST, 0.5)
    assert f": {apart:.4g} ulp of {unit} apart, 4 allowed (" in str(found.largest[OWN])


def test_the_strict_unit_of_an_own_loss_is_that_of_ours() -> None:
    for case in (case for family in ("soft", "confident", "ignored", "linear") for case in FAMILIES[family].cases(0)):
        exact = reference(case)
        outcome = Outcome(exact.loss, exact.gradient)
        of_ours, own = (sample(case, exact, outcome, ours=ours) for ours in (True, False))
        for what, kept in own.items():
            strictly = kept.strictly()
            assert np.array_equal(strictly.scale.sizes, of_ours[what].scale.sizes), case.name
            assert strictly.units(kept.values) == of_ours[what].units(kept.values), case.name
            assert np.all(kept.scale.sizes >= 1), case.name


def test_an_ulp_is_named_after_what_is_largest() -> None:
    case = replace(FAMILIES["digits"].cases(0)[0].only([0, 1]), sample_weight=np.asarray([1, 3], dtype=np.float32))
    small = replace(case, logits=case.logits / np.float32(1e3))
    for given, names in (
        (case, (LARGEST, f"{LARGEST} times its row's weight")),
        (small, ("1", "its row's weight")),
    ):
        exact = reference(given)
        kept = sample(given, exact, Outcome(exact.loss, exact.gradient), ours=False)["loss"]
        assert kept.scale.names == names
        assert kept.units(np.asarray([1e-3, 1e3])) == [names[0], "the number"]


def test_a_log_of_what_moved_is_short_and_the_record_is_not(tmp_path: Path) -> None:
    many = [after(1.0, 10 + i) for i in range(50)]
    found = compared(numbers(*[1.0] * 50), numbers(*many), tmp_path)
    lines = flat(str(text(found)))
    assert lines.count(" allowed (") == PRINTED == 20
    assert "the loss of row 49 was" in lines
    assert "the loss of row 29 was" not in lines
    assert "and 30 more, which moved less" in lines
    assert len(found.record()["moved"]) == 50


def test_what_moved_too_far_is_printed_once(tmp_path: Path) -> None:
    far = str(text(compared(numbers(1.0), numbers(2.0), tmp_path)))
    assert far.count("the loss of row 0 was") == 1
    assert "moved most" not in far
    near = str(text(compared(numbers(1.0), numbers(after(1.0, 2)), tmp_path)))
    assert near.count("the frameworks' own moved most at digits/index, torch's own loss: the loss of row 0 was") == 1


def test_a_half_precision_number_may_be_rounded_to_its_neighbour(tmp_path: Path) -> None:
    was = numbers(0.5, dtype="bfloat16", wide="float32")
    neighbour, next_one = 0.5 + 2.0**-8, 0.5 + 2.0**-7
    assert not compared(was, numbers(neighbour, dtype="bfloat16", wide="float32"), tmp_path).failed
    assert compared(was, numbers(next_one, dtype="bfloat16", wide="float32"), tmp_path).failed


def test_a_loss_from_elsewhere_is_named_where_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    then = {"numpy": "2.5.5", "numpy's own loss": "scipy.special.log_softmax 1.15.0"}
    save(file, 0, then, {KEY._replace(backend="numpy"): numbers(1.0)}, own=True)
    now = current_versions({"numpy": NumPyAdapter()}) | {"numpy": "2.5.5"}
    found = compare(load(file, 0), Run([], {KEY._replace(backend="numpy"): numbers(2.0)}, now), 4.0)
    loss = f"scipy.special.log_softmax {version('scipy')}"
    assert found.moved[0].versions == f"numpy 2.5.5, numpy's own loss scipy.special.log_softmax 1.15.0 -> {loss}"


def test_rows_are_spread_from_the_first_to_the_last() -> None:
    assert list(chosen(1)) == [0]
    assert list(chosen(4)) == [0, 1, 2, 3]
    rows = chosen(1797)
    assert len(rows) == COUNT
    assert (rows[0], rows[-1]) == (0, 1796)


@pytest.mark.parametrize("family", ["digits", "soft", "ignored", "binary", "probabilities", "minus-inf", "bfloat16"])
def test_the_gradient_kept_is_that_at_the_label(family: str) -> None:
    for case in FAMILIES[family].cases(0):
        exact = reference(case)
        labelled = exact.at_label.reshape(len(exact.loss), -1)
        kept = sample(case, exact, Outcome(exact.loss, exact.gradient), ours=True)["gradient"]
        for row, value, scale in zip(chosen(len(exact.loss)), kept.values, kept.scale.sizes, strict=True):
            if labelled[row].sum() == 1:
                due = exact.gradient.reshape(labelled.shape)[row][labelled[row]][0]
                assert value == due or (np.isnan(value) and np.isnan(due)), (case.name, row)
                assert scale == 0, (case.name, row)
            assert np.isfinite(scale), (case.name, row)


def test_sums_of_terms_are_at_least_the_gradients() -> None:
    for case in FAMILIES["linear"].cases(0):
        assert isinstance(case, LinearCase)
        exact = reference(case)
        for gradient, terms in zip(products(case, exact).gradients, term_sums(case, exact), strict=True):
            assert terms.shape == gradient.shape
            assert np.all(np.abs(gradient) <= terms * (1 + 1e-12)), case.name


def test_a_linear_loss_keeps_entries_of_every_product() -> None:
    result = run_family(FAMILIES["linear"], {"numpy": NumPyAdapter()}, 0)
    found = measured([result])
    assert {key.what for key in found if key.case == "confident" and key.whose == OURS} == {
        "loss",
        "hidden",
        "weight",
        "bias",
    }
    weight = found[Key("linear", "index", "numpy", OURS, "weight")]
    assert weight.places[0] == "at [0, 0]"
    assert weight.places[-1] == "at [63, 15]"


def test_another_input_is_named_and_its_numbers_are_not_compared(tmp_path: Path) -> None:
    case = FAMILIES["digits"].cases(0)[0]
    other = replace(case, logits=case.logits * np.float32(1.01))
    key = Key("digits", "index", "-", "exact", "loss")
    file = tmp_path / "baseline.json"
    save(file, 0, {}, {key: exact_sample(case, reference(case)), KEY: numbers(1.0)}, own=True)
    now = {key: exact_sample(other, reference(other)), KEY: numbers(2.0)}
    found = compare(load(file, 0), Run([], now, {"torch": "2.15.0"}), 4.0)
    assert not found.moved
    assert found.count == 0
    assert len(found.missing) == 1
    assert found.missing[0].startswith("digits/index: the input is not the baseline's: the exact loss of row ")


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "baseline.json"
    assert run(*FEW, "--save", str(path)).exit_code == 0
    return path


def flat(output: str) -> str:
    return re.sub(r"\s+", " ", output.replace("│", " "))


def test_the_same_run_again_is_within_every_bound(file: Path) -> None:
    result = run(*FEW, "--compare", str(file), "--bound", "0")
    assert result.exit_code == 0, result.output
    assert "the same versions" in result.stdout
    assert "our losses: not one number moved" in result.stdout
    assert "PASS no number moved by more than 0 ulp; compared: " in flat(result.stdout)


def test_two_runs_write_the_same_file(file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    run(*FEW, "--save", str(again))
    assert again.read_bytes() == file.read_bytes()
    assert max(len(line) for line in again.read_text().splitlines()) < 200


def test_an_upgrade_that_moves_numbers_fails_and_names_them(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    register(monkeypatch, numpy=f"{__name__}:later")
    record = file.with_name("report.json")
    result = run("--families", "soft", "--compare", str(file), "--save", str(file))
    assert "not in the baseline: numpy in 4 cases" in flat(result.stdout)
    assert run("--families", "soft", "--compare", str(file), "--bound", "0").stdout.count("not one number moved") == 2

    monkeypatch.undo()
    result = run("--backends", "numpy", "--families", "soft", "--compare", str(file), "--json", str(record))
    assert result.exit_code == 1
    upgraded = re.escape(f"numpy 9.9 -> {np.__version__}")
    line = (
        r"soft/spread, xentropy on numpy: the loss of row 0 was \S+, is \S+: "
        rf"\S+ ulp of the number apart, 8 allowed \({upgraded}\)"
    )
    assert re.search(line, flat(result.stdout))
    assert "PASS every bound met" in flat(result.stdout)
    assert "FAIL numbers moved: " in flat(result.stdout)
    found = json.loads(record.read_text())["baseline"]
    assert found["verdict"] == "fail"
    assert found["bound"] == 8
    assert any(re.fullmatch(line, move) for move in found["moved"])
    assert re.search(r"xentropy on numpy.* ulp of the number apart", found["largest"]["ours"])


def test_the_old_file_is_compared_to_before_it_is_overwritten(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    register(monkeypatch, numpy=f"{__name__}:later")
    assert run("--families", "examples,digits", "--compare", str(file), "--save", str(file)).exit_code == 1
    result = run("--families", "examples,digits", "--compare", str(file), "--bound", "0")
    assert "PASS no number moved" in flat(result.stdout)


def test_what_was_left_out_on_purpose_is_a_note(file: Path) -> None:
    result = run("--backends", "numpy", "--families", "examples", "--compare", str(file))
    assert result.exit_code == 0
    assert "not asked for: digits" in result.stdout


@pytest.mark.parametrize(
    ("options", "change", "has"),
    [
        (FEW, lambda text: re.sub(r'("numbers": \{).*?\n \}', r"\1}", text, flags=re.DOTALL), "no numbers"),
        (["--backends", "numpy", "--families", "offset"], str, "numpy in examples, digits, and this run has none of"),
    ],
)
def test_a_comparison_of_nothing_is_a_failure(
    options: list[str], change: Callable[[str], str], has: str, file: Path
) -> None:
    path = rewritten(file, change)
    result = run(*options, "--compare", path)
    assert result.exit_code == 1
    printed = re.sub(r"\s", "", result.stdout)
    assert re.sub(r"\s", "", f"FAIL not one number was compared: {path} has {has}") in printed
    assert "not one number moved" not in flat(result.stdout)


def saved_of(own: str, tmp_path: Path) -> Baseline:
    path = tmp_path / "of.json"
    save(path, 0, {"numpy": "2.5.5", "numpy's own loss": own}, {}, own=True)
    return load(path, 0)


class Teams(NumPyAdapter):
    native_name = "team.losses:plain"


SCIPY = "scipy.special.log_softmax"


@pytest.mark.parametrize(
    ("own", "adapter", "message"),
    [
        ("team.losses:plain", NumPyAdapter(), f"the loss team.losses:plain in numpy's place, and this run has {SCIPY}"),
        ("team.losses:other", Teams(), "the loss team.losses:other in numpy's place, and this run has team.losses:pl"),
        (f"{SCIPY} 1.15.0", Teams(), f"of numpy's own loss, {SCIPY} 1.15.0, and this run has team.losses:plain there"),
    ],
)
def test_a_baseline_of_another_loss_is_refused(own: str, adapter: NumPyAdapter, message: str, tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match=re.escape(message)):
        check_losses(saved_of(own, tmp_path), {"numpy": adapter})


@pytest.mark.parametrize(
    ("own", "adapter"),
    [
        ("team.losses:plain", Teams()),
        ("team.losses:plain 1.0", Teams()),
        (f"{SCIPY} 1.15.0", NumPyAdapter()),
        ("numpy.log", NumPyAdapter()),
    ],
)
def test_a_baseline_of_the_same_loss_is_not(own: str, adapter: NumPyAdapter, tmp_path: Path) -> None:
    check_losses(saved_of(own, tmp_path), {"numpy": adapter})
    check_losses(saved_of("team.losses:plain", tmp_path), {"other": adapter})


def rewritten(file: Path, change: Callable[[str], str]) -> str:
    file.write_text(change(file.read_text()))
    return str(file)


def test_a_backend_that_is_gone_is_a_failure(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    register(monkeypatch, numpy="xentropy_numpy.parity:adapter")
    path = rewritten(file, lambda text: text.replace(" numpy ", " theano ").replace('"numpy"', '"theano"'))
    result = run("--families", "examples,digits", "--compare", path)
    assert result.exit_code == 1
    assert f"theano {np.__version__} is not installed any more" in flat(result.stdout)
    alone = run(*FEW, "--compare", path)
    assert alone.exit_code == 1, "asked for NumPy alone, of which the file has nothing"
    assert "FAIL not one number was compared" in flat(alone.stdout)


def test_a_loss_that_is_gone_is_a_failure(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    register(monkeypatch, numpy=f"{__name__}:silent")
    result = run("--families", "examples,digits", "--compare", str(file))
    assert result.exit_code == 1
    assert "digits/index, numpy's own loss: not measured (loss): no such loss" in flat(result.stdout)


def test_a_case_that_is_gone_is_a_failure(file: Path) -> None:
    path = rewritten(file, lambda text: text.replace("digits/index ", "digits/gone "))
    result = run(*FEW, "--compare", path)
    assert result.exit_code == 1
    message = "digits/gone, xentropy on numpy: not measured (loss, gradient): there is no such case any more"
    assert message in flat(result.stdout)
    assert "not in the baseline: numpy in 1 case (digits/index)" in flat(result.stdout)


def test_a_baseline_may_be_of_our_losses_alone(tmp_path: Path) -> None:
    file = tmp_path / "ours.json"
    assert run(*FEW, "--save", str(file), "--no-own").exit_code == 0
    assert Baseline.whose.fget is not None
    assert load(file, 0).whose == {OURS}
    result = run(*FEW, "--compare", str(file))
    assert result.exit_code == 0
    assert "not in the baseline" not in result.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"schema": 1', '"schema": 7'), "has schema 7, and this version reads 1"),
        (lambda text: text.replace('"seed": 0', '"seed": 5'), "was saved with seed 5, and this is seed 0"),
        (lambda text: text.replace("parity baseline", "parity report"), "is no baseline"),
        (lambda text: text[:-20], "is no baseline"),
        (lambda text: "[]", "is no baseline"),
        (lambda text: text.replace(" ours loss", " ours"), "is a damaged baseline"),
        (lambda text: text.replace('"numbers"', '"figures"'), "is a damaged baseline"),
        (lambda text: re.sub(r"\[0\.\d+", '["much"', text), "is a damaged baseline"),
        (lambda text: re.sub(r"\[0\.\d+", "[1" + "0" * 400, text), "is a damaged baseline: OverflowError"),
    ],
)
def test_a_file_that_cannot_be_compared_to_is_a_wrong_call(
    change: Callable[[str], str], message: str, file: Path
) -> None:
    path = rewritten(file, change)
    result = run("--compare", path)
    assert result.exit_code == 2
    assert message.replace(" ", "") in re.sub(r"[\s│]+", "", result.stderr)
    assert "loading" not in result.stdout
    with pytest.raises(BaselineError, match="baseline"):
        load(Path(path), 0)


@pytest.mark.parametrize(
    "arguments", [["--compare", "/no/such/file"], ["--save", "/no/such/directory/b.json"], ["--bound", "-1"]]
)
def test_a_wrong_call_exits_with_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


# --- the files of this repository ----------------------------------------------------------------------------------


OURS_FILE = Path(__file__).parent / "parity-baseline.json"
RECIPE_FILE = Path(__file__).parents[1] / "examples" / "ci" / "parity-baseline.json"


def test_our_baseline_has_every_case() -> None:
    found = dict.fromkeys((key.family, key.case) for key in load(OURS_FILE, 0).lines)
    assert list(found) == [(name, case.name) for name, family in FAMILIES.items() for case in family.cases(0)]


@pytest.mark.parametrize("path", [OURS_FILE, RECIPE_FILE], ids=["ours", "recipe"])
def test_numpy_gives_the_numbers_of_our_baselines(path: Path) -> None:
    result = run("--backends", "numpy", "--families", "digits,confident,offset,soft", "--compare", str(path))
    assert result.exit_code == 0, result.stdout
    assert "not in the baseline" not in result.stdout
