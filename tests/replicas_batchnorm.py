"""Recalibrates and follows on two replicas, and prints as JSON how far off it is; run by
test_normalization_on_replicas.py."""

import json

import tensorflow as tf

CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras  # noqa: E402
import numpy as np  # noqa: E402

import kregtools  # noqa: E402
from kregtools.layers import DropoutAwareBatchNormalization, DropoutFreeStatistics  # noqa: E402

X = np.random.default_rng(0).normal(0.5, 2.0, size=(400, 8)).astype("float32")
Y = (X.sum(axis=1, keepdims=True) > 4).astype("float32")


def apart(norm: keras.layers.BatchNormalization, rows: np.ndarray) -> float:
    moving = keras.ops.convert_to_numpy(norm.moving_variance)
    return float(np.abs(moving / rows.var(axis=0) - 1).max())


STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
found = {}
for synchronized in (False, True):
    with STRATEGY.scope():
        norm = DropoutAwareBatchNormalization(momentum=0.5, synchronized=synchronized)
        block = keras.Sequential([keras.Input((8,)), keras.layers.Dropout(0.5), norm, keras.layers.Dense(1)])
        model = keras.Sequential([keras.Input((8,)), DropoutFreeStatistics(block)])
        model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False)
    correct = kregtools.callbacks.RecalibrateBatchNorm(X)
    model.fit(X, Y, batch_size=400, epochs=20, shuffle=False, verbose=0)
    found[f"followed, synchronized={synchronized}"] = apart(norm, X[:200])
    model.fit(X, Y, validation_data=(X, Y), batch_size=100, verbose=0, callbacks=[correct])
    found[f"recalibrated, synchronized={synchronized}"] = apart(norm, X)
    found[f"failed, synchronized={synchronized}"] = float(correct.failed)
print(json.dumps(found))
