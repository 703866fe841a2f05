"""What torch.distributed adds to ``test_parts``: derivatives, linear losses, DTensors, exchanges and their failures."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engines import PARTS, processes, slices, torch_jobs
from engines.processes import Processes
from test_parts import random_rows

import xentropy

ROWS, CLASSES, FEATURES = 24, 11, 5
EXAMPLE = Path(__file__).parents[1] / "examples" / "vocabulary_parallel_torch.py"
HEADER = 1024


def run(job: str, *args: Any, parts: int) -> list[Any]:
    return processes.run(getattr(torch_jobs, job), *args, parts=parts)


def outcomes(job: str, *args: Any, parts: int, among: Processes | None = None) -> list[Any]:
    return (among or processes.processes()).run(getattr(torch_jobs, job), *args, parts=parts)


def soft_rows() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(3)
    return {**random_rows(CLASSES, 3.0), "targets": rng.dirichlet(np.ones(CLASSES), ROWS).astype(np.float32)}


def head(classes: int = CLASSES, *, soft: bool = False) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(5)
    sizes = {"hidden": (ROWS, FEATURES), "weight": (classes, FEATURES), "bias": (classes,)}
    arrays = {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    targets = rng.dirichlet(np.ones(classes), ROWS).astype(np.float32) if soft else rng.integers(0, classes, ROWS)
    return {**arrays, "targets": targets}


def whole_second(function: Any, arrays: dict[str, Any], static: dict[str, Any], wrt: tuple[str, ...]) -> list[Any]:
    """The gradient of the squared gradient, of the loss that is not in parts."""
    given = {name: torch.tensor(a) for name, a in arrays.items()}
    leaves = [given[name].requires_grad_() for name in wrt]
    gradients = torch.autograd.grad(function(**given, **static), leaves, create_graph=True)
    total = torch.stack([(gradient**2).sum() for gradient in gradients]).sum()
    return [g.numpy() for g in torch.autograd.grad(total, leaves)]


SECOND: dict[str, dict[str, Any]] = {
    "plain": {},
    "smoothing_z": {"label_smoothing": 0.1, "z_loss": 0.01},
    "softcap": {"softcap": 5.0, "temperature": 0.5},
    "focal": {"focal_gamma": 2.0},
    "focal_smoothing": {"focal_gamma": 2.0, "label_smoothing": 0.1},
    "ignored": {"ignore_index": 3},
}


@pytest.mark.parametrize("static", SECOND.values(), ids=SECOND)
@pytest.mark.parametrize(("classes", "reduction"), [(CLASSES, "sum"), (5, "mean")])
@pytest.mark.parametrize("parts", PARTS)
def test_second_derivative(static: dict[str, Any], parts: int, classes: int, reduction: str) -> None:
    """Of 5 classes, the last of 4 parts has none."""
    arrays, static = random_rows(classes, 2.0), {**static, "reduction": reduction}
    (whole,) = whole_second(xentropy.cross_entropy, arrays, static, ("logits",))
    found = run("second", arrays, static, ("logits",), parts=parts)
    np.testing.assert_allclose(np.concatenate([g for (g,) in found], axis=-1), whole, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("classes", [CLASSES, 5])
@pytest.mark.parametrize("parts", PARTS)
def test_third_derivative(parts: int, classes: int) -> None:
    """Of 5 classes, the last of 4 parts has none."""
    arrays = random_rows(classes, 1.0)
    arrays["logits"] = arrays["logits"].astype(np.float64)
    leaf = torch.tensor(arrays["logits"]).requires_grad_()
    labels = torch.tensor(arrays["targets"])
    whole = torch_jobs.third_of(torch.nn.functional.cross_entropy(leaf, labels, reduction="sum"), leaf)
    found = run("third", arrays, parts=parts)
    np.testing.assert_allclose(np.concatenate(found, axis=-1), whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("parts", PARTS)
def test_second_derivative_by_soft_targets(parts: int) -> None:
    arrays, wrt = soft_rows(), ("logits", "targets")
    static = {"label_smoothing": 0.1, "focal_gamma": 1.0}
    whole = whole_second(xentropy.cross_entropy, arrays, static, wrt)
    found = run("second", arrays, static, wrt, parts=parts)
    for i in range(2):
        np.testing.assert_allclose(np.concatenate([g[i] for g in found], axis=-1), whole[i], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("static", [{}, {"label_smoothing": 0.1, "chunk_rows": 5}, {"softcap": 3.0, "ignore_index": 2}])
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
@pytest.mark.parametrize("parts", PARTS)
def test_linear(parts: int, soft: bool, static: dict[str, Any]) -> None:
    if soft and "ignore_index" in static:
        static = {"focal_gamma": 2.0}
    arrays, wrt = head(soft=soft), ("hidden", "weight", "bias")
    value, gradients = xentropy.value_and_grad(xentropy.linear_cross_entropy)(**arrays, **static)
    found = run("linear", arrays, static, wrt, parts=parts)
    for part, gradient in found:
        np.testing.assert_array_almost_equal_nulp(part, value, 2)
        np.testing.assert_allclose(gradient[0], gradients[0], atol=4e-7)
        np.testing.assert_array_equal(gradient[0], found[0][1][0])
    for i in (1, 2):
        np.testing.assert_allclose(np.concatenate([g[i] for _, g in found]), gradients[i], atol=4e-7)


@pytest.mark.parametrize("classes", [CLASSES, 5])
@pytest.mark.parametrize("parts", PARTS)
def test_linear_second_derivative(parts: int, classes: int) -> None:
    """By the weights: what each part's own squared gradient of the weights says of all of them."""
    arrays, static, wrt = head(classes), {"z_loss": 0.1}, ("weight", "bias")
    whole = whole_second(xentropy.linear_cross_entropy, arrays, static, wrt)
    found = run("linear_second", arrays, static, wrt, parts=parts)
    for i in range(2):
        np.testing.assert_allclose(np.concatenate([g[i] for g in found]), whole[i], rtol=2e-5, atol=2e-6)


FIELDS = {"plain": (4, {}), "smoothing": (8, {"label_smoothing": 0.1}), "softcap": (5, {"softcap": 5.0})}


@pytest.mark.parametrize(("fields", "static"), FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("parts", PARTS)
def test_exchanges(parts: int, fields: int, static: dict[str, Any]) -> None:
    """One message of a fixed size, one exchange of a few float64 numbers a row, and none on the way back."""
    for classes in (CLASSES, 1000):
        for forward, backward in run("exchanges", random_rows(classes, 1.0), static, parts=parts):
            assert forward == [("all_gather", HEADER), ("all_gather", fields * ROWS * 8)]
            assert backward == []


def test_exchanges_are_those_of_the_documented_arithmetic() -> None:
    """The page on parts multiplies these."""
    page = (Path(__file__).parents[1] / "benchmarks" / "parts" / "arithmetic.py").read_text()
    (forward, _), *_ = run("exchanges", random_rows(CLASSES, 1.0), {}, parts=2)
    assert f'"xentropy": Way(gathered={forward[1][1] // ROWS}, reduced=0, exchanges={len(forward)},' in page


def test_exchanges_of_focal_smoothing() -> None:
    """Three numbers a row more: each class's factor depends on what all parts have said."""
    for forward, backward in run(
        "exchanges", random_rows(CLASSES, 1.0), {"focal_gamma": 2.0, "label_smoothing": 0.1}, parts=2
    ):
        assert forward == [("all_gather", HEADER), ("all_gather", 8 * ROWS * 8), ("all_reduce", 3 * ROWS * 8)]
        assert backward == []


@pytest.mark.parametrize("parts", PARTS)
def test_exchanges_of_linear(parts: int) -> None:
    """On the way back the sum of what each part has for the hidden states."""
    for forward, backward in run("exchanges", head(), {}, parts=parts):
        assert forward == [("all_gather", HEADER), ("all_gather", 4 * ROWS * 8)]
        assert backward == [("all_reduce", ROWS * FEATURES * 4)]


def cut_rows(parts: int) -> list[tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]]:
    """A call for each part."""
    arrays = random_rows(CLASSES, 1.0)
    return [({**arrays, "logits": arrays["logits"][:, where]}, {}) for where in slices(CLASSES, parts)]


def assert_refused(found: list[Any], kinds: tuple[type[Exception], ...], said: str) -> None:
    for outcome in found:
        assert isinstance(outcome, kinds), outcome
        assert re.search(said, str(outcome)), outcome


@pytest.mark.parametrize("parts", PARTS[1:])
def test_parts_that_disagree_all_say_so(parts: int) -> None:
    calls = cut_rows(parts)
    calls[1] = ({name: a[:5] for name, a in calls[1][0].items()}, {})
    said = r"same rows, but part 0 has \(24,\) and part 1 has \(5,\)"
    assert_refused(outcomes("each_its_own", calls, parts=parts), (ValueError,), said)
    calls = cut_rows(parts)
    calls[-1] = (calls[-1][0], {"label_smoothing": 0.1})
    said = f"same label_smoothing, but part 0 has 0.0 and part {parts - 1} has 0.1"
    assert_refused(outcomes("each_its_own", calls, parts=parts), (ValueError,), said)


def test_parts_that_call_different_functions_all_say_so() -> None:
    said = "same function, but part 0 has cross_entropy and part 1 has linear_cross_entropy"
    assert_refused(outcomes("linear_or_not", head(), parts=2), (ValueError,), said)
    said = "same gradient of hidden, but part 0 has True and part 1 has False"
    assert_refused(outcomes("hidden_of_one", head(), parts=2), (ValueError,), said)


def test_options_that_only_look_different() -> None:
    calls = cut_rows(2)
    calls[0][1]["ignore_index"], calls[1][1]["ignore_index"] = -100, np.int64(-100)
    assert len(set(outcomes("each_its_own", calls, parts=2))) == 1


@pytest.mark.parametrize("options", [{"normalizer": 2.0}, {"ignore_index": 10**1200}])
def test_options_that_are_different_or_too_long_to_tell(options: dict[str, Any]) -> None:
    calls = cut_rows(2)
    calls[1][1].update(options)
    for outcome in outcomes("each_its_own", calls, parts=2):
        assert isinstance(outcome, (ValueError, RuntimeError))


@pytest.mark.parametrize("parts", PARTS)
def test_in_a_checkpoint(parts: int) -> None:
    arrays = random_rows(CLASSES, 1.0)
    _, gradient = xentropy.value_and_grad(xentropy.cross_entropy)(**arrays)
    np.testing.assert_allclose(np.concatenate(run("checkpointed", arrays, parts=parts), axis=-1), gradient, atol=4e-7)


@pytest.mark.parametrize("parts", PARTS[1:])
def test_an_error_in_one_part_is_one_in_all(parts: int) -> None:
    calls = cut_rows(parts)
    calls[-1] = (calls[-1][0], {"temperature": -1.0})
    found = outcomes("each_its_own", calls, parts=parts)
    assert_refused(found[:-1], (RuntimeError,), f"part {parts - 1} of {parts}.*ValueError: temperature must be in")
    assert_refused(found[-1:], (ValueError,), "temperature must be in")
    # And the next call is as good as ever.
    assert len(set(outcomes("each_its_own", cut_rows(parts), parts=parts))) == 1


@pytest.mark.parametrize("parts", PARTS)
def test_a_label_on_no_part(parts: int) -> None:
    calls = cut_rows(parts)
    for arrays, _ in calls:
        arrays["targets"] = np.where(np.arange(ROWS) == 7, CLASSES, arrays["targets"])
    said = rf"targets\[7\] is {CLASSES}, but class indices must be in \[0, {CLASSES}\)"
    assert_refused(outcomes("each_its_own", calls, parts=parts), (IndexError,), said)
    for arrays, static in calls:
        arrays["targets"] = np.where(np.arange(ROWS) == 7, -1, arrays["targets"])
        static["validate"] = False
    assert all(np.isnan(loss) for loss in outcomes("each_its_own", calls, parts=parts))


def test_targets_that_differ() -> None:
    calls = cut_rows(2)
    calls[1][0]["targets"] = np.where(calls[1][0]["targets"] < 6, CLASSES - 1, calls[1][0]["targets"])
    assert_refused(outcomes("each_its_own", calls, parts=2), (ValueError,), "other parts have other targets there")


def test_a_masked_label_is_an_error_in_all() -> None:
    calls, label = cut_rows(2), 8
    for (arrays, _), where in zip(calls, slices(CLASSES, 2), strict=True):
        arrays["targets"] = np.full(ROWS, label)
        arrays["class_mask"] = (np.arange(CLASSES) != label)[where]
    said = r"targets\[0\] is 8, a class that class_mask excludes in the part that has it"
    assert_refused(outcomes("each_its_own", calls, parts=2), (ValueError,), said)


@pytest.mark.parametrize(("job", "parts"), [("one_dies", 3), ("one_is_absent", 2)])
def test_a_process_that_is_gone(job: str, parts: int) -> None:
    """An error in all others, within the time that the group waits; no hang, and no number."""
    mortal = Processes(parts, patience=3.0)
    try:
        found = outcomes(job, random_rows(CLASSES, 1.0), parts=parts, among=mortal)
        assert_refused(found[:-1], (RuntimeError,), f"an exchange between the {parts} processes of the classes failed")
    finally:
        mortal.stop()


def test_groups_and_transforms_that_do_not_fit() -> None:
    for found in run("refused", random_rows(CLASSES, 1.0), parts=1):
        assert found[0] == "TypeError: group must be a torch.distributed.ProcessGroup, got str"
        assert len(found) == 3
        for said in found[1:]:
            assert said.startswith("NotImplementedError: a loss with a group has gradients by torch.autograd")


def test_without_torch_distributed() -> None:
    with pytest.raises(RuntimeError, match=r"torch\.distributed is not initialised"):
        xentropy.cross_entropy(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), group="classes")


def test_in_a_compiled_function() -> None:
    arrays = random_rows(CLASSES, 1.0)
    doubled = {**arrays, "logits": 2.0 * arrays["logits"]}
    value, gradient = xentropy.value_and_grad(xentropy.cross_entropy)(**doubled)
    found = run("compiled", arrays, parts=2)
    for loss, _ in found:
        np.testing.assert_allclose(loss, value + 1.0, rtol=1e-6)
    np.testing.assert_allclose(np.concatenate([g for _, g in found], axis=-1), 2.0 * gradient, atol=4e-7)


@cache
def whole(weighted: bool) -> Any:
    return xentropy.value_and_grad(xentropy.cross_entropy)(**dtensor_rows(weighted))


def dtensor_rows(weighted: bool) -> dict[str, np.ndarray[Any, Any]]:
    arrays = random_rows(CLASSES, 3.0)
    weights = np.linspace(0.5, 2.0, CLASSES, dtype=np.float32)
    return {**arrays, "class_weight": weights} if weighted else arrays


@pytest.mark.parametrize("drop_in", [False, True], ids=["core", "drop_in"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("parts", PARTS)
def test_dtensor(parts: int, weighted: bool, drop_in: bool) -> None:
    """Sharded logits as they are: a replicated loss, and a gradient that is sharded as the logits are."""
    value, gradient = whole(weighted)
    found = run("sharded", dtensor_rows(weighted), {}, 1, drop_in, parts=parts)
    for kinds, loss, of_logits in found:
        assert kinds == ("DTensor", "(Replicate(),)", "(Shard(dim=1),)")
        np.testing.assert_array_almost_equal_nulp(loss, value, 2)
        np.testing.assert_allclose(of_logits, 2.0 * gradient, atol=4e-7)


def test_dtensor_sharded_by_rows() -> None:
    found = outcomes("sharded", dtensor_rows(weighted=False), {}, 0, False, parts=2)
    assert_refused(found, (ValueError,), "a DTensor must be sharded along its classes, axis 1")


@pytest.mark.parametrize("parts", PARTS)
def test_dtensor_weights(parts: int) -> None:
    arrays = head()
    value, gradients = xentropy.value_and_grad(xentropy.linear_cross_entropy)(**arrays)
    for loss, *found in run("sharded_head", arrays, parts=parts):
        np.testing.assert_array_almost_equal_nulp(loss, value, 2)
        for one, other in zip(found, gradients, strict=True):
            np.testing.assert_allclose(one, other, atol=4e-7)


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_torchrun(parts: int) -> None:
    """The example, as a user starts it."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={parts}"]
    done = subprocess.run([*launcher, str(EXAMPLE)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "the same as in one process: True" in done.stdout
