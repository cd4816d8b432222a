import keras
import numpy as np
import pytest

import kregtools
from kregtools.layers import ResidualScale


def test_it_starts_at_zero_and_learns():
    inputs = keras.Input((4,))
    h = keras.layers.Dense(4, name="branch")(inputs)
    model = keras.Model(inputs, keras.layers.Add()([inputs, ResidualScale()(h)]))
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)
    model.compile(keras.optimizers.Adam(0.05), "mse")
    losses = model.fit(x, x @ np.eye(4)[::-1], epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.3 * losses[0]


def test_configuration_shape_type_and_mask():
    layer = ResidualScale("ones", regularizer="l2", constraint="non_neg", dtype="mixed_float16")
    copy = ResidualScale.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    outputs = layer(np.ones((2, 3, 4), "float32"))
    assert outputs.shape == (2, 3, 4) == layer.compute_output_shape((2, 3, 4))
    assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
    assert layer.scale.shape == () and layer.supports_masking and len(layer.losses) == 1
    assert isinstance(keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)), ResidualScale)


@pytest.mark.slow
def test_a_monitor_says_nothing_of_branches_that_start_at_zero():
    keras.utils.set_random_seed(0)
    (x, y), _ = kregtools.datasets.load("digits")
    inputs = keras.Input(x.shape[1:])
    h = keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(inputs))
    for _ in range(3):
        branch = keras.layers.Dense(64)(keras.layers.Dense(64, activation="relu")(h))
        h = keras.layers.Add()([h, ResidualScale()(branch)])
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(h))
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    monitor = kregtools.callbacks.HealthMonitor(verbose=0)
    model.fit(x / 16, y, validation_split=0.2, epochs=8, verbose=0, callbacks=[monitor])
    assert monitor.diagnosis.verdict == "healthy"
