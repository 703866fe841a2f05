"""Classes in replicas of a tf.distribute.Strategy: eager and in tf.function, derivatives, errors, exchanges."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from engines import cut, replicas
from reference import ulp

import xentropy
from xentropy_tensorflow import groups
from xentropy_tensorflow.backend import backend

ROWS, CLASSES = 6, 11


def problem(classes: int = CLASSES, *, soft: bool = False) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(7)
    logits = (3.0 * rng.normal(size=(ROWS, classes))).astype(np.float32)
    if soft:
        return {"logits": logits, "targets": rng.dirichlet(np.ones(classes), ROWS).astype(np.float32)}
    return {"logits": logits, "targets": rng.integers(0, classes, ROWS)}


def dense(arrays: dict[str, np.ndarray[Any, Any]], **options: Any) -> tuple[np.ndarray[Any, Any], ...]:
    """The loss that is not in parts, its gradient, and that of ``along_a_direction``; in float64."""
    logits, targets = tf.constant(arrays["logits"], tf.float64), tf.constant(arrays["targets"])
    targets = tf.cast(targets, tf.float64) if targets.dtype.is_floating else targets
    with tf.GradientTape() as outer:
        outer.watch(logits)
        with tf.GradientTape() as inner:
            inner.watch(logits)
            loss = xentropy.cross_entropy(logits, targets, **options)
        gradient = inner.gradient(loss, logits)
        product = tf.reduce_sum(gradient * tf.constant(direction(arrays["logits"].shape), tf.float64))
    return tuple(x.numpy() for x in (loss, gradient, outer.gradient(product, logits)))


def direction(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.random.default_rng(8).normal(size=shape).astype(np.float32)


def loss_of(part: int, group: Any, *, rows: int = ROWS, labels: Any = None, **options: Any) -> Any:
    """A loss of two parts."""
    arrays = cut(problem(), slice(5 * part, 5 + 6 * part))
    targets = arrays["targets"] if labels is None else np.asarray(labels)
    return xentropy.cross_entropy(
        tf.constant(np.ascontiguousarray(arrays["logits"][:rows])), tf.constant(targets[:rows]), group=group, **options
    )


@pytest.fixture(params=[False, True], ids=["eager", "graph"])
def graph(request: pytest.FixtureRequest) -> bool:
    """Whether Strategy.run is in a tf.function."""
    found: bool = request.param
    return found


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_agrees_with_the_whole(graph: bool, parts: int, soft: bool) -> None:
    arrays, options = problem(soft=soft), {"label_smoothing": 0.1, "z_loss": 0.01}
    wrt = ("logits", "targets") if soft else ("logits",)
    rows = dense(arrays, **options, reduction="none")[0]
    found = replicas.evaluate(arrays, {**options, "reduction": "none"}, parts, wrt, graph=graph)
    assert np.all(np.abs(found.value - rows) <= 2.0 * ulp(rows, "float32"))
    np.testing.assert_allclose(found.gradients[0], dense(arrays, **options, reduction="sum")[1], rtol=0.0, atol=4e-7)
    if soft:
        with tf.GradientTape() as tape:
            targets = tf.constant(arrays["targets"])
            tape.watch(targets)
            loss = xentropy.cross_entropy(tf.constant(arrays["logits"]), targets, **options, reduction="sum")
        np.testing.assert_allclose(found.gradients[1], tape.gradient(loss, targets), rtol=1e-6)


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
def test_float64_is_the_same_in_any_number_of_parts(graph: bool, parts: int) -> None:
    arrays, options = problem(60), {"precision": "float64", "reduction": "sum"}
    found = replicas.evaluate(arrays, options, parts, ("logits",), graph=graph)
    value, gradient = xentropy.value_and_grad(xentropy.cross_entropy)(**arrays, **options)
    np.testing.assert_array_equal(found.value, value)
    np.testing.assert_array_equal(found.gradients[0], gradient)


# The last has no classes in its second part.
CUTS: dict[str, list[slice]] = {
    "even": [slice(0, 5), slice(5, 11)],
    "uneven": [slice(0, 1), slice(1, 11)],
    "empty": [slice(0, 11), slice(11, 11)],
}


def test_autograph_reads_it() -> None:
    """As tf.function has it where nobody says otherwise."""

    def step(part: int, group: Any) -> Any:
        return loss_of(part, group)

    for found in replicas.run(step, 2, graph=True, autograph=True):
        np.testing.assert_allclose(found, xentropy.cross_entropy(**problem()), rtol=1e-6)


@pytest.mark.parametrize("where", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("options", [{"soft": False}, {"soft": True, "focal_gamma": 2.0}], ids=["labels", "focal"])
def test_second_derivative(graph: bool, options: dict[str, Any], where: list[slice]) -> None:
    options = dict(options)
    arrays = problem(soft=options.pop("soft"))

    def step(part: int, group: Any) -> Any:
        given = {name: tf.constant(np.ascontiguousarray(a)) for name, a in cut(arrays, where[part]).items()}
        logits = given["logits"]
        along = tf.constant(direction(arrays["logits"].shape)[:, where[part]])
        with tf.GradientTape() as outer:
            outer.watch(logits)
            with tf.GradientTape() as inner:
                inner.watch(logits)
                loss = xentropy.cross_entropy(**given, **options, group=group)
            gradient = inner.gradient(loss, logits)
            # This part's share of the whole product, which the parts have together.
            product = tf.reduce_sum(gradient * along)
        return loss, gradient, outer.gradient(product, logits)

    found = replicas.run(step, 2, graph=graph)
    loss, gradient, second = dense(arrays, **options)
    for one in found:
        np.testing.assert_allclose(one[0], loss, rtol=3e-7)
    np.testing.assert_allclose(np.concatenate([one[1] for one in found], axis=-1), gradient, rtol=0.0, atol=1e-7)
    np.testing.assert_allclose(np.concatenate([one[2] for one in found], axis=-1), second, rtol=0.0, atol=1e-7)


def third(loss: Callable[[Any], Any], x: Any) -> Any:
    """A third derivative along two directions, by tapes."""
    with tf.GradientTape() as outermost:
        outermost.watch(x)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                value = loss(x)
            product = tf.reduce_sum(inner.gradient(value, x) * tf.sin(x))
        product = tf.reduce_sum(outer.gradient(product, x) * tf.cos(x))
    return outermost.gradient(product, x)


def test_third_derivative(graph: bool) -> None:
    arrays = problem()
    logits, targets = tf.constant(arrays["logits"], tf.float64), tf.constant(arrays["targets"])

    def step(part: int, group: Any) -> Any:
        own = logits[:, CUTS["even"][part]]
        return third(lambda x: xentropy.cross_entropy(x, targets, group=group), own)

    found = np.concatenate(replicas.run(step, 2, graph=graph), axis=-1)
    whole = third(lambda x: xentropy.cross_entropy(x, targets), logits)
    np.testing.assert_allclose(found, whole, rtol=0.0, atol=1e-15)


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What one part exchanges, in order."""
    found: list[str] = []

    def counting(name: str) -> Callable[..., Any]:
        exchange = getattr(groups, name)

        def counted(x: Any, group: Any) -> Any:
            if groups.part(group) == 0:
                found.append(name)
            return exchange(x, group)

        return counted

    for name in ("tell", "all_gather", "all_sum"):
        monkeypatch.setattr(groups, name, counting(name))
    return found


def test_one_exchange_and_none_for_the_gradient(exchanges: list[str], graph: bool) -> None:
    replicas.evaluate(problem(), {"label_smoothing": 0.1}, 2, ("logits",), graph=graph)
    assert exchanges == ["tell", "all_gather"]


def test_focal_targets_take_one_more(exchanges: list[str], graph: bool) -> None:
    replicas.evaluate(problem(soft=True), {"focal_gamma": 2.0}, 2, ("logits", "targets"), graph=graph)
    assert exchanges == ["tell", "all_gather", "all_sum"]


def test_parts_that_do_not_do_the_same(graph: bool) -> None:
    with pytest.raises(ValueError, match="must have the same rows, but part 0 has"):
        replicas.run(lambda part, group: loss_of(part, group, rows=ROWS - part), 2, graph=graph)
    with pytest.raises(ValueError, match="must have the same"):
        replicas.run(lambda part, group: loss_of(part, group, z_loss=0.1 * part), 2, graph=graph)


def test_part_that_raises(graph: bool) -> None:
    with pytest.raises(RuntimeError, match=r"part 1 of 2 of the classes failed.*z_loss"):
        replicas.run(lambda part, group: loss_of(part, group, z_loss=-0.1 * part), 2, graph=graph)

    def away(part: int, group: Any) -> Any:
        return loss_of(part, group) if part else tf.constant(0.0)

    with pytest.raises(RuntimeError, match="different number of"):
        replicas.run(away, 2, graph=graph)


def test_replicas_at_different_exchanges(graph: bool) -> None:
    def step(part: int, group: Any) -> Any:
        return (backend.all_sum if part else backend.all_gather)(tf.zeros(3), group)

    with pytest.raises(RuntimeError, match=r"one of them is at an exchange of .*, another at a sum of"):
        replicas.run(step, 2, graph=graph)


def test_label_that_no_part_has() -> None:
    labels = [0, 1, CLASSES, 3, 4, 5]
    for reduction in ("none", "mean"):
        with pytest.raises(IndexError, match=r"targets\[2\] is 11, but class indices must be in \[0, 11\)"):
            replicas.run(lambda part, group: loss_of(part, group, labels=labels, reduction=reduction), 2)  # noqa: B023
    for found in replicas.run(lambda part, group: loss_of(part, group, labels=labels, reduction="none"), 2, graph=True):
        np.testing.assert_array_equal(np.isnan(found), [False, False, True, False, False, False])


def test_labels_that_differ() -> None:
    def step(part: int, group: Any) -> Any:
        return loss_of(part, group, labels=[0, 1, 8 if part else 2, 3, 4, 5])

    with pytest.raises(ValueError, match=r"targets\[2\] is 2, but other parts have other targets there"):
        replicas.run(step, 2)
    assert np.all(np.isnan(replicas.run(step, 2, graph=True)))


def test_what_is_no_group(graph: bool) -> None:
    for wrong in ("replicas", tf.distribute.get_strategy()):
        with pytest.raises(TypeError, match=r"group must be what tf.distribute.get_replica_context\(\) returns"):
            replicas.run(lambda part, _: loss_of(part, wrong), 2, graph=graph)  # noqa: B023


def test_group_of_somebody_else(graph: bool) -> None:
    held: list[Any] = []

    def step(part: int, group: Any) -> Any:
        held.append(group)
        return loss_of(part, held[0])

    with pytest.raises(RuntimeError, match="not the replica whose context it is"):
        replicas.run(step, 2, graph=graph)
    with pytest.raises(RuntimeError, match="not the replica whose context it is"):
        loss_of(0, held[0])
    with replicas.strategy(2).scope(), pytest.raises(RuntimeError, match="not the replica whose context it is"):
        loss_of(0, held[0])


def test_outside_of_a_strategy_there_is_one_part() -> None:
    arrays = problem()
    given = {name: tf.constant(a) for name, a in arrays.items()}
    found = xentropy.cross_entropy(**given, group=tf.distribute.get_replica_context())
    np.testing.assert_allclose(found, xentropy.cross_entropy(**arrays), rtol=2e-7)


def test_replicas_of_other_processes() -> None:
    said = [SimpleNamespace(what="the beginning of a loss", value=b"")]
    elsewhere = SimpleNamespace(num_replicas_in_sync=2, experimental_local_results=lambda _: said)
    with pytest.raises(NotImplementedError, match="of 2 replicas only 1 are seen in this process"):
        groups._merged(elsewhere, None)


def test_nested_function_is_refused_by_tensorflow() -> None:
    def step(part: int, group: Any) -> Any:
        return tf.function(lambda: loss_of(part, group), autograph=False)()

    with pytest.raises(RuntimeError, match="merge_call"):
        replicas.run(step, 2)


def test_forward_mode_is_refused(graph: bool) -> None:
    def step(part: int, group: Any) -> Any:
        logits = tf.ones([ROWS, 3])
        with tf.autodiff.ForwardAccumulator(logits, logits) as accumulator:
            loss = xentropy.cross_entropy(logits, tf.zeros([ROWS], tf.int32), group=group)
        return accumulator.jvp(loss)

    with pytest.raises(NotImplementedError, match="ForwardAccumulator has no rule"):
        replicas.run(step, 2, graph=graph)


def test_tape_outside_is_refused() -> None:
    """Each replica's loss is the loss: their mean, or one of them, would have a fraction of its gradient, or none."""
    strategy = replicas.strategy(2)
    logits = tf.constant(problem()["logits"])
    slices = [logits[:, :5], logits[:, 5:]]
    spread = strategy.experimental_distribute_values_from_function(lambda ctx: slices[ctx.replica_id_in_sync_group])

    def replica(own: Any) -> Any:
        group = tf.distribute.get_replica_context()
        return xentropy.cross_entropy(own, tf.zeros([ROWS], tf.int32), group=group)

    step = tf.function(lambda own: strategy.run(replica, args=(own,)), autograph=False)
    step(spread)
    with tf.GradientTape() as tape:
        tape.watch(strategy.experimental_local_results(spread))
        with pytest.raises(RuntimeError, match="and differentiated there"):
            step(spread)


def test_jacobian_of_rows(graph: bool) -> None:
    arrays = problem()

    def step(part: int, group: Any) -> Any:
        given = cut(arrays, CUTS["even"][part])
        logits = tf.constant(np.ascontiguousarray(given["logits"]))
        with tf.GradientTape() as tape:
            tape.watch(logits)
            rows = xentropy.cross_entropy(logits, tf.constant(given["targets"]), group=group, reduction="none")
        return tape.jacobian(rows, logits)

    found = np.concatenate(replicas.run(step, 2, graph=graph), axis=-1)
    gradient = dense(arrays, reduction="sum")[1]
    np.testing.assert_allclose(found, np.eye(ROWS)[:, :, None] * gradient, rtol=0.0, atol=4e-7)


def test_linear_loss_and_second_derivative(graph: bool) -> None:
    """Of weights that are in parts; hidden states, which all replicas have, have the same gradients in each."""
    rng = np.random.default_rng(9)
    hidden, weight = (rng.normal(size=shape).astype(np.float32) for shape in ((ROWS, 4), (CLASSES, 4)))
    targets = problem()["targets"]

    def gradients(own: np.ndarray[Any, Any], group: Any) -> Any:
        given = [tf.constant(hidden), tf.constant(own)]
        with tf.GradientTape() as outer:
            outer.watch(given)
            with tf.GradientTape() as inner:
                inner.watch(given)
                loss = xentropy.linear_cross_entropy(*given, tf.constant(targets), group=group)
            of_hidden, of_weight = inner.gradient(loss, given)
            product = tf.reduce_sum(of_hidden * tf.cos(given[0])) + tf.reduce_sum(of_weight * tf.cos(given[1]))
        return loss, (of_hidden, of_weight), outer.gradient(product, given)

    found = replicas.run(lambda part, group: gradients(weight[CUTS["even"][part]], group), 2, graph=graph)
    whole = gradients(weight, None)
    for one in found:
        np.testing.assert_allclose(one[0], whole[0], rtol=3e-7)
    for order in (1, 2):
        for one in found:
            np.testing.assert_allclose(one[order][0], whole[order][0], rtol=0.0, atol=4e-7)
        of_weight = np.concatenate([one[order][1] for one in found])
        np.testing.assert_allclose(of_weight, whole[order][1], rtol=0.0, atol=4e-7)
