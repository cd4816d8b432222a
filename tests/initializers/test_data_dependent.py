"""Krähenbühl's initialization: units of unit variance, layers of one speed."""

import keras
import numpy as np
import pytest
from plain_networks import data, numbers

from kregtools.initializers import data_dependent_init
from kregtools.initializers.rates import RatesOfChange

layers = keras.layers


def network(rate=0.3):
    keras.utils.set_random_seed(0)
    blocks = [
        layer
        for width in (48, 32, 64, 16)
        for layer in (layers.Dense(width, activation="relu"), layers.Dropout(rate, seed=1))
    ]
    return keras.Sequential([keras.Input((32,)), *blocks, layers.Dense(5)])


def kernels(model):
    return [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]


@pytest.mark.parametrize("method", ["pca", "random"])
def test_within_every_unit_has_unit_variance_and_the_mean_asked_for(method):
    model, x = network(), 2 + 3 * data(400, 32)
    data_dependent_init(model, x, method=method, mean=0.5, between=False, seed=1)
    h = keras.ops.convert_to_tensor(x)
    for layer in model.layers:
        if isinstance(layer, layers.Dense):
            z = numbers(keras.ops.matmul(h, layer.kernel) + layer.bias)
            np.testing.assert_allclose(z.std(axis=0), 1.0, atol=1e-3)
            np.testing.assert_allclose(z.mean(axis=0), 0.5, atol=1e-3)
        h = layer(h, training=True)


def rates(model, x) -> np.ndarray:
    return RatesOfChange(model, x, np.random.default_rng(5))(kernels(model))


def test_between_all_layers_learn_at_one_speed():
    model, x = network(), data(400, 32)
    data_dependent_init(model, x, between=False, seed=1)
    alone = rates(model, x)
    model = network()
    data_dependent_init(model, x, seed=1)
    together = rates(model, x)
    assert alone.max() / alone.min() > 3
    assert together.max() / together.min() < 1.4  # in another direction than the one that was measured


def test_rates_agree_with_the_gradient_of_a_linear_model():
    """Of y = x W in the direction d the gradient is x' d."""
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, use_bias=False)])
    x, probe = data(20, 6), RatesOfChange(model, data(20, 6), np.random.default_rng(2))
    gradient = x.T @ probe.direction / 20
    expected = np.sqrt((gradient**2).mean() / (numbers(model.layers[0].kernel) ** 2).mean())
    np.testing.assert_allclose(probe(kernels(model)), [expected], rtol=1e-5)


def test_regularizers_do_not_count_in_the_rates():
    plain, regularized = (
        keras.Sequential([keras.Input((32,)), layers.Dense(16, kernel_regularizer=penalty), layers.Dense(4)])
        for penalty in (None, keras.regularizers.L2(10.0))
    )
    regularized.set_weights(plain.get_weights())
    x = data(64, 32)
    first, second = (RatesOfChange(m, x, np.random.default_rng(0))(kernels(m)) for m in (plain, regularized))
    np.testing.assert_allclose(first, second, rtol=1e-5)


def test_principal_components_of_a_dense_layer():
    scales = np.array([5.0, 3.0, 1.0, 0.1, 0.05, 0.01])
    rotation = np.linalg.qr(data(6, 6))[0]
    x = (data(2000, 6) * scales) @ rotation.T
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, use_bias=False)])
    data_dependent_init(model, x, between=False, samples=2000)
    directions = numbers(model.layers[0].kernel)
    directions /= np.linalg.norm(directions, axis=0)
    np.testing.assert_allclose(np.abs(np.sum(directions * rotation[:, :3], axis=0)), 1.0, atol=0.01)


@pytest.mark.parametrize("settings", [
    {}, {"padding": "same"}, {"strides": 2}, {"dilation_rate": 2}, {"data_format": "channels_last"},
])  # fmt: skip
def test_principal_components_of_a_convolution_are_in_the_order_of_its_weights(settings):
    """Data that vary only in channel 1, alike over three neighbours in a row: the first component is their sum."""
    rows = np.repeat(data(300, 12, 4), 3, axis=2)
    x = 0.001 * data(300, 12, 12, 2)
    x[..., 1] += rows[:, :, :12]
    model = keras.Sequential([keras.Input((12, 12, 2)), layers.Conv2D(2, (1, 3), use_bias=False, **settings)])
    data_dependent_init(model, x, between=False, seed=1, samples=300)
    first = numbers(model.layers[0].kernel)[0, :, :, 0]
    assert np.abs(first[:, 0]).max() < 0.05 * np.abs(first[:, 1]).max()
    if "dilation_rate" not in settings:
        assert np.ptp(np.sign(first[:, 1])) == 0


@pytest.mark.parametrize("build", [
    lambda: [keras.Input((20, 3)), layers.Conv1D(8, 3, activation="relu"), layers.Flatten()],
    lambda: [keras.Input((6, 6, 6, 2)), layers.Conv3D(8, 2, activation="relu"), layers.Flatten()],
    lambda: [keras.Input((8, 8, 4)), layers.Conv2D(8, 3, groups=2), layers.DepthwiseConv2D(3), layers.Flatten()],
    lambda: [keras.Input((4, 4, 3)), layers.Conv2D(8, 5, padding="same"), layers.GlobalMaxPooling2D()],
    lambda: [keras.Input((6, 8)), layers.EinsumDense("abc,cde->abed", (6, 5, 4), bias_axes="ed"), layers.Flatten()],
])  # fmt: skip
def test_other_layers(build):
    model = keras.Sequential([*build(), layers.Dense(3)])
    x = data(200, *model.input_shape[1:])
    report = data_dependent_init(model, x, between=False, seed=1)
    np.testing.assert_allclose([layer.after for layer in report.layers], 1.0, atol=0.01)
    report = data_dependent_init(model, x, seed=1)
    assert all(0.01 < layer.after < 1000 for layer in report.layers)


def test_it_is_the_same_for_the_same_seed():
    values = []
    for _ in range(2):
        model = network()
        data_dependent_init(model, data(300, 32), seed=4)
        values.append([numbers(kernel) for kernel in kernels(model)])
    for first, second in zip(*values, strict=True):
        np.testing.assert_array_equal(first, second)


def test_only_kernels_and_biases_change():
    inputs = keras.Input((16,))
    h = layers.BatchNormalization()(layers.Dropout(0.5)(layers.Dense(8, activation="relu")(inputs)))
    model = keras.Model(inputs, [layers.Dense(3)(h), layers.Dense(2, kernel_constraint="max_norm")(h)])
    model.compile("adam", "mse")
    compiled = model.optimizer
    before = [(variable, numbers(variable)) for variable in model.variables]
    data_dependent_init(model, data(200, 16))
    changed = {
        variable.path.split("/")[-1] for variable, value in before if not np.array_equal(numbers(variable), value)
    }
    assert changed == {"kernel", "bias"}
    assert model.optimizer is compiled


def test_a_layer_that_no_gradient_reaches_is_named_and_the_model_is_as_it_was():
    inputs = keras.Input((8,))
    h = layers.Dense(8, name="cut")(inputs)
    h = layers.Lambda(lambda z: keras.ops.stop_gradient(z))(h)
    model = keras.Model(inputs, layers.Dense(2)(h))
    before = [numbers(variable) for variable in model.variables]
    with pytest.raises(ValueError, match=r"No gradient reaches cut, .*The model is as it was. Use `between=False`"):
        data_dependent_init(model, data(50, 8))
    assert all(np.array_equal(numbers(v), value) for v, value in zip(model.variables, before, strict=True))


def test_a_bad_method():
    with pytest.raises(ValueError, match=r"Received: method='kmeans'. Expected 'pca' or 'random'"):
        data_dependent_init(network(), data(50, 32), method="kmeans")
