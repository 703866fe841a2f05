"""Classes sharded over devices in JAX: a group inside of a shard_map, and arrays that are sharded themselves."""

from __future__ import annotations

import math
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engines.devices import AXIS, WHOLE, evaluate, mapped, mesh
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from reference import ulp

import xentropy_jax
from xentropy import cross_entropy, linear_cross_entropy, nll_loss

ROWS, CLASSES, DEVICES = 8, 48, 4
BY_CLASS = PartitionSpec(None, AXIS)

Array = Any
Arrays = Mapping[str, Any]
Options = dict[str, Any]

CHECKED = pytest.mark.parametrize("check_vma", [True, False], ids=["checked", "unchecked"])
SOFT = pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
KINDS = pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])


def arguments(*, soft: bool = False, rows: int = ROWS, classes: int = CLASSES) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(3)
    logits = (3.0 * rng.normal(size=(rows, classes))).astype(np.float32)
    targets = rng.random((rows, classes)).astype(np.float32) if soft else rng.integers(0, classes, rows, np.int32)
    return {"logits": logits, "targets": targets}


def by_name(options: Options) -> Callable[[Arrays], Array]:
    """The loss that is not in parts."""
    return lambda given: cross_entropy(**given, **options)


def gradient(loss: Callable[[Arrays], Array], arrays: Arrays, *, compiled: bool = True) -> dict[str, Array]:
    """By all floats, of the loss or of its sum."""
    moving = {name: a for name, a in arrays.items() if a.dtype == np.float32}
    f = jax.grad(lambda given: loss({**arrays, **given}).sum())
    found: dict[str, Array] = (jax.jit(f) if compiled else f)(moving)
    return found


def assert_near(found: Array, expected: Array, bound: float = 4e-7) -> None:
    """Within a share of the largest."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=bound * np.abs(expected).max())


# --- a group inside of a shard_map ------------------------------------------------------------------------------------

OPTIONS: dict[str, Options] = {
    "mean": {},
    "none": {"reduction": "none"},
    "smoothing_z": {"label_smoothing": 0.1, "z_loss": 0.01},
    "focal": {"focal_gamma": 2.0, "label_smoothing": 0.1},
    "float64": {"precision": "float64"},
}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


@each_option
@CHECKED
@SOFT
def test_value_and_gradient(soft: bool, check_vma: bool, options: Options) -> None:
    arrays = arguments(soft=soft)
    whole = np.asarray(jax.jit(by_name(options))(arrays))
    expected = gradient(by_name(options), arrays)
    found = evaluate(arrays, options, DEVICES, tuple(expected), check_vma=check_vma)
    assert np.all(np.abs(found.value - whole) <= 2.0 * ulp(whole, "float32"))
    for name, own in zip(expected, found.gradients, strict=True):
        assert_near(own, expected[name])


@CHECKED
@pytest.mark.parametrize("options", [{}, {"precision": "float64"}], ids=["plain", "float64"])
def test_outside_of_jit(check_vma: bool, options: Options) -> None:
    arrays = arguments()
    found = mapped(arrays, options, DEVICES, check_vma=check_vma)
    np.testing.assert_array_equal(found(arrays), jax.jit(found)(arrays))
    assert_near(gradient(found, arrays, compiled=False)["logits"], gradient(by_name(options), arrays)["logits"])


@CHECKED
@SOFT
@pytest.mark.parametrize("options", [{"z_loss": 0.1}, {"precision": "float64"}], ids=["plain", "float64"])
def test_second_derivative(soft: bool, check_vma: bool, options: Options) -> None:
    """Reverse over reverse, and forward over reverse: what was kept for the first derivative is differentiated too."""
    arrays = arguments(soft=soft)
    rng = np.random.default_rng(4)
    moving = {name: a for name, a in arrays.items() if a.dtype == np.float32}
    along = {name: jnp.asarray(rng.normal(size=a.shape), jnp.float32) for name, a in moving.items()}

    def curves(loss: Callable[[Arrays], Array]) -> Any:
        def slope(given: Arrays) -> Any:
            return jax.grad(lambda given: loss({**arrays, **given}).sum())(given)

        def projected(given: Arrays) -> Array:
            return sum((jnp.vdot(g, along[name]) for name, g in slope(given).items()), jnp.zeros(()))

        return jax.jit(lambda at: (jax.grad(projected)(at), jax.jvp(slope, (at,), (along,))[1]))(moving)

    found, expected = curves(mapped(arrays, options, DEVICES, check_vma=check_vma)), curves(by_name(options))
    jax.tree.map(lambda a, b: assert_near(a, b, 4e-6), found, expected)


@CHECKED
def test_forward_mode(check_vma: bool) -> None:
    arrays = arguments(soft=True)
    along = {name: jnp.cos(a) for name, a in arrays.items()}

    def pushed(loss: Callable[[Arrays], Array]) -> Any:
        return jax.jit(lambda at: jax.jvp(loss, (at,), (along,))[1])(arrays)

    options = {"reduction": "none"}
    assert_near(pushed(mapped(arrays, options, DEVICES, check_vma=check_vma)), pushed(by_name(options)))


@CHECKED
def test_label_of_no_part(check_vma: bool) -> None:
    """NaN is the loss of its row, and its gradient; other rows have their own."""
    arrays, options = arguments(), {"reduction": "none"}
    right = jax.jit(by_name(options))(arrays), gradient(by_name(options), arrays)["logits"]
    arrays["targets"][2] = CLASSES
    found = mapped(arrays, options, DEVICES, check_vma=check_vma)
    of_row, of_others = np.arange(ROWS) == 2, np.arange(ROWS) != 2
    for got, expected in zip((jax.jit(found)(arrays), gradient(found, arrays)["logits"]), right, strict=True):
        assert np.all(np.isnan(np.asarray(got)[of_row]))
        assert_near(np.asarray(got)[of_others], np.asarray(expected)[of_others])


def test_rows_on_other_devices() -> None:
    """Two axes, one of which is the group; the mean over the rows is the user's own."""
    arrays = arguments()
    rows = PartitionSpec("rows")

    def local(x: Array, y: Array) -> Array:
        return jax.lax.pmean(cross_entropy(x, y, group=AXIS), "rows")

    f = jax.shard_map(local, mesh=mesh(2, 2), in_specs=(PartitionSpec("rows", AXIS), rows), out_specs=WHOLE)
    found = jax.jit(jax.value_and_grad(f))(arrays["logits"], arrays["targets"])
    expected = jax.jit(jax.value_and_grad(cross_entropy))(arrays["logits"], arrays["targets"])
    jax.tree.map(assert_near, found, expected)


@CHECKED
def test_a_group_of_several_axes(check_vma: bool) -> None:
    arrays, both = arguments(), ("rows", AXIS)
    f = jax.shard_map(
        lambda x, y: cross_entropy(x, y, group=both),
        mesh=mesh(2, 2),
        in_specs=(PartitionSpec(None, both), WHOLE),
        out_specs=WHOLE,
        check_vma=check_vma,
    )
    found = jax.jit(jax.value_and_grad(f))(arrays["logits"], arrays["targets"])
    expected = jax.jit(jax.value_and_grad(cross_entropy))(arrays["logits"], arrays["targets"])
    jax.tree.map(assert_near, found, expected)


def test_a_mapped_axis_is_a_group() -> None:
    """Of ``jax.vmap``, which has names of axes too."""
    arrays = arguments()
    parts = np.stack(np.split(arrays["logits"], DEVICES, axis=1))
    f = jax.vmap(lambda x: cross_entropy(x, arrays["targets"], group=AXIS), axis_name=AXIS)
    value, slope = jax.jit(jax.value_and_grad(lambda x: f(x).mean()))(parts)
    expected = jax.jit(jax.value_and_grad(cross_entropy))(arrays["logits"], arrays["targets"])
    assert_near(value, expected[0])
    assert_near(np.concatenate(slope, axis=1), expected[1])


@pytest.mark.parametrize(
    ("group", "error", "message"),
    [
        ("nowhere", ValueError, "no axis named 'nowhere'.*shard_map"),
        (("nowhere", AXIS), ValueError, "no axis named 'nowhere'"),
        (3, TypeError, "name of an axis"),
        ((), TypeError, "name of an axis"),
    ],
)
def test_what_is_no_group(group: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cross_entropy(jnp.zeros((2, 4)), jnp.array([0, 1]), group=group)


# --- optax's signatures -----------------------------------------------------------------------------------------------


@SOFT
@pytest.mark.parametrize("masked", [False, True], ids=["all", "where"])
def test_dropins(soft: bool, masked: bool) -> None:
    """A row that ``where`` leaves nothing of on one device has classes on others."""
    name = "softmax_cross_entropy" if soft else "softmax_cross_entropy_with_integer_labels"
    function, arrays = getattr(xentropy_jax, name), arguments(soft=soft)
    where = np.random.default_rng(5).random((ROWS, CLASSES)) < 0.7
    where[1, : CLASSES // DEVICES] = False
    where[2] = False
    if not soft:
        where[np.arange(ROWS), arrays["targets"]] = True

    def loss(x: Array, t: Array, w: Array, **more: Any) -> Array:
        return function(x, t, where=w if masked else None, **more)

    f = jax.shard_map(
        lambda *given: loss(*given, axis_name=AXIS),
        mesh=mesh(DEVICES),
        in_specs=(BY_CLASS, BY_CLASS if soft else WHOLE, BY_CLASS),
        out_specs=WHOLE,
    )
    given = (arrays["logits"], arrays["targets"], where)
    np.testing.assert_allclose(jax.jit(f)(*given), jax.jit(loss)(*given), rtol=4e-7)
    slopes = [jax.jit(jax.grad(lambda *a, g=g: g(*a).sum()))(*given) for g in (f, loss)]
    assert_near(*slopes)


# --- linear losses ----------------------------------------------------------------------------------------------------


@CHECKED
@pytest.mark.parametrize(
    "options",
    [{}, {"reduction": "none", "chunk_rows": 4}, {"precision": "float64", "chunk_rows": 4}, {"ignore_index": 1}],
    ids=["mean", "none", "float64", "ignored"],
)
def test_linear(check_vma: bool, options: Options) -> None:
    """Hidden states, which all devices have, and a slice of the weights; first and second derivatives."""
    rng = np.random.default_rng(6)
    parameters = tuple(rng.normal(size=s).astype(np.float32) for s in ((ROWS, 6), (CLASSES, 6), (CLASSES,)))
    labels = rng.integers(0, CLASSES, ROWS, np.int32)
    labels[0] = 1

    def loss(hidden: Array, weight: Array, bias: Array, targets: Array, **more: Any) -> Array:
        return linear_cross_entropy(hidden, weight, targets, bias=bias, **options, **more)

    f = jax.shard_map(
        lambda *given: loss(*given, group=AXIS),
        mesh=mesh(DEVICES),
        in_specs=(WHOLE, PartitionSpec(AXIS), PartitionSpec(AXIS), WHOLE),
        out_specs=WHOLE,
        check_vma=check_vma,
    )

    def all_of(g: Callable[..., Array]) -> Any:
        def slopes(at: tuple[Array, ...]) -> Any:
            return jax.grad(lambda at: g(*at, labels).sum())(at)

        def curve(at: tuple[Array, ...]) -> Any:
            along = [jnp.cos(a) for a in parameters]
            return jax.grad(lambda at: sum(map(jnp.vdot, slopes(at), along)))(at)

        return jax.jit(lambda at: (g(*at, labels), slopes(at), curve(at)))(parameters)

    found, expected = all_of(f), all_of(loss)
    jax.tree.map(lambda a, b: assert_near(a, b, 8e-7), found[:2], expected[:2])
    jax.tree.map(lambda a, b: assert_near(a, b, 2e-5), found[2], expected[2])


# --- arrays that are sharded themselves -------------------------------------------------------------------------------

SHARDED = {
    "classes": ((DEVICES,), BY_CLASS),
    "both": ((2, 2), PartitionSpec("rows", AXIS)),
    "two_axes": ((2, 2), PartitionSpec(None, ("rows", AXIS))),
    "rows": ((2, 2), PartitionSpec("rows", None)),
}
each_sharding = pytest.mark.parametrize(("sizes", "spec"), SHARDED.values(), ids=SHARDED)


def put(x: Array, sizes: tuple[int, ...], kind: AxisType, spec: PartitionSpec) -> Array:
    return jax.device_put(x, NamedSharding(mesh(*sizes, kind=kind), spec))


@KINDS
@each_sharding
def test_sharded_arrays(sizes: tuple[int, ...], spec: PartitionSpec, kind: AxisType) -> None:
    """Weights, a mask and removed rows go along; labels, or targets, are sharded or not."""
    rng = np.random.default_rng(7)
    arrays = arguments()
    mask = rng.random((ROWS, CLASSES)) < 0.9
    mask[np.arange(ROWS), arrays["targets"]] = True
    options = {
        "class_weight": (1.0 + rng.random(CLASSES)).astype(np.float32),
        "class_mask": mask,
        "sample_weight": rng.random(ROWS).astype(np.float32),
        "ignore_index": int(arrays["targets"][3]),
        "label_smoothing": 0.1,
    }

    def both(x: Array, y: Array) -> Any:
        return jax.value_and_grad(lambda x: cross_entropy(x, y, **options))(x)

    x, expected = put(arrays["logits"], sizes, kind, spec), jax.jit(both)(*arrays.values())
    for labels in (arrays["targets"], put(arrays["targets"], sizes, kind, PartitionSpec(spec[0]))):
        found = jax.jit(both)(x, labels)
        jax.tree.map(assert_near, found, expected)
        assert found[1].sharding.is_equivalent_to(x.sharding, 2)


@KINDS
def test_sharded_axes_between_others(kind: AxisType) -> None:
    """Classes along another axis than the last, and more than one axis of rows."""
    rng = np.random.default_rng(8)
    logits, labels = rng.normal(size=(4, CLASSES, 3)).astype(np.float32), rng.integers(0, CLASSES, (4, 3), np.int32)

    def both(x: Array, y: Array) -> Any:
        loss = lambda x: cross_entropy(x, y, axis=1, reduction="none")  # noqa: E731
        return loss(x), jax.grad(lambda x: (loss(x) * jnp.arange(3.0)).sum())(x)

    found = jax.jit(both)(put(logits, (2, 2), kind, PartitionSpec("rows", AXIS, None)), labels)
    jax.tree.map(assert_near, found, jax.jit(both)(logits, labels))


@KINDS
@pytest.mark.parametrize("options", [{}, {"precision": "float64"}], ids=["plain", "float64"])
def test_sharded_arrays_outside_of_jit(kind: AxisType, options: Options) -> None:
    arrays = arguments(soft=True)
    x, t = (put(a, (DEVICES,), kind, BY_CLASS) for a in arrays.values())
    np.testing.assert_allclose(cross_entropy(x, t, **options), cross_entropy(**arrays, **options), rtol=2e-7)
    expected = jax.grad(lambda x, t: cross_entropy(x, t, **options), (0, 1))(*map(jnp.asarray, arrays.values()))
    # JAX itself differentiates nothing outside of jit, in explicit axes, but in the context of their mesh.
    with jax.set_mesh(x.sharding.mesh):
        found = jax.grad(lambda x, t: cross_entropy(x, t, **options), (0, 1))(x, t)
    jax.tree.map(assert_near, found, expected)


def test_second_derivative_of_sharded_arrays() -> None:
    arrays = arguments()
    direction = np.cos(arrays["logits"])

    def curve(x: Array, y: Array) -> Array:
        return jax.grad(lambda x: (jax.grad(lambda x: cross_entropy(x, y))(x) * direction).sum())(x)

    x = put(arrays["logits"], (DEVICES,), AxisType.Explicit, BY_CLASS)
    assert_near(jax.jit(curve)(x, arrays["targets"]), jax.jit(curve)(*arrays.values()), 4e-6)


def test_what_cannot_be_sharded_says_so() -> None:
    x = put(np.log(np.full((2, 4), 0.25, np.float32)), (DEVICES,), AxisType.Explicit, BY_CLASS)
    with pytest.raises(ValueError, match=r"sharded over 'classes'.*reshard"):
        nll_loss(x, np.array([0, 1]))
    with pytest.raises(ValueError, match=r"sharded over 'classes'.*reshard"):
        cross_entropy(jnp.exp(x), np.array([0, 1]), from_logits=False)


# --- what is exchanged ------------------------------------------------------------------------------------------------

LARGE = {"rows": 64, "classes": 4096}
EXCHANGE = re.compile(
    r"= (\S+|\([^)]*\)) (all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
)


def exchanges(f: Callable[..., Any], *given: Any) -> list[tuple[str, int]]:
    """Each that a compiled program makes, by its name, and how many numbers it results in."""
    text = jax.jit(f).lower(*given).compile().as_text()
    found = []
    for shapes, name in EXCHANGE.findall(text):
        sizes = [math.prod(int(n) for n in shape.split(",") if n) for shape in re.findall(r"\[([\d,]*)\]", shapes)]
        found.append((name, sum(sizes)))
    return found


def both(loss: Callable[..., Array], *, soft: bool) -> Callable[..., Any]:
    return jax.value_and_grad(lambda x, t: loss({"logits": x, "targets": t}).sum(), (0, 1) if soft else 0)


# What is said of a row, in each of its parts, by the loss in the class of these options.
@pytest.mark.parametrize(
    ("soft", "options", "numbers"),
    [
        (False, {}, 4),
        (False, {"reduction": "none"}, 4),
        (False, {"label_smoothing": 0.1, "z_loss": 0.01}, 8),
        (True, {}, 5),
    ],
    ids=["labels", "none", "smoothed", "soft"],
)
def test_forward_and_backward_exchange_once(soft: bool, options: Options, numbers: int) -> None:
    arrays = arguments(soft=soft, **LARGE)
    loss = mapped(arrays, options, DEVICES)
    once = [("all-gather", DEVICES * LARGE["rows"] * numbers)]
    assert exchanges(lambda x, t: loss({"logits": x, "targets": t}), *arrays.values()) == once
    assert exchanges(both(loss, soft=soft), *arrays.values()) == once


@SOFT
def test_unchecked_exchanges_are_of_rows(soft: bool) -> None:
    """JAX sums cotangents of what may differ, for all it knows: a number or two of every row."""
    arrays = arguments(soft=soft, **LARGE)
    found = exchanges(both(mapped(arrays, {}, DEVICES, check_vma=False), soft=soft), *arrays.values())
    assert [name for name, _ in found].count("all-gather") == 1
    assert max(size for _, size in found) <= 8 * DEVICES * LARGE["rows"]


@KINDS
@SOFT
@pytest.mark.parametrize("sizes", [(DEVICES,), (2, 2)], ids=["classes", "both"])
def test_sharded_arrays_stay_where_they_are(sizes: tuple[int, ...], soft: bool, kind: AxisType) -> None:
    """Nothing of the logits' size is exchanged: XLA's own partition exchanges 64 numbers of a row, and more."""
    spec = BY_CLASS if len(sizes) == 1 else PartitionSpec("rows", AXIS)
    sharding = NamedSharding(mesh(*sizes, kind=kind), spec)
    x = jax.ShapeDtypeStruct((LARGE["rows"], LARGE["classes"]), jnp.float32, sharding=sharding)
    labels = jax.ShapeDtypeStruct((LARGE["rows"],), jnp.int32, sharding=NamedSharding(sharding.mesh, WHOLE))
    found = exchanges(both(lambda given: cross_entropy(**given), soft=soft), x, x if soft else labels)
    assert found
    assert max(size for _, size in found) <= 2 * 64 * LARGE["rows"]
    if kind == AxisType.Explicit:
        gathered = [size for name, size in found if name == "all-gather"]
        assert gathered == [LARGE["rows"] * DEVICES * (5 if soft else 4) // math.prod(sizes[:-1]) ** 2]


@SOFT
@pytest.mark.parametrize("classes", [32_000, 50_304, 128_256, 151_936])
def test_vocabularies_stay_where_they_are(classes: int, soft: bool) -> None:
    """XLA's own partition, which nobody knows when the blocks are cut, exchanges a thirtieth of the logits at most."""
    sharding = NamedSharding(mesh(DEVICES), BY_CLASS)
    x = jax.ShapeDtypeStruct((LARGE["rows"], classes), jnp.float32, sharding=sharding)
    labels = jax.ShapeDtypeStruct((LARGE["rows"],), jnp.int32, sharding=NamedSharding(sharding.mesh, WHOLE))
    found = exchanges(both(lambda given: cross_entropy(**given), soft=soft), x, x if soft else labels)
    assert found
    assert max(size for _, size in found) <= LARGE["rows"] * classes / 30


def test_linear_exchanges_rows_and_hidden_states() -> None:
    """The gradient of hidden states, which all devices share, is the one exchange of the way back."""
    hidden, weight = ((ROWS, 16), (CLASSES, 16))
    f = jax.shard_map(
        lambda h, w, y: linear_cross_entropy(h, w, y, group=AXIS),
        mesh=mesh(DEVICES),
        in_specs=(WHOLE, PartitionSpec(AXIS), WHOLE),
        out_specs=WHOLE,
    )
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (hidden, weight)]
    found = exchanges(jax.value_and_grad(f, (0, 1)), *shapes, jax.ShapeDtypeStruct((ROWS,), jnp.int32))
    assert sorted(found) == [("all-gather", DEVICES * ROWS * 4), ("all-reduce", math.prod(hidden))]


# --- two processes ----------------------------------------------------------------------------------------------------

PROCESS = """
import sys
import numpy as np
import jax

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(sys.argv[2]))
from jax.sharding import AxisType, NamedSharding, PartitionSpec
import xentropy

rng = np.random.default_rng(0)
logits, labels = rng.normal(size=(8, 64)).astype(np.float32), rng.integers(0, 64, 8)
value, slope = xentropy.value_and_grad(xentropy.cross_entropy)(logits, labels)

def check(loss, mesh):
    sharding = NamedSharding(mesh, PartitionSpec(None, "classes"))
    x = jax.make_array_from_callback(logits.shape, sharding, lambda where: logits[where])
    assert not x.is_fully_addressable
    found, gradient = jax.jit(jax.value_and_grad(loss))(x, labels)
    np.testing.assert_allclose(found.addressable_data(0), value, rtol=4e-7)
    for piece in gradient.addressable_shards:
        assert piece.data.shape == (8, 16)
        np.testing.assert_allclose(piece.data, slope[piece.index], rtol=0.0, atol=1e-7)

for kind in (AxisType.Auto, AxisType.Explicit):
    check(xentropy.cross_entropy, jax.make_mesh((4,), ("classes",), axis_types=(kind,)))
mesh = jax.make_mesh((4,), ("classes",), axis_types=(AxisType.Auto,))
specs = (PartitionSpec(None, "classes"), PartitionSpec())
check(
    jax.shard_map(
        lambda x, y: xentropy.cross_entropy(x, y, group="classes"), mesh=mesh, in_specs=specs, out_specs=PartitionSpec()
    ),
    mesh,
)
print("equal")
"""


def test_two_processes(tmp_path: Path) -> None:
    script = tmp_path / "process.py"
    script.write_text(PROCESS)
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(script), address, str(i)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(2)
    ]
    try:
        said = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, output in zip(processes, said, strict=True):
        assert process.returncode == 0, output[-4000:]
        assert output.endswith("equal\n")
