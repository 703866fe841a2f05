"""Programs that reproduce a case: run, and held against what was measured."""

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from harness import Harness
from test_parity_cli import register

from xentropy.parity import discovery
from xentropy.parity.adapter import ParityAdapter
from xentropy.parity.cases import Array, Case, round_to
from xentropy.parity.families import FAMILIES
from xentropy.parity.linear import LinearCase
from xentropy.parity.literals import written
from xentropy.parity.measure import Outcome, native, ours
from xentropy.parity.snippet import MOST_NUMBERS, Origin, arrays, reproduce
from xentropy_numpy.parity import NumPyAdapter

Adapters = dict[str, ParityAdapter]
SEED = 3
# Every option, every kind of target, every dtype that needs no switch, and numbers that are not finite. Each compiles a
# program of its own in some frameworks: one case for each thing that is written in another way.
SAMPLE = [
    *(("examples", name) for name in ("Categorical", "CrossEntropyLoss")),
    ("many-classes", "32768"),
    *(("soft", name) for name in ("spread", "1000-classes")),
    *(("weighted", name) for name in ("both", "soft-class")),
    *(("ignored", name) for name in ("index-100", "weight-zero")),
    ("smoothing", "soft"),
    *(("minus-inf", name) for name in ("index", "not-finite")),
    *(("binary", name) for name in ("soft", "smoothing", "pos-weight", "sample-weight", "infinite")),
    *(("probabilities", name) for name in ("digits", "binary-ends")),
    *(("linear", name) for name in ("ignored", "weighted", "soft-smoothed", "bfloat16")),
    ("float16", "32768"),
    ("bfloat16", "spread"),
    ("precision", "digits"),
]
IDS = ["-".join(chosen) for chosen in SAMPLE]


class Foreign(NumPyAdapter):
    """Says no more of its array library than an adapter has to."""

    imports = ParityAdapter.imports
    literal = ParityAdapter.literal
    listed = ParityAdapter.listed
    native_source = ParityAdapter.native_source


foreign = Foreign()


@pytest.fixture(scope="module")
def adapters(requested: tuple[Harness, ...]) -> Adapters:
    """Those of the backends under test; NumPy's where they have none, so that there is always one."""
    names = [one.name for one in requested if one.name in discovery.registered()] or ["numpy"]
    return {name: discovery.load(name) for name in names}


def find(family: str, name: str) -> Case:
    (given,) = (one for one in FAMILIES[family].cases(SEED) if one.name == name)
    return given


def run(program: str, *, own: bool) -> dict[str, Any]:
    names: dict[str, Any] = {}
    # As in `measure`: what the frameworks' own losses warn of on these inputs is in their numbers.
    with warnings.catch_warnings(action="ignore" if own else "error"):
        exec(compile(program, "program", "exec"), names)
    return names


def measured(adapter: ParityAdapter, case: Case, *, own: bool) -> Outcome:
    """The second time: a library may compile what it meets again, and its last bits move once by that."""
    measure = native if own else ours
    measure(adapter, case)
    return measure(adapter, case)


def numbers(adapter: ParityAdapter, result: Any) -> tuple[Array, ...]:
    results = result if isinstance(result, tuple) else (result,)
    return tuple(adapter.to_numpy(one) for one in results)


def assert_reproduced(adapter: ParityAdapter, found: dict[str, Any], outcome: Outcome) -> None:
    assert outcome.loss is not None, outcome
    np.testing.assert_array_equal(numbers(adapter, found["loss"])[0], outcome.loss)
    expected = outcome.products or (() if outcome.gradient is None else (outcome.gradient,))
    assert ("gradient" in found) == bool(expected)
    for one, due in zip(numbers(adapter, found.get("gradient", ())), expected, strict=True):
        np.testing.assert_array_equal(one, due)


@pytest.mark.parametrize("own", [False, True], ids=["ours", "own"])
@pytest.mark.parametrize(("family", "name"), SAMPLE, ids=IDS)
def test_a_program_computes_what_was_measured(
    adapters: Adapters, capsys: pytest.CaptureFixture[str], family: str, name: str, own: bool
) -> None:
    whole = find(family, name)
    row = whole.logits.shape[0] - 1
    case = whole.only([row])
    for backend, adapter in adapters.items():
        outcome = measured(adapter, case, own=own)
        program = reproduce(case, adapter, Origin(family, SEED, row), own=own)
        if program is None:
            assert outcome.skipped == "no such loss", backend
            continue
        assert_reproduced(adapter, run(program, own=own), outcome)
        printed = capsys.readouterr().out.splitlines()
        first = np.asarray(eval(printed[0], {"inf": np.inf, "nan": np.nan}), dtype=case.wide_dtype)
        np.testing.assert_array_equal(first, outcome.loss)


def test_programs_of_float64_are_whole(adapters: Adapters) -> None:
    """In a process of their own, as its switch is the process's; in one for all, as it takes seconds to start."""
    kinds = {(name, own): find("float64", name).only([2]) for name in ("soft", "1000-classes") for own in (False, True)}
    for adapter in adapters.values():
        outcomes, programs = [], []
        for (_, own), case in kinds.items():
            outcome = (native if own else ours)(adapter, case)
            program = reproduce(case, adapter, Origin("float64", SEED, 2), own=own)
            if program is None:
                assert outcome.skipped == "no such loss"
                continue
            outcomes.append(outcome)
            programs.append(program)
        lines = iter(printed_alone(programs))
        for outcome in outcomes:
            np.testing.assert_array_equal(eval(next(lines)), outcome.loss)
            if outcome.gradient is not None:
                np.testing.assert_array_equal(eval(next(lines)), outcome.gradient)
        assert next(lines, None) is None


def printed_alone(programs: list[str]) -> list[str]:
    """What they print, each with names of its own."""
    runs = "\n".join(f"exec({program!r}, {{}})" for program in programs)
    done = subprocess.run([sys.executable, "-c", runs], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("own", [False, True], ids=["ours", "own"])
@pytest.mark.parametrize("name", ["index", "one-hot"])
def test_a_whole_case_is_drawn_again(
    adapters: Adapters, capsys: pytest.CaptureFixture[str], name: str, own: bool
) -> None:
    case = find("digits", name)
    for adapter in adapters.values():
        program = reproduce(case, adapter, Origin("digits", SEED), own=own, row="[1700]", entry="[1700, 3]")
        if program is None:
            continue
        outcome = measured(adapter, case, own=own)
        assert_reproduced(adapter, run(program, own=own), outcome)
        assert len(program) < 1500
        loss, *gradient = (float(line) for line in capsys.readouterr().out.splitlines())
        assert outcome.loss is not None
        assert loss == outcome.loss[1700]
        assert gradient == ([] if outcome.gradient is None else [outcome.gradient[1700, 3]])


@pytest.mark.parametrize(("family", "name"), SAMPLE, ids=IDS)
def test_an_adapter_of_somebody_else_is_loaded(monkeypatch: pytest.MonkeyPatch, family: str, name: str) -> None:
    register(monkeypatch, elsewhere=f"{__name__}:foreign")
    case = find(family, name).only([1 if family != "examples" else 0])
    if case.logits.size > MOST_NUMBERS:
        case = find("soft", "1000-classes").only([1])
    program = reproduce(case, foreign, own=False)
    assert program is not None
    assert 'adapter = discovery.load("elsewhere")' in program
    assert_reproduced(foreign, run(program, own=False), ours(foreign, case))
    assert reproduce(case, foreign, own=True) is None


def test_an_adapter_that_is_not_registered_has_no_name() -> None:
    with pytest.raises(discovery.AdapterError, match=r"Foreign is not registered under xentropy\.parity"):
        discovery.name_of(foreign)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_literals_are_exact(adapters: Adapters, dtype: str) -> None:
    rng = np.random.default_rng(SEED)
    bits = rng.integers(0, 2**63, 500).view(np.float64) if dtype == "float64" else rng.integers(0, 2**31, 500)
    finite = bits if dtype == "float64" else bits.astype(np.uint32).view(np.float32)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan]
    with np.errstate(over="ignore", invalid="ignore"):
        values = round_to(np.concatenate([finite, np.asarray(special)]).astype(finite.dtype), dtype)
    again = np.asarray(eval(written(values), {"inf": np.inf, "nan": np.nan}), dtype=values.dtype)
    np.testing.assert_array_equal(again, values)
    assert [bool(np.signbit(x)) for x in again[-5:-3]] == [False, True]


def test_rows_are_cut_with_all_that_belongs_to_them() -> None:
    for family in FAMILIES.values():
        if family.name == "many-classes":
            continue
        for case in family.cases(SEED):
            last = case.logits.shape[0] - 1
            few = case.only([last, 0])
            for name in ("logits", "targets", "sample_weight", "pos_weight"):
                before, after = getattr(case, name), getattr(few, name)
                assert (before is None) == (after is None)
                if before is not None:
                    np.testing.assert_array_equal(after, before[[last, 0]])
            assert few.class_weight is case.class_weight
            if isinstance(case, LinearCase):
                assert isinstance(few, LinearCase)
                np.testing.assert_array_equal(few.hidden, case.hidden[[last, 0]])
                assert few.weight is case.weight


def test_source_is_short_and_has_its_imports_once() -> None:
    adapter = discovery.load("numpy")
    source = arrays(find("ignored", "index-100").only([0]), adapter)
    assert source.startswith("import numpy as np\nfrom math import nan\n\nlogits = np.asarray([[nan, nan,")
    assert "targets = np.asarray([-100], dtype=np.int32)" in source
    program = reproduce(find("float16", "digits").only([0]), adapter, own=False)
    assert program is not None
    assert program.count("import numpy as np") == 1
    assert 'loss = xentropy.cross_entropy(logits, targets, reduction="none")' in program
