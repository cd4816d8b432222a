"""Single weights are dropped, by one mask a batch, and nothing else of the layer changes."""

import keras
import numpy as np
import pytest

from kregtools.callbacks import HealthMonitor
from kregtools.layers import CenteredWeightNormalization, DropConnect, StochasticDepth

layers = keras.layers


def numbers(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor), "float64")


def data(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_a_share_of_the_weights_is_dropped_and_the_others_are_scaled():
    layer = DropConnect(layers.Dense(50, kernel_initializer="ones", bias_initializer="ones"), 0.25, seed=1)
    used = numbers(layer(np.eye(80, dtype="float32"), training=True)) - 1
    assert set(np.round(np.unique(used), 5)) == {0.0, np.round(4 / 3, 5)}
    # Four standard deviations of the share of 4000 draws.
    assert abs((used == 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / used.size)
    np.testing.assert_array_equal(numbers(layer(np.eye(80, dtype="float32"))), 2)


def test_a_dropped_weight_gets_no_gradient():
    layer = DropConnect(layers.Dense(20, use_bias=False), 0.5)
    model = keras.Sequential([keras.Input((30,)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = numbers(layer.layer.kernel)
    model.train_on_batch(data(64, 30), data(64, 20))
    still = (numbers(layer.layer.kernel) == before).mean()
    assert abs(still - 0.5) < 4 * np.sqrt(0.25 / before.size)


@pytest.mark.parametrize("name, make, shape", [
    ("separable", lambda: layers.SeparableConv2D(4, 3), (8, 8, 3)),
    ("transposed", lambda: layers.Conv2DTranspose(4, 3), (8, 8, 3)),
    ("recurrent", lambda: layers.GRU(4), (6, 3)),
    ("model", lambda: keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(4)]), (5,)),
])  # fmt: skip
def test_any_layer_with_kernels(name, make, shape):
    layer = DropConnect(make(), 0.5, seed=1)
    x = data(4, *shape)
    trained, again = numbers(layer(x, training=True)), numbers(layer(x, training=True))
    assert not np.array_equal(trained, again) and tuple(trained.shape) == tuple(layer.compute_output_shape(x.shape))
    np.testing.assert_array_equal(numbers(layer(x, training=False)), numbers(layer.layer(x, training=False)))
    assert [weight.path for weight in layer.weights] == [weight.path for weight in layer.layer.weights]


def test_named_kernels_alone_are_dropped():
    layer = DropConnect(layers.LSTM(4, return_sequences=True), 0.9, kernels=("recurrent_kernel",), seed=1)
    x = data(3, 5, 2)
    trained, plain = numbers(layer(x, training=True)), numbers(layer(x, training=False))
    np.testing.assert_allclose(trained[:, 0], plain[:, 0], atol=1e-6)
    assert np.abs(trained[:, 1:] - plain[:, 1:]).max() > 1e-3


def test_losses_are_those_of_the_whole_kernel_and_of_the_outputs():
    def loss(wrap):
        inner = layers.Dense(
            3, kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2(1.0), activity_regularizer="l2"
        )
        # So low a rate drops no weight here, and goes the whole way nevertheless.
        model = keras.Sequential([keras.Input((4,)), DropConnect(inner, 1e-9) if wrap else inner])
        model.compile("sgd", "mse")
        return float(model.train_on_batch(np.ones((8, 4)), np.zeros((8, 3))))

    assert loss(True) == pytest.approx(loss(False))


def test_states_in_the_layer_move_on():
    """Moving statistics and the seeds of dropout inside."""
    inner = keras.Sequential([layers.Dense(4), layers.BatchNormalization(), layers.Dropout(0.5, seed=3)])
    model = keras.Sequential([keras.Input((3,)), DropConnect(inner, 0.3)])
    model.compile("sgd", "mse")
    before = [numbers(variable) for variable in inner.variables]
    model.fit(data(64, 3), data(64, 4), epochs=1, verbose=0)
    unchanged = [
        variable.path
        for variable, old in zip(inner.variables, before, strict=True)
        if np.array_equal(numbers(variable), old)
    ]
    assert not unchanged


def test_it_regularizes_and_still_learns():
    keras.utils.set_random_seed(0)
    x, y = data(256, 10), (data(256, 10) @ np.arange(10.0) > 0).astype("float32")
    model = keras.Sequential([
        keras.Input((10,)), DropConnect(layers.Dense(64, activation="relu"), 0.3), layers.Dense(1, activation="sigmoid")
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=10, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] > 0.9


def test_a_mask_goes_the_way_of_the_layer():
    layer = DropConnect(layers.LSTM(3, return_sequences=True), 0.5)
    padded = np.array([[1, 2, 0], [3, 0, 0]])
    outputs = layer(layers.Embedding(5, 4, mask_zero=True)(padded), training=True)
    np.testing.assert_array_equal(numbers(outputs._keras_mask), padded > 0)
    outputs = numbers(outputs)
    np.testing.assert_array_equal(outputs[1, 0], outputs[1, 2])


@pytest.mark.slow
def test_watching_changes_nothing_and_finds_nothing():
    def train(callbacks):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((8,))
        x = layers.Dense(32, activation="relu")(inputs)
        for block, rate in enumerate((0.1, 0.2)):
            branch = DropConnect(layers.Dense(32, activation="relu"), 0.2, name=f"dropped{block}")(x)
            x = layers.Add()([x, StochasticDepth(rate, name=f"depth{block}")(branch)])
        model = keras.Model(inputs, layers.Dense(1)(x))
        model.compile(keras.optimizers.Adam(0.01), "mse")
        x = data(512, 8)
        y = np.sin(x[:, :1]) + 0.5 * x[:, 1:2]
        model.fit(x, y, validation_split=0.25, epochs=8, verbose=0, callbacks=callbacks)
        return [numbers(variable) for variable in model.variables]

    monitor = HealthMonitor(sample_every=1, verbose=0)
    for first, second in zip(train([]), train([monitor]), strict=True):
        np.testing.assert_array_equal(first, second)
    assert monitor.diagnosis.verdict == "healthy", monitor.diagnosis
    names = monitor.record.frame().query("statistic == 'gradient_norm'").layer.unique()
    assert {"dropped0", "dropped1", "depth0", "depth1"} <= set(names), names


def lora() -> DropConnect:
    layer = DropConnect(layers.Dense(2))
    layer.build((None, 3))
    layer.layer.enable_lora(1)
    return layer


@pytest.mark.parametrize("call, message", [
    (lambda: DropConnect(layers.Dense(2), 1.0), "Received: rate=1.0. Expected a number from 0 to below 1"),
    (lambda: DropConnect(layers.Dense(2), True), "Received: rate=True"),
    (lambda: DropConnect(layers.BatchNormalization())(data(4, 3)), "has no weights to drop. Received: a BatchNorm.*"
     "kernels=None. Expected a layer with a kernel, .*Available: beta, gamma, moving_mean, moving_variance"),
    (lambda: DropConnect(layers.Dense(2), kernels=["weights"])(data(4, 3)), "Available: bias, kernel"),
    (lambda: DropConnect(CenteredWeightNormalization(layers.Dense(2)))(data(4, 3)),
     "is computed from its weights.* Received: a layer a CenteredWeightNormalization"),
    (lambda: DropConnect(layers.SpectralNormalization(layers.Dense(2)))(data(4, 3)), "a SpectralNormalization"),
    (lambda: DropConnect(DropConnect(layers.Dense(2)))(data(4, 3)), "a DropConnect"),
    (lambda: lora()(data(4, 3), training=True), "with LoRA. Expected plain layers"),
])  # fmt: skip
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
