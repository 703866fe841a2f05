"""A backend of somebody else's, for arrays of its own, is found by its entry point and by nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from derivatives import EVERYTHING, PROBLEMS, Problem, assert_close
from outside import install, run

PROJECT = Path(__file__).parent / "third_party"

# What a user of tally writes; everything that it prints is compared with what NumPy users get.
REPORT = """
import json
import sys

import numpy as np
import tally
import xentropy
from tally import Tally

found = {}
for name, (arrays, options, binary) in json.loads(sys.stdin.read()).items():
    logits, targets = (np.array(a) for a in arrays)
    options = {k: np.array(v) if isinstance(v, list) else v for k, v in options.items()}
    loss = xentropy.binary_cross_entropy if binary else xentropy.cross_entropy
    theirs = {k: Tally(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    value, gradient = xentropy.value_and_grad(loss)(Tally(logits), Tally(targets), **theirs)
    assert type(value) is type(gradient) is Tally
    assert gradient.to_numpy().dtype == logits.dtype
    found[name] = [value.item(), gradient.to_numpy().tolist()]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site-packages")
    install(PROJECT, target)
    return target


REDUCED = [problem for problem in PROBLEMS if problem.options.get("reduction") != "none"]


@pytest.fixture(scope="module")
def found(installed: Path) -> dict[str, Any]:
    questions = {p.name: [[p.logits, p.targets], dict(p.options), p.binary] for p in REDUCED}
    return json.loads(run(REPORT.replace("sys.stdin.read()", repr(json.dumps(questions))), installed).stdout)


@pytest.mark.parametrize("problem", REDUCED, ids=[problem.name for problem in REDUCED])
def test_loss_and_gradient(problem: Problem, found: dict[str, Any]) -> None:
    value, gradient = found[problem.name]
    assert_close(value, problem.exact.value)
    assert_close(np.array(gradient), problem.exact.gradient[0])


def test_its_own_backend_is_used(installed: Path) -> None:
    """Every number comes from tally's own operations, and only its arrays go there."""
    run(
        """
import numpy as np
import tally, xentropy
from xentropy import registry

x, y = tally.Tally([[1.0, 2.0, 0.5]]), tally.Tally([0])
before = tally.operations()
loss = xentropy.cross_entropy(x, y, reduction="none")
assert tally.operations() > before
assert type(loss) is tally.Tally and loss.shape == (1,)
assert registry.resolve(x).name == "tally"
before = tally.operations()
xentropy.cross_entropy(np.array([[1.0, 2.0, 0.5]]), [0])
assert tally.operations() == before
""",
        installed,
    )


def test_nothing_is_loaded_before_it_is_needed(installed: Path) -> None:
    run(
        """
import sys
import numpy as np
import xentropy

xentropy.cross_entropy(np.array([[1.0, 2.0]]), [0])
assert "tally_xentropy" not in sys.modules and "tally" not in sys.modules
import tally
assert "tally_xentropy" not in sys.modules
xentropy.cross_entropy(tally.Tally([[1.0, 2.0]]), [0])
assert "tally_xentropy.backend" in sys.modules
""",
        installed,
    )


def test_subclasses_of_its_arrays_go_to_it(installed: Path) -> None:
    run(
        """
import tally, xentropy
from xentropy import registry

class Mine(tally.Tally):
    pass

assert registry.resolve(Mine([[1.0, 2.0]])).name == "tally"
xentropy.cross_entropy(Mine([[1.0, 2.0]]), tally.Tally([0]))
""",
        installed,
    )


def test_every_public_function_and_every_kind_of_argument(installed: Path) -> None:
    """NumPy arrays, lists and numbers beside its own arrays; wrong labels named; other libraries' arrays refused."""
    options = {name: value for name, value in EVERYTHING.items() if not isinstance(value, list)}
    run(
        f"""
import numpy as np
import tally, xentropy
from tally import Tally

logits = np.array([[0.25, -1.5, 2.0, 0.75], [3.0, 1.0, -2.0, 1.125]])
weights = dict(class_weight=[0.5, 2.0, 1.25, 3.0], sample_weight=np.array([1.0, 2.0]))
weights["class_mask"] = [True, True, True, False]
loss = xentropy.cross_entropy(Tally(logits), [2, 1], normalizer=3, **weights, **{options})
expected = xentropy.cross_entropy(logits, [2, 1], normalizer=3, **weights, **{options})
assert loss.item() == expected
rows = xentropy.cross_entropy(Tally(logits.T), np.array([2, -1]), axis=0, ignore_index=-1, reduction="none")
assert rows.to_numpy().tolist() == xentropy.cross_entropy(logits, [2, -1], ignore_index=-1, reduction="none").tolist()

theirs, ours = (xentropy.token_statistics(x, [2, 1]) for x in (Tally(logits), logits))
for mine, other in zip(theirs, ours):
    assert mine.to_numpy().tolist() == other.tolist()

narrow = logits.astype(np.float32)
wide = xentropy.cross_entropy(Tally(narrow), [2, 1], precision="float64")
assert wide.dtype == np.float32 and wide.item() == xentropy.cross_entropy(narrow, [2, 1], precision="float64")

for wrong, error, message in (
    (dict(targets=Tally([2, 4])), IndexError, "targets[1] is 4"),
    (dict(targets=Tally([2, 1, 0])), ValueError, "(3,)"),
    (dict(targets=Tally([True, False])), TypeError, "bool"),
):
    try:
        xentropy.cross_entropy(Tally(logits), **wrong)
    except error as raised:
        assert message in str(raised), raised
    else:
        raise AssertionError(f"{{wrong}} was accepted")
try:
    xentropy.cross_entropy(logits, Tally([2, 1]))
except TypeError as raised:
    assert "tally" in str(raised) and "numpy" in str(raised)
else:
    raise AssertionError("an array of another library was accepted")
""",
        installed,
    )


def test_without_its_entry_point_it_is_unknown(installed: Path, tmp_path: Path) -> None:
    """Its modules alone are not enough, so that the tests above are about the entry point."""
    for package in ("tally", "tally_xentropy"):
        (tmp_path / package).symlink_to(installed / package)
    result = run(
        "import tally, xentropy; xentropy.cross_entropy(tally.Tally([[1.0, 2.0]]), [0])", tmp_path, check=False
    )
    assert result.returncode != 0
    assert "TypeError" in result.stderr
    assert "'xentropy.backends'" in result.stderr
