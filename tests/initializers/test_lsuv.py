"""Layer-sequential unit variance, on every kind of model, with nothing else changed."""

import itertools

import keras
import numpy as np
import pytest
from plain_networks import data, numbers, plain

from kregtools.initializers import lsuv

layers = keras.layers


def before_activations(model, x) -> list[float]:
    """The std of each Dense layer's output before its activation, dropout on, for a Sequential model."""
    h, found = keras.ops.convert_to_tensor(x), []
    for layer in model.layers:
        if isinstance(layer, layers.Dense):
            z = keras.ops.matmul(h, layer.kernel) + layer.bias
            found.append(float(numbers(z).std()))
            h = layer.activation(z)
        else:
            h = layer(h, training=True)
    return found


def test_a_first_training_pass_sees_unit_variance_in_every_layer():
    keras.utils.set_random_seed(0)
    model, x = plain(), data(300, 64)
    report = lsuv(model, x, seed=1)
    stds = before_activations(model, x)  # the seeds were put back: these are the masks that were measured
    np.testing.assert_allclose(stds, 1.0, atol=0.011)
    np.testing.assert_allclose([layer.after for layer in report.layers], stds, rtol=1e-4)


def test_it_measures_with_dropout_on():
    """Measured with dropout off, as published, the signal would double in variance in every layer."""
    keras.utils.set_random_seed(0)
    model, x = plain(depth=12), data(300, 64)
    lsuv(model, x, seed=1)
    quiet = keras.Model(model.inputs[0], model.layers[-3].output)
    assert numbers(quiet(x, training=False)).std() < 0.2


ACTIVATIONS = ("relu", "leaky_relu", "elu", "selu", "tanh", "gelu", "silu", "mish")
QUICK = [("relu", 0.5), ("tanh", 0.0), ("selu", 0.5)]


@pytest.mark.parametrize("activation, rate", [
    pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow)
    for case in itertools.product(ACTIVATIONS, (0.0, 0.5))
])  # fmt: skip
def test_fresh_data_and_fresh_dropout_keep_the_std_over_thirty_layers(activation, rate):
    ratios = []
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        model = plain(30, rate, 128, activation)
        lsuv(model, data(256, 128, seed=seed), seed=seed)
        stds = before_activations(model, data(256, 128, seed=100 + seed))
        ratios.append(stds[-2] / stds[0])
    assert 0.7 < np.median(ratios) < 1.4


@pytest.mark.parametrize("activation, std, growth", [
    ("relu", 1, 1.0), ("elu", 1, 0.89), ("selu", 1, 0.78), ("tanh", 1, 0.46),
    ("gelu", 1, 1.14), ("silu", 1, 1.17), ("mish", 1, 1.08), ("gelu", 4, 1.01), ("silu", 4, 1.04), ("mish", 4, 1.01),
])  # fmt: skip
def test_the_growth_of_an_output_with_its_input_is_as_documented(activation, std, growth):
    z = np.linspace(-10, 10, 20_001)
    density, function = np.exp(-(z**2) / 2), keras.activations.get(activation)

    def log_rms(scale):
        values = numbers(function(keras.ops.convert_to_tensor((scale * z).astype("float32"))))
        return 0.5 * np.log((density * values**2).sum())

    assert (log_rms(1.01 * std) - log_rms(std / 1.01)) / (2 * np.log(1.01)) == pytest.approx(growth, abs=0.006)


def test_per_channel_every_unit_has_unit_variance():
    keras.utils.set_random_seed(0)
    model, x = plain(depth=3, rate=0.2), data(400, 64)
    lsuv(model, x, per="channel", seed=1)
    z = keras.ops.matmul(keras.ops.convert_to_tensor(x), model.layers[0].kernel)
    np.testing.assert_allclose(numbers(z).std(axis=0), 1.0, atol=0.011)


def test_another_std_and_the_kernels_there_are():
    model, x = plain(depth=2, rate=0.0), data(300, 64)
    before = numbers(model.layers[0].kernel)
    lsuv(model, x, std=4.0, orthogonal=False)
    np.testing.assert_allclose(before_activations(model, x), 4.0, rtol=0.011)
    ratio = numbers(model.layers[0].kernel) / before
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)


def test_biases_are_kept_and_accounted_for():
    model = keras.Sequential([keras.Input((16,)), layers.Dense(32, bias_initializer="random_normal"), layers.Dense(4)])
    model.layers[0].bias.assign(3 * numbers(model.layers[0].bias) / numbers(model.layers[0].bias).std() * 0.2)
    bias = numbers(model.layers[0].bias)
    report = lsuv(model, data(300, 16))
    assert report.layers[0].after == pytest.approx(1.0, abs=0.011)
    np.testing.assert_array_equal(numbers(model.layers[0].bias), bias)


def test_only_kernels_change():
    inputs = keras.Input((8, 8, 3))
    h = layers.Conv2D(8, 3, activation="relu")(inputs)
    h = layers.BatchNormalization()(h)
    h = layers.GaussianNoise(0.1)(layers.SpatialDropout2D(0.3)(h))
    h = layers.Dense(5)(layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(h)))
    model = keras.Model(inputs, h)
    model.compile("adam", "mse")
    kernels = {id(layer.kernel) for layer in model.layers if hasattr(layer, "kernel")}
    before = [(variable, numbers(variable)) for variable in model.variables]
    lsuv(model, data(100, 8, 8, 3))
    changed = {id(variable) for variable, value in before if not np.array_equal(numbers(variable), value)}
    assert changed == kernels
    assert "call" not in vars(model.layers[1]) and model.layers[1].activation is keras.activations.relu


def test_it_changes_no_optimizer_and_no_compiled_function():
    model = plain(depth=2)
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = data(64, 64), np.zeros(64)
    model.fit(x, y, verbose=0)
    function = model.train_function
    slots = [numbers(variable) for variable in model.optimizer.variables]
    lsuv(model, x)
    assert model.train_function is function
    assert all(np.array_equal(numbers(v), s) for v, s in zip(model.optimizer.variables, slots, strict=True))
    model.fit(x, y, verbose=0)


def nested():
    inner = keras.Sequential([keras.Input((16,)), layers.Dense(16, activation="relu"), layers.Dense(16)], name="inner")
    inputs = keras.Input((16,))
    h = layers.Dropout(0.3)(layers.Dense(16, activation="tanh")(inputs))
    return keras.Model(inputs, layers.Dense(2)(layers.Add()([inner(h), h])))


def shared():
    dense = layers.Dense(16, activation="relu", name="shared")
    inputs = keras.Input((16,))
    return keras.Model(inputs, layers.Dense(2)(dense(layers.Dropout(0.5)(dense(inputs)))))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.unused = layers.Dense(16), layers.Dense(4), layers.Dense(4)
        self.dropout = layers.Dropout(0.5)
        self.unused.build((None, 16))

    def call(self, x, training=None):
        return self.second(self.dropout(keras.ops.relu(self.first(x)), training=training))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 16)))
    return model


def convolutions():
    inputs = keras.Input((16,))
    h = layers.Reshape((4, 4, 1))(inputs)
    h = layers.Conv2D(8, 3, activation="relu", padding="same")(h)
    h = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(h)
    h = layers.SeparableConv2D(8, 3, padding="same", activation="elu")(h)
    h = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(h)
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(h)))


def attention():
    inputs = keras.Input((16,))
    h = layers.Dense(8)(layers.Reshape((8, 2))(inputs))
    h = h + layers.MultiHeadAttention(2, 4, dropout=0.2)(h, h)
    h = layers.TimeDistributed(layers.Dense(6, activation="gelu"))(h)
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(h)))


MODELS = {
    "nested": (nested, ["dense", "inner/dense", "inner/dense", "dense"]),
    "shared": (shared, ["shared", "dense"]),
    "subclassed": (subclassed, ["dense", "dense"]),
    "convolutions": (convolutions, ["conv2d", "depthwise", "separable", "transpose", "dense"]),
    "attention": (attention, ["dense", "query", "key", "value", "attention_output", "dense", "dense"]),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("per", ["layer", "channel"])
def test_every_kind_of_model(name, per):
    keras.utils.set_random_seed(1)
    build, expected = MODELS[name]
    report = lsuv(build(), data(400, 16), per=per, seed=2)
    assert len(report.layers) == len(expected)
    names = [layer.layer for layer in report.layers]
    assert sorted(part in name for part, name in zip(sorted(expected), sorted(names), strict=True))
    # PyTorch draws dropout without a seed of its own from a generator that belongs to nobody.
    fresh = 0.08 if keras.backend.backend() == "torch" else 0.0
    if per == "layer":
        np.testing.assert_allclose([layer.after for layer in report.layers], 1.0, atol=0.02 + fresh)
    else:  # means differ between channels, and add to the std of the whole
        assert all(0.98 - fresh < layer.after < 1.5 for layer in report.layers)


def test_what_is_left_alone_is_said():
    inputs = keras.Input((10, 16))
    h = layers.SpectralNormalization(layers.Dense(16, name="inside"))(inputs)
    frozen = layers.Dense(16, name="frozen", trainable=False)
    h = layers.LSTM(8, name="recurrent")(frozen(h))
    model = keras.Model(inputs, layers.Dense(2, name="last")(h))
    before = {layer.name: [numbers(weight) for weight in layer.weights] for layer in model.layers}
    report = lsuv(model, data(100, 10, 16))
    assert [layer.layer.split("/")[-1] for layer in report.layers] == ["last"]
    reasons = {name.split("/")[-1]: why for name, why in report.left_alone.items()}
    assert reasons["frozen"] == "frozen (trainable=False)"
    assert reasons["inside"] == "its kernel is computed at every call, by a layer around it"
    assert reasons["lstm_cell"] == "the output of a LSTMCell is not known to be linear in a kernel"
    for name in ("frozen", "recurrent"):
        for weight, value in zip(model.get_layer(name).weights, before[name], strict=True):
            np.testing.assert_array_equal(numbers(weight), value)
    assert "left as it was, frozen" in repr(report)


def test_two_layers_of_one_name_are_told_apart():
    class Twice(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = layers.Dense(16, name="same", trainable=False)
            self.second = layers.Dense(4, name="same")

        def call(self, x):
            return self.second(self.first(x))

    model = Twice()
    model(np.zeros((1, 16)))
    frozen = numbers(model.first.kernel)
    report = lsuv(model, data(100, 16))
    assert len(report.layers) == 1 and report.layers[0].after == pytest.approx(1.0, abs=0.011)
    np.testing.assert_array_equal(numbers(model.first.kernel), frozen)


def test_a_layer_that_is_not_called_is_named():
    report = lsuv(subclassed(), data(100, 16))
    assert list(report.left_alone.values()) == ["the model did not call it on this data"]


def test_the_report_tells_before_from_after():
    model, x = plain(depth=4, rate=0.0), data(300, 64)
    for layer in model.layers:
        if isinstance(layer, layers.Dense):
            layer.kernel.assign(3 * numbers(layer.kernel))
    expected = before_activations(model, x)
    frame = lsuv(model, x).frame()
    np.testing.assert_allclose(frame.before, expected, rtol=1e-4)
    np.testing.assert_allclose(frame.after, 1.0, atol=0.011)
    assert list(frame.columns) == ["layer", "before", "after"]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = plain(depth=6)
        report = lsuv(model, data(256, 64), seed=0)
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose([layer.after for layer in report.layers], 1.0, atol=0.02)


def test_any_data_that_fit_takes():
    x, y = data(300, 64), np.zeros(300)
    kernels = []
    for given in (x, (x, y), iter([(x[:100], y[:100]), (x[100:], y[100:])])):
        model = plain(depth=2, rate=0.0)
        assert lsuv(model, given, seed=3).samples == 300
        kernels.append(numbers(model.layers[0].kernel))
    np.testing.assert_allclose(kernels[0], kernels[1])
    np.testing.assert_allclose(kernels[0], kernels[2])
