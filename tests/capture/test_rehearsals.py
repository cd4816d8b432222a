"""When a sampled step is tried out before it takes the place of the model's own."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kregtools.callbacks import HealthMonitor
from kregtools.capture.tensorflow import GraphSampler, _same_bits

X = np.random.default_rng(0).random((160, 4)).astype("float32")


@pytest.fixture
def rehearsed(monkeypatch) -> list[int]:
    """The steps that were rehearsed, by the optimizer's count."""
    steps: list[int] = []
    rehearse = GraphSampler._rehearse

    def noted(self, *args):
        steps.append(int(self._model.optimizer.iterations))
        return rehearse(self, *args)

    monkeypatch.setattr(GraphSampler, "_rehearse", noted)
    return steps


def compiled() -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def fit(model: keras.Model, monitor: HealthMonitor, *data: Any, **settings: Any) -> None:
    model.fit(*data, **{"epochs": 1, "verbose": 0, "callbacks": [monitor], **settings})


def test_the_first_two_samples_are_and_then_ever_fewer(rehearsed):
    fit(compiled(), HealthMonitor(sample_every=1, details=False, verbose=0), X, X[:, :1], batch_size=8)
    assert rehearsed == [0, 1, 15]


def test_the_first_sample_after_a_new_trace_is_rehearsed(rehearsed):
    model, monitor = compiled(), HealthMonitor(sample_every=1, details=False, verbose=0)
    fit(model, monitor, X, X[:, :1], batch_size=40)
    fit(model, monitor, X, X[:, :1], batch_size=40)
    assert rehearsed == [0, 1]
    double = tf.data.Dataset.from_tensor_slices((X.astype("float64"), X[:, :1])).batch(40)
    fit(model, monitor, double, shuffle=False)
    assert rehearsed == [0, 1, 8, 9]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool", "complex128", "string"])
def test_bits_of_any_type_are_compared(dtype):
    values = np.array([0, 1]).astype("S1" if dtype == "string" else "int32")
    zero_one = tf.constant(values) if dtype == "string" else tf.cast(values, dtype)
    assert _same_bits({"loss": zero_one}, {"loss": tf.identity(zero_one)})
    assert not _same_bits({"loss": zero_one}, {"loss": zero_one[::-1]})


def test_what_equals_and_differs_in_its_bits_differs_and_nan_is_itself():
    assert not _same_bits(np.float32(0.0), np.float32(-0.0))
    assert _same_bits(tf.constant(np.nan), tf.constant(np.nan))
    assert not _same_bits([tf.constant(0.0)], None)
