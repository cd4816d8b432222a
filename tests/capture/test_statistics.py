"""What is recorded, against NumPy in float64 and a GradientTape of our own."""

import functools

import by_numpy
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kregtools.callbacks import HealthMonitor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
Y = RNG.integers(0, 3, size=(64,))


def network() -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, activation="relu", name="hidden", kernel_regularizer="l2"),
            layers.Dense(3, activation="softmax", name="output"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return model


@functools.cache
def one_step():
    """The first step on all rows: the monitor's record of it, and the model as it was before."""
    model, before = network(), network()
    monitor = HealthMonitor(sample_every=1, verbose=0)
    model.fit(X, Y, batch_size=64, epochs=1, shuffle=False, verbose=0, callbacks=[monitor])
    return monitor.record, before, model


def value(record, layer, tensor, statistic):
    return record.series(layer, tensor, statistic)[0]


def test_activations_agree_with_numpy():
    record, before, _ = one_step()
    part = keras.Model(before.inputs[0], [layer.output for layer in before.layers])
    for layer, output in zip(before.layers, part(X), strict=True):
        for statistic, number in by_numpy.activation(output).items():
            assert value(record, layer.name, "activation", statistic) == pytest.approx(number, rel=1e-5, abs=1e-7)


def test_gradients_updates_and_loss_agree_with_a_tape():
    record, before, after = one_step()
    with tf.GradientTape() as tape:
        data_loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(Y, before(X)))
        penalty = sum(before.losses)
        loss = data_loss + penalty
    gradients = tape.gradient(loss, [v.value for v in before.trainable_variables])
    assert value(record, "", "loss", "value") == pytest.approx(float(loss), rel=1e-5)
    assert value(record, "", "loss", "penalty") == pytest.approx(float(penalty), rel=1e-5)
    for gradient, old, new in zip(gradients, before.trainable_variables, after.trainable_variables, strict=True):
        layer, name = old.path.split("/")[-2:]
        g, w = np.asarray(gradient, "float64"), np.asarray(old, "float64")
        step = np.linalg.norm(np.asarray(new, "float64") - w)
        assert value(record, layer, name, "gradient_norm") == pytest.approx(np.linalg.norm(g), rel=1e-5)
        assert value(record, layer, name, "gradient_rms") == pytest.approx(np.sqrt((g**2).mean()), rel=1e-5)
        assert value(record, layer, name, "weight_norm") == pytest.approx(np.linalg.norm(w), rel=1e-5)
        assert value(record, layer, name, "update_norm") == pytest.approx(step, rel=1e-4)
        if np.linalg.norm(w):
            assert value(record, layer, name, "update_ratio") == pytest.approx(step / np.linalg.norm(w), rel=1e-4)


def test_the_targets_of_the_step_are_counted():
    record, _, _ = one_step()
    counts = [value(record, "", "target", f"count_{label}") for label in range(3)]
    assert counts == np.bincount(Y).tolist()


def test_loss_scale_is_taken_off_the_gradients():
    plain, _, _ = one_step()
    model = network()
    model.compile(keras.optimizers.SGD(0.1, loss_scale_factor=1024.0), "sparse_categorical_crossentropy")
    monitor = HealthMonitor(sample_every=1, verbose=0)
    model.fit(X, Y, batch_size=64, epochs=1, shuffle=False, verbose=0, callbacks=[monitor])
    for statistic in ("gradient_norm", "update_norm"):
        scaled = value(monitor.record, "hidden", "kernel", statistic)
        assert scaled == pytest.approx(value(plain, "hidden", "kernel", statistic), rel=1e-4)


def test_dead_units_are_told_from_sparse_ones():
    """Unit 0 fires on 1 row in 16, unit 1 never, unit 2 always; batches of 8 rows miss unit 0 half of the time."""
    x = np.zeros((512, 3), "float32")
    x[::16, 0], x[:, 1], x[:, 2] = 1.0, -1.0, 1.0
    model = keras.Sequential([keras.Input((3,)), layers.ReLU(name="relu"), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    monitor = HealthMonitor(sample_every=1, verbose=0)
    model.fit(x, x[:, :1], batch_size=8, epochs=1, shuffle=False, verbose=0, callbacks=[monitor])
    dead = monitor.record.series("relu", "activation", "dead_units")
    assert np.isnan(dead[:31]).all()
    assert (dead[31:] == 1).all()


def test_a_shared_layer_is_recorded_by_call():
    first, second = keras.Input((6,)), keras.Input((6,))
    shared = layers.Dense(4, name="shared")
    model = keras.Model([first, second], layers.Dense(1)(layers.Add()([shared(first), shared(second)])))
    model.compile("sgd", "mse")
    monitor = HealthMonitor(sample_every=1, verbose=0)
    model.fit([X, 3 * X], X[:, :1], batch_size=64, epochs=1, verbose=0, callbacks=[monitor])
    layers_seen, values = monitor.record.matrix("activation", "std")
    stds = dict(zip(layers_seen, values[0], strict=True))
    assert stds["shared#1"] == pytest.approx(3 * stds["shared"], rel=1e-5)


def test_recurrent_cells_are_left_out():
    model = keras.Sequential([keras.Input((4, 3)), layers.LSTM(5, name="lstm"), layers.Dense(1, name="top")])
    model.compile("sgd", "mse")
    monitor = HealthMonitor(sample_every=1, verbose=0)
    x = RNG.normal(size=(8, 4, 3))
    model.fit(x, x[:, 0, :1], epochs=1, verbose=0, callbacks=[monitor])
    assert monitor.record.matrix("activation", "std")[0] == ["lstm", "top"]
    assert ("lstm_cell", "kernel") in monitor.record.tensors("gradient_norm")


def test_layers_stand_in_forward_order():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(4, name="z"),
            keras.Sequential([layers.Dense(4, name="y"), layers.Dense(4, name="x")]),
            layers.Dense(1, name="a"),
        ]
    )
    model.compile("sgd", "mse")
    monitor = HealthMonitor(sample_every=1, verbose=0)
    model.fit(X, X[:, :1], epochs=1, verbose=0, callbacks=[monitor])
    assert monitor.record.matrix("activation", "std")[0] == ["z", "y", "x", "a"]
    assert monitor.record.matrix("kernel", "gradient_rms")[0] == ["z", "y", "x", "a"]
