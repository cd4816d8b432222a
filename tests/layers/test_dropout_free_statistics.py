import keras
import numpy as np
import pytest
from keras import layers

import kregtools
from kregtools.layers import DropoutAwareBatchNormalization, DropoutFreeStatistics

RNG = np.random.default_rng(0)
X = RNG.normal(0.5, 2.0, size=(256, 8)).astype("float32")
Y = RNG.integers(0, 2, size=(256, 1)).astype("float32")


def network(norm=DropoutAwareBatchNormalization, rate: float = 0.4) -> keras.Model:
    keras.utils.set_random_seed(3)
    body = [keras.Input((8,))]
    for index in range(3):
        body += [
            layers.Dropout(rate, seed=index),
            layers.Dense(6, activation="relu", activity_regularizer="l2"),
            norm(momentum=0.5, name=f"norm_{index}"),
        ]
    return keras.Sequential([*body, layers.Dense(1, activation="sigmoid")])


def fitted(body: keras.Layer, rate: float = 0.05, epochs: int = 3, **settings) -> keras.Model:
    model = keras.Sequential([keras.Input((8,)), body])
    model.compile(keras.optimizers.SGD(rate), "binary_crossentropy", **settings)
    model.fit(X, Y, batch_size=settings.pop("batch_size", 256), epochs=epochs, shuffle=False, verbose=0)
    return model


@pytest.mark.parametrize(
    "settings",
    [{"run_eagerly": True}, {"jit_compile": False}, pytest.param({"jit_compile": True}, marks=pytest.mark.slow)],
)
def test_training_is_that_of_the_block_alone(settings):
    plain, followed = fitted(network(), **settings), fitted(DropoutFreeStatistics(network()), **settings)
    for a, b in zip(plain.trainable_variables, followed.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    seeds = [[np.array(v) for v in m.non_trainable_variables if "seed" in v.path] for m in (plain, followed)]
    assert len(seeds[0]) == 3
    np.testing.assert_array_equal(*seeds)
    assert not np.allclose(plain.get_weights()[-3], followed.get_weights()[-3])


def test_a_block_that_is_a_compiled_model_is_trained_as_others():
    block = network()
    block.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    model = fitted(DropoutFreeStatistics(block), epochs=1)
    assert set(model.history.history) == {"loss"}


def test_penalties_count_once():
    losses = [
        fitted(body, rate=0.0, epochs=1).history.history["loss"]
        for body in (network(), DropoutFreeStatistics(network()))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_the_statistics_are_right_at_depth_and_without_it_they_are_not():
    followed, plain = network(), network()
    fitted(DropoutFreeStatistics(followed), rate=0.0, epochs=30)
    fitted(plain, rate=0.0, epochs=30)
    for layer in kregtools.variance_shift(followed, X).layers:
        assert layer.variance_ratio == pytest.approx(1.0, abs=1e-3)
        assert abs(np.log(layer.worst_variance_ratio)) < 1e-3 and layer.mean_shift < 1e-3
    assert max(layer.variance_ratio for layer in kregtools.variance_shift(plain, X).layers) > 1.2


def test_one_step_moves_them_by_what_momentum_says():
    block = keras.Sequential([keras.Input((8,)), layers.Dropout(0.5), DropoutAwareBatchNormalization(momentum=0.8)])
    DropoutFreeStatistics(block)(X, training=True)
    np.testing.assert_allclose(block.layers[-1].moving_mean, 0.2 * X.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(block.layers[-1].moving_variance, 0.8 + 0.2 * X.var(axis=0), rtol=1e-4)


def test_only_the_first_rows_on_request():
    block = keras.Sequential([keras.Input((8,)), layers.Dropout(0.5), DropoutAwareBatchNormalization(momentum=0.0)])
    DropoutFreeStatistics(block, rows=50)(X, training=True)
    np.testing.assert_allclose(block.layers[-1].moving_variance, X[:50].var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("axis, shape", [(-1, (16, 5)), (-1, (4, 6, 6, 3)), (1, (4, 3, 6, 6))])
@pytest.mark.parametrize("settings", [{}, {"center": False}, {"scale": False}, {"dtype": "mixed_bfloat16"}])
def test_where_nothing_drops_it_is_plain_batchnorm(axis, shape, settings):
    x = RNG.normal(2.0, 3.0, size=shape).astype("float32")
    plain, ours = layers.BatchNormalization(axis, **settings), DropoutAwareBatchNormalization(axis, **settings)
    followed = DropoutFreeStatistics(ours)
    for training in (True, True, False):
        outputs = [np.asarray(keras.ops.cast(layer(x, training=training), "float32")) for layer in (plain, followed)]
        if training:
            np.testing.assert_array_equal(*outputs)
    np.testing.assert_allclose(*outputs, rtol=0.01 if "dtype" in settings else 1e-5, atol=1e-5)
    for a, b in zip(plain.weights, ours.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inside", [True, False])
def test_masked_positions_do_not_count(inside):
    norm, masking = DropoutAwareBatchNormalization(momentum=0.0), layers.Masking()
    block = keras.Sequential([keras.Input((5, 3)), masking, norm]) if inside else norm
    around = [] if inside else [masking]
    x = RNG.normal(size=(64, 5, 3)).astype("float32")
    x[:, 3:] = 0
    keras.Sequential([keras.Input((5, 3)), *around, DropoutFreeStatistics(block)])(x, training=True)
    np.testing.assert_allclose(norm.moving_variance, x[:, :3].reshape(-1, 3).var(axis=0), rtol=1e-4)


class Unspoken(keras.Model):
    """Its layers are not told of `training`: they learn of it from Keras."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = list(parts)

    def call(self, x, training=None):
        for part in self.parts:
            x = part(x)
        return x


def test_layers_that_are_not_told_of_training_are_in_the_right_mode():
    norm, after = DropoutAwareBatchNormalization(momentum=0.0), layers.Dropout(0.5)
    block = Unspoken(layers.Dropout(0.9), norm)
    block(X)
    outputs = Unspoken(DropoutFreeStatistics(block), after)(X, training=True)
    np.testing.assert_allclose(norm.moving_variance, X.var(axis=0), rtol=1e-4)
    assert np.mean(np.asarray(outputs) == 0) == pytest.approx(0.5, abs=0.05)


def test_a_shared_layer_pools_its_calls():
    inputs, norm = keras.Input((8,)), DropoutAwareBatchNormalization(momentum=0.0)
    dropped = layers.Dropout(0.5)(inputs)
    block = keras.Model(inputs, norm(dropped) + norm(3 * dropped))
    DropoutFreeStatistics(block)(X, training=True)
    np.testing.assert_allclose(norm.moving_variance, np.concatenate([X, 3 * X]).var(axis=0), rtol=1e-4)


def test_frozen_layers_keep_their_statistics():
    block = network()
    block.get_layer("norm_1").trainable = False
    fitted(DropoutFreeStatistics(block))
    np.testing.assert_array_equal(block.get_layer("norm_1").moving_variance, np.ones(6))
    assert not np.allclose(block.get_layer("norm_0").moving_variance, np.ones(6))


class InferenceBase(keras.Model):
    def __init__(self):
        super().__init__()
        self.base, self.top = DropoutAwareBatchNormalization(), DropoutAwareBatchNormalization()

    def call(self, x, training=None):
        return self.top(self.base(x, training=False), training=training)


def test_layers_that_the_block_runs_in_inference_mode_keep_theirs():
    block = InferenceBase()
    block(X)
    DropoutFreeStatistics(block)(X, training=True)
    np.testing.assert_array_equal(block.base.moving_variance, np.ones(8))
    # What it feeds on went through the base as inference does it.
    clean = X / np.sqrt(1 + block.base.epsilon)
    np.testing.assert_allclose(block.top.moving_variance, 0.99 + 0.01 * clean.var(axis=0), rtol=1e-5)


def test_inference_changes_nothing():
    block = network()
    before = block.get_weights()
    DropoutFreeStatistics(block)(X, training=False)
    for old, new in zip(before, block.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_several_inputs_and_a_saved_model(tmp_path):
    first, second = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    norm = DropoutAwareBatchNormalization(name="norm", momentum=0.0)
    block = keras.Model({"a": first, "b": second}, norm(layers.Dropout(0.5)(first + second)))
    inputs = {"a": keras.Input((8,), name="a"), "b": keras.Input((8,), name="b")}
    model = keras.Model(inputs, DropoutFreeStatistics(block, rows=100)(inputs))
    rows = {"a": X, "b": 2 * X}
    model(rows, training=True)
    np.testing.assert_allclose(norm.moving_variance, (3 * X[:100]).var(axis=0), rtol=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].rows == 100
    np.testing.assert_array_equal(loaded(rows), model(rows))


class NoTraining(layers.Layer):
    def __init__(self):
        super().__init__()
        self.norm = DropoutAwareBatchNormalization()

    def call(self, x):
        return self.norm(x)


@pytest.mark.parametrize("build, message", [
    (lambda: DropoutFreeStatistics(network(), rows=0), "Received: rows=0. Expected a positive integer or None"),
    (lambda: DropoutFreeStatistics(NoTraining()), "takes no `training`, so that it cannot be run with dropout off"),
    (lambda: DropoutFreeStatistics(network(layers.BatchNormalization)), "Received plain ones: norm_0, norm_1, norm_2"),
    (lambda: DropoutFreeStatistics(layers.Dense(3))(X), "Received plain ones: none, and no others"),
    (lambda: DropoutFreeStatistics(DropoutAwareBatchNormalization(renorm=True, name="n"))(X), "n .*has renorm=True"),
])  # fmt: skip
def test_what_cannot_be_followed_is_an_error_that_says_what_to_do(build, message):
    with pytest.raises(ValueError, match=message):
        keras.Sequential([keras.Input((8,)), build()])


def test_it_follows_in_half_precision_throughout():
    norm = DropoutAwareBatchNormalization(momentum=0.5, dtype="float16")
    block = keras.Sequential([keras.Input((8,), dtype="float16"), layers.Dropout(0.4, dtype="float16"), norm])
    DropoutFreeStatistics(block, dtype="float16")(X.astype("float16"), training=True)
    mean = keras.ops.convert_to_numpy(norm.moving_mean)
    np.testing.assert_allclose(mean, X.mean(0) / 2, atol=1e-2)
