"""Kernels with centered columns of a fixed norm, and a gradient that goes through."""

import keras
import numpy as np
import pytest

from kregtools.callbacks import HealthMonitor
from kregtools.layers import CenteredWeightNormalization

layers = keras.layers


def numbers(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor), "float64")


def data(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


CASES = {
    "dense": (lambda: layers.Dense(6, activation="relu"), (16,), 0),
    "conv1d": (lambda: layers.Conv1D(6, 3), (10, 5), (0, 1)),
    "conv2d": (lambda: layers.Conv2D(6, 3, strides=2, padding="same"), (8, 8, 5), (0, 1, 2)),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 5), (0, 1)),
    "transposed": (lambda: layers.Conv2DTranspose(6, 3), (5, 5, 4), (0, 1, 3)),
    "einsum": (lambda: layers.EinsumDense("abc,cde->abde", (5, 3, 4), bias_axes="de"), (5, 8), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_the_weights_into_a_unit_have_mean_zero_and_the_norm_of_the_gain(name):
    make, shape, axes = CASES[name]
    layer = CenteredWeightNormalization(make(), gain=1.5)
    x = data(4, *shape)
    outputs = layer(x)
    kernel = numbers(layer.normalized_kernel())
    np.testing.assert_allclose(kernel.mean(axes), 0, atol=1e-6)
    np.testing.assert_allclose(np.sqrt((kernel**2).sum(axes)), 1.5, rtol=1e-5)
    plain = make()
    plain.build(x.shape)
    plain.kernel.assign(kernel)
    np.testing.assert_allclose(numbers(outputs), numbers(plain(x)), atol=1e-5)
    assert tuple(outputs.shape) == tuple(layer.compute_output_shape(x.shape))


def test_the_gradient_goes_through_the_projection():
    """A step of gradient descent on v is orthogonal to v and to the vector of ones, unlike one on w."""
    layer = CenteredWeightNormalization(layers.Dense(3, use_bias=False))
    model = keras.Sequential([keras.Input((8,)), layer])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    before = numbers(layer.layer.kernel)
    model.train_on_batch(data(32, 8), data(32, 3))
    step = numbers(layer.layer.kernel) - before
    assert np.abs(step).max() > 1e-4
    np.testing.assert_allclose((step * before).sum(0), 0, atol=1e-6)
    np.testing.assert_allclose(step.sum(0), 0, atol=1e-6)


def test_a_common_shift_of_the_inputs_does_not_reach_the_units():
    layer = CenteredWeightNormalization(layers.Dense(3))
    x = data(20, 8)
    np.testing.assert_allclose(numbers(layer(x)), numbers(layer(x + 5.0)), atol=1e-4)


@pytest.mark.parametrize("trainable", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_it_trains_saves_and_loads(tmp_path, trainable):
    keras.utils.set_random_seed(0)
    wrapped = CenteredWeightNormalization(layers.Dense(16, activation="relu"), trainable_gain=trainable)
    model = keras.Sequential([keras.Input((8,)), wrapped, layers.Dropout(0.2), layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x = data(256, 8)
    losses = model.fit(x, x[:, :2], epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert np.ptp(numbers(wrapped.scale)) > 0 if trainable else np.ptp(numbers(wrapped.scale)) == 0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


def test_watching_it_changes_nothing_and_records_its_gradient():
    def train(callbacks):
        keras.utils.set_random_seed(0)
        wrapped = CenteredWeightNormalization(layers.Dense(16, activation="relu"))
        model = keras.Sequential([keras.Input((8,)), wrapped, layers.Dense(2)])
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
        model.fit(data(128, 8), data(128, 2), epochs=2, verbose=0, callbacks=callbacks)
        return [numbers(weight) for weight in model.weights]

    monitor = HealthMonitor(sample_every=1, verbose=0)
    for first, second in zip(train([]), train([monitor]), strict=True):
        np.testing.assert_array_equal(first, second)
    frame = monitor.record.frame()
    assert (frame.query("statistic == 'gradient_norm' or statistic == 'norm'").value > 0).any()


def test_mixed_precision():
    layer = CenteredWeightNormalization(layers.Dense(4), dtype="mixed_float16")
    outputs = layer(data(8, 16))
    assert np.isfinite(numbers(outputs)).all()
    assert keras.backend.standardize_dtype(layer.layer.kernel.dtype) == "float32"


def test_a_large_kernel_does_not_overflow_in_mixed_precision():
    dense = layers.Dense(4, kernel_initializer=keras.initializers.RandomNormal(stddev=1e5), dtype="mixed_float16")
    outputs = CenteredWeightNormalization(dense, dtype="mixed_float16")(data(8, 16))
    assert np.isfinite(numbers(outputs)).all()


def test_the_losses_of_the_layer_count():
    wrapped = CenteredWeightNormalization(layers.Dense(3, activity_regularizer=keras.regularizers.L2(0.1)))
    outputs = numbers(wrapped(data(4, 8)))
    assert [float(loss) for loss in wrapped.losses] == pytest.approx([0.1 * (outputs**2).sum() / 4], rel=1e-5)


@pytest.mark.filterwarnings("ignore:Layer .* does not support masking")
def test_a_mask_goes_the_way_of_the_layer():
    tokens = np.array([[1, 2, 3, 4, 5, 6, 0, 0]])
    embedded = layers.Embedding(9, 5, mask_zero=True)(tokens)
    wrapped = CenteredWeightNormalization(layers.Conv1D(4, 3, strides=2))
    assert layers.LSTM(2)(wrapped(embedded)).shape == (1, 2)
    assert not wrapped.supports_masking and CenteredWeightNormalization(layers.Dense(2)).supports_masking


@pytest.mark.parametrize("call, message", [
    (lambda: CenteredWeightNormalization(layers.Dense(2), gain=0.0), "Received: gain=0.0. Expected a number above 0"),
    (lambda: CenteredWeightNormalization(layers.Dense(2), epsilon=-1), "Received: epsilon=-1"),
    (lambda: CenteredWeightNormalization(layers.LSTM(2)).build((None, 3, 2)), "has no kernel that .*Received: a LSTM"),
    (lambda: CenteredWeightNormalization(layers.Dense(2)).build((None, 1)), r"has one input. .*shape \(1, 2\)"),
])  # fmt: skip
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
