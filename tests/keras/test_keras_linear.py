"""The last layer that is its own loss: values, gradients, training, masks, saving, errors."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from keras_tools import BACKEND, JIT, gradient, numpy, tensor

import xentropy_keras as ours

RANDOM = np.random.default_rng(3)
BATCH, TIME, FEATURES, CLASSES = 4, 3, 5, 6
HIDDEN = np.float32(RANDOM.normal(size=(BATCH, TIME, FEATURES)))
KERNEL = np.float32(RANDOM.normal(size=(CLASSES, FEATURES)))
BIAS = np.float32(RANDOM.normal(size=CLASSES))
LABELS = RANDOM.integers(0, CLASSES, (BATCH, TIME)).astype("int32")
FIRST = int(LABELS[0, 0])
WEIGHT = np.float32(RANDOM.uniform(0.5, 2.0, (BATCH, TIME)))
MASK = np.array([[True, True, False], [True, False, False], [True, True, True], [True, True, True]])
TOKENS = RANDOM.integers(1, CLASSES, (BATCH, TIME)).astype("int32")
PADDED = np.where(MASK, TOKENS, 0).astype("int32")
SOFT = np.float32(RANDOM.dirichlet(np.ones(CLASSES), (BATCH, TIME)))


def exact(pull, *, smoothing=0.0, z_loss=0.0, cap=None, temperature=1.0, gamma=0.0, soft=None):
    """Losses in float64; gradients of their product with ``pull`` by differences of logits, then the chain rule."""
    targets = np.eye(CLASSES)[LABELS] if soft is None else np.float64(soft)
    targets = targets * (1.0 - smoothing) + smoothing / CLASSES

    def of_logits(x):
        x = x if cap is None else cap * np.tanh(x / cap)
        x = x / temperature
        log_z = np.log(np.exp(x).sum(axis=-1, keepdims=True))
        p = np.exp(x - log_z)
        return (targets * (1.0 - p) ** gamma * (log_z - x)).sum(axis=-1) + z_loss * log_z[..., 0] ** 2

    hidden, kernel, step = np.float64(HIDDEN), np.float64(KERNEL), 1e-5
    logits = hidden @ kernel.T + BIAS
    g = np.zeros_like(logits)
    for j, unit in enumerate(step * np.eye(CLASSES)):
        g[..., j] = pull * (of_logits(logits + unit) - of_logits(logits - unit)) / (2.0 * step)
    rows = g.reshape(-1, CLASSES)
    return of_logits(logits), g @ kernel, rows.T @ hidden.reshape(-1, FEATURES), rows.sum(axis=0)


def built(**options):
    head = ours.LinearCrossEntropy(CLASSES, use_bias=True, **options)
    head.build((None, None, FEATURES))
    head.set_weights([KERNEL, BIAS])
    return head


def added(head, *arguments, **more):
    """The loss that a call adds."""
    head(*arguments, **more)
    (loss,) = head.losses
    return numpy(loss)


def of_variables(head, *arguments):
    """The loss's gradients by kernel and bias, through the library's own means."""
    variables = head.trainable_variables
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = head.loss(*arguments)
        return [numpy(g) for g in tape.gradient(loss, [v.value for v in variables])]
    if BACKEND == "jax":
        import jax

        def loss(values):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return head.loss(*arguments)

        return [numpy(g) for g in jax.grad(loss)([v.value for v in variables])]
    head.zero_grad()
    head.loss(*arguments).backward()
    return [numpy(v.value.grad) for v in variables]


def assert_close(found, expected, rtol=5e-6):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({}, {}),
        ({"label_smoothing": 0.1, "chunk_rows": 5}, {"smoothing": 0.1}),
        ({"z_loss": 0.01, "softcap": 2.0}, {"z_loss": 0.01, "cap": 2.0}),
        ({"temperature": 1.5, "focal_gamma": 2.0}, {"temperature": 1.5, "gamma": 2.0}),
    ],
)
def test_value_and_gradients_are_those_of_float64(options, same):
    value, of_hidden, of_kernel, of_bias = exact(np.full((BATCH, TIME), 1.0 / LABELS.size), **same)
    head, labels = built(**options), tensor(LABELS, "int32")
    assert_close(added(head, tensor(HIDDEN), labels), value.mean())
    assert_close(gradient(lambda h: head.loss(h, labels), HIDDEN), of_hidden)
    got_kernel, got_bias = of_variables(head, tensor(HIDDEN), labels)
    assert_close(got_kernel, of_kernel)
    assert_close(got_bias, of_bias)


@pytest.mark.parametrize(
    ("reduction", "pull"),
    [
        ("sum_over_batch_size", MASK * WEIGHT / MASK.sum()),
        ("mean", MASK * WEIGHT / MASK.sum()),
        ("mean_with_sample_weight", MASK * WEIGHT / (MASK * WEIGHT).sum()),
        ("sum", MASK * WEIGHT),
    ],
)
def test_masks_and_weights_are_reduced_as_in_keras_losses(reduction, pull):
    from keras.src.backend import set_keras_mask

    value, of_hidden, _, _ = exact(pull)
    # What is masked must not count, whatever it is.
    hidden = tensor(np.where(MASK[..., None], HIDDEN, np.nan))
    set_keras_mask(hidden, tensor(MASK, "bool"))
    head, labels = built(reduction=reduction), tensor(LABELS, "int32")
    assert_close(added(head, hidden, labels, tensor(WEIGHT)), (value * pull).sum())
    got = gradient(lambda h: head.loss(h, labels, tensor(WEIGHT), tensor(MASK, "bool")), HIDDEN)
    assert_close(got, of_hidden)
    assert not got[~MASK].any()
    # Keras's own, of the logits.
    logits = tensor(np.where(MASK[..., None], HIDDEN @ KERNEL.T + BIAS, 0.0))
    set_keras_mask(logits, tensor(MASK, "bool"))
    dense = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    assert_close((value * pull).sum(), numpy(dense(LABELS, logits, sample_weight=WEIGHT)))


def test_an_ignored_class_and_a_weight_for_each_sample():
    counted = LABELS != FIRST
    weight = np.float32([0.5, 2.0, 0.0, 1.0])
    value = exact(np.ones(LABELS.shape))[0]
    head = built(ignore_class=FIRST)
    expected = (value * counted * weight[:, None]).sum() / counted.sum()
    assert_close(added(head, tensor(HIDDEN), tensor(LABELS, "int32"), tensor(weight)), expected)
    nothing = tensor(np.full_like(LABELS, FIRST), "int32")
    assert added(head, tensor(HIDDEN), nothing) == 0.0


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32"])
def test_labels_may_be_floats_and_have_an_axis_of_size_1(dtype):
    head = built()
    expected = exact(np.ones(LABELS.shape))[0].mean()
    assert_close(added(head, tensor(HIDDEN), tensor(LABELS, dtype)), expected)
    assert_close(added(head, tensor(HIDDEN), tensor(LABELS[..., None], dtype)), expected)


def test_probabilities_are_targets():
    value = exact(np.ones(LABELS.shape), soft=SOFT)[0]
    assert_close(added(built(), tensor(HIDDEN), tensor(SOFT)), value.mean())


def test_without_targets_it_returns_logits_and_with_them_what_it_was_given():
    head, hidden = built(softcap=2.0, temperature=1.5), tensor(HIDDEN)
    expected = 2.0 * np.tanh((np.float64(HIDDEN) @ KERNEL.T + BIAS) / 2.0) / 1.5
    assert_close(numpy(head(hidden)), expected)
    assert not head.losses
    assert np.array_equal(numpy(head(hidden, tensor(LABELS, "int32"))), HIDDEN)
    assert np.array_equal(numpy(head(hidden, logits=False)), HIDDEN)


def test_an_initializer_sees_features_and_classes():
    head = ours.LinearCrossEntropy(5000, kernel_initializer="he_normal")
    head.build((None, 20))
    assert tuple(head.kernel.shape) == (5000, 20)
    # sqrt(2 / features), to within a few standard deviations of 100,000 numbers.
    assert np.std(numpy(head.kernel.value)) == pytest.approx(np.sqrt(2 / 20), rel=0.02)


def model(kind, *, tied=False, **options):
    """A small language model: dense logits, the layer with labels as an input, or its loss with labels as y."""
    tokens, labels = (keras.Input((TIME,), dtype="int32") for _ in range(2))
    embedding = keras.layers.Embedding(CLASSES, FEATURES, mask_zero=True, embeddings_initializer="normal")
    hidden = keras.layers.Dense(FEATURES)(embedding(tokens))
    optimizer = keras.optimizers.SGD(0.5)
    if kind == "dense":
        made = keras.Model(tokens, keras.layers.Dense(CLASSES)(hidden))
        made.compile(optimizer, loss=ours.SparseCategoricalCrossentropy(from_logits=True), jit_compile=JIT)
        return made
    head = ours.LinearCrossEntropy(CLASSES, use_bias=True, embedding=embedding if tied else None, **options)
    if kind == "layer":
        made = keras.Model([tokens, labels], head(hidden, labels))
        made.compile(optimizer, jit_compile=JIT)
    else:
        made = keras.Model(tokens, head(hidden, logits=False))
        made.compile(optimizer, loss=ours.LinearCrossEntropyLoss(head), jit_compile=JIT)
    return made


def data(kind, labels=LABELS):
    return {"x": [PADDED, labels]} if kind == "layer" else {"x": PADDED, "y": labels}


def layers(made, kind):
    return [layer for layer in made.layers if isinstance(layer, kind)]


@pytest.mark.parametrize("kind", ["layer", "loss"])
def test_training_follows_a_dense_model_step_by_step(kind):
    models = {name: model(name) for name in ("dense", kind)}
    start = models["dense"].get_weights()
    # The kernel is kept transposed.
    models[kind].set_weights([a.T if i == 3 else a for i, a in enumerate(start)])
    found = {
        name: made.fit(**data(name), batch_size=2, epochs=4, shuffle=False, verbose=0).history["loss"]
        for name, made in models.items()
    }
    assert_close(found[kind], found["dense"])
    assert found[kind][-1] < found[kind][0]
    pairs = zip(models[kind].get_weights(), models["dense"].get_weights(), strict=True)
    for i, (weight, expected) in enumerate(pairs):
        assert_close(weight, expected.T if i == 3 else expected, rtol=2e-5)
    assert_close(models[kind].evaluate(**data(kind), verbose=0), models["dense"].evaluate(**data("dense"), verbose=0))
    head = layers(models[kind], ours.LinearCrossEntropy)[0]
    hidden = models[kind].predict(data(kind)["x"], verbose=0)
    logits = models["dense"].predict(PADDED, verbose=0)
    assert_close(numpy(head(tensor(hidden))), logits, rtol=2e-5)


@pytest.mark.parametrize("kind", ["layer", "loss"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_model_that_was_saved_loads_with_the_layer_and_trains_on(kind, tied, tmp_path: Path):
    made = model(kind, tied=tied, ignore_class=5, label_smoothing=0.1, kernel_regularizer="l2")
    made.fit(**data(kind), verbose=0)
    made.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    (head,), (embedding,) = layers(again, ours.LinearCrossEntropy), layers(again, keras.layers.Embedding)
    assert head.embedding is (embedding if tied else None)
    if kind == "loss":
        assert again.loss.head is head
    configs = [each.get_config() for each in (head, *layers(made, ours.LinearCrossEntropy))]
    assert [config.pop("embedding") is None for config in configs] == [not tied] * 2
    assert configs[0] == configs[1]
    assert len(again.trainable_variables) == len(made.trainable_variables) == (4 if tied else 5)
    assert again.evaluate(**data(kind), verbose=0) == made.evaluate(**data(kind), verbose=0)
    histories = [m.fit(**data(kind), epochs=2, verbose=0).history["loss"] for m in (made, again)]
    assert histories[0] == pytest.approx(histories[1], rel=1e-6)
    assert histories[0][1] < histories[0][0]


def test_a_tied_embedding_gets_the_gradient_of_both_its_uses():
    embedding = keras.layers.Embedding(CLASSES, FEATURES)
    head = ours.LinearCrossEntropy(embedding=embedding)
    tokens, labels = (keras.Input((TIME,), dtype="int32") for _ in range(2))
    made = keras.Model([tokens, labels], head(embedding(tokens), labels))
    embedding.set_weights([KERNEL])
    made.compile(keras.optimizers.SGD(1.0), jit_compile=JIT)
    made.fit([TOKENS, LABELS], batch_size=BATCH, verbose=0)
    weight = np.float64(KERNEL)
    hidden = weight[TOKENS].reshape(-1, FEATURES)
    x = hidden @ weight.T
    g = (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) - np.eye(CLASSES)[LABELS.reshape(-1)]) / LABELS.size
    expected = g.T @ hidden
    np.add.at(expected, TOKENS.reshape(-1), g @ weight)
    assert_close(made.get_weights()[0], weight - expected)


def test_mixed_precision_keeps_variables_and_loss_in_float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        made = model("layer", tied=True)
        history = made.fit(**data("layer"), epochs=4, verbose=0).history["loss"]
        head = built()
        hidden = ops.cast(tensor(HIDDEN), "bfloat16")
        found = added(head, hidden, tensor(LABELS, "float32"))
        logits = head(hidden)
        wide = ours.LinearCrossEntropy(300)
        wide.build((None, 1))
        wide.set_weights([np.arange(300, dtype="float32")[:, None]])
        last = added(wide, tensor([[1.0]]), tensor([299.0]))
    finally:
        keras.config.set_dtype_policy(before)
    assert history[-1] < history[0]
    assert found.dtype == np.float32
    # Of the hidden states as bfloat16 has them, and of variables that are not rounded.
    rounded = np.float64(numpy(ops.cast(hidden, "float32"))) @ np.float64(KERNEL).T + BIAS
    log_p = rounded - np.log(np.exp(rounded).sum(axis=-1, keepdims=True))
    assert_close(found, -np.take_along_axis(log_p, LABELS[..., None], -1).mean())
    assert keras.backend.standardize_dtype(logits.dtype) == "bfloat16"
    # Labels are not rounded: bfloat16 has 300 for 299.
    assert_close(last, np.log(1.0 / (1.0 - np.exp(-1.0))))


def test_a_label_out_of_range_is_an_error_where_it_is_known_and_nan_in_a_graph():
    bad = np.where(LABELS == FIRST, 7, LABELS)
    with pytest.raises(IndexError, match=r"targets\[0, 0\] is 7, but class indices must be in \[0, 6\)"):
        built()(tensor(HIDDEN), tensor(bad, "int32"))
    made = model("layer")
    if BACKEND == "torch":
        with pytest.raises(IndexError, match="is 7"):
            made.evaluate(**data("layer", bad), verbose=0)
    else:
        assert np.isnan(made.evaluate(**data("layer", bad), verbose=0))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        ((), {}, ValueError, "classes must be given where there is no embedding, got None"),
        ((0,), {}, ValueError, "classes must be at least 1, got 0"),
        ((2.5,), {}, TypeError, "classes must be an integer, got 2.5"),
        ((3,), {"embedding": keras.layers.Embedding(4, 2)}, ValueError, "classes must be the embedding's 4, got 3"),
        ((3,), {"embedding": "embedding"}, TypeError, "embedding must be a keras.layers.Embedding or None"),
        ((3,), {"label_smoothing": 2.0}, ValueError, r"label_smoothing must be in \[0, 1\], got 2.0"),
        ((3,), {"temperature": 0.0}, ValueError, "temperature must be in .* got 0.0"),
        ((3,), {"chunk_rows": 0}, ValueError, "chunk_rows must be at least 1, got 0"),
        ((3,), {"ignore_class": 1.5}, TypeError, "ignore_class must be an integer or None, got 1.5"),
        ((3,), {"reduction": "none"}, ValueError, "reduction must be one of .* got 'none'"),
    ],
)
def test_bad_options_are_named(arguments, options, error, said):
    with pytest.raises(error, match=said):
        ours.LinearCrossEntropy(*arguments, **options)


def test_bad_shapes_are_named():
    head, hidden = built(), tensor(HIDDEN)
    said = r"targets have shape \(4, 2\), but for hidden of shape \(4, 3, 5\) class indices must have shape \(4, 3\)"
    with pytest.raises(ValueError, match=said):
        head(hidden, tensor(LABELS[:, :2], "int32"))
    with pytest.raises(ValueError, match=r"targets have shape \(None, 2\)"):
        head(keras.Input((3, 5)), keras.Input((2,)))
    with pytest.raises(ValueError, match=r"sample_weight has shape \(3,\); it must be \(4, 3\) or its first axes"):
        head(hidden, tensor(LABELS, "int32"), tensor([1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="ignore_class=1 needs class indices"):
        built(ignore_class=1)(hidden, tensor(SOFT))
    with pytest.raises(ValueError, match=r"for an embedding of 2 features its last axis must have size 2"):
        ours.LinearCrossEntropy(embedding=keras.layers.Embedding(4, 2)).build((None, 5))
    with pytest.raises(ValueError, match="the size of its last axis must be known"):
        ours.LinearCrossEntropy(4).build((None, None))
    with pytest.raises(TypeError, match="head must be a LinearCrossEntropy layer, got 'head'"):
        ours.LinearCrossEntropyLoss("head")
