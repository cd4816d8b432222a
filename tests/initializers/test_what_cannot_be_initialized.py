"""Data and models that `lsuv` and `data_dependent_init` refuse, and leave as they were."""

import keras
import numpy as np
import pytest
from plain_networks import data, plain, state, unchanged

import kregtools
from kregtools.initializers import lsuv

layers = keras.layers


class BreaksAfterTheFirst(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.second = layers.Dense(16), layers.Dense(4)
        self.broken = False

    def call(self, x, training=None):
        h = self.first(x)
        if self.broken:
            raise RuntimeError("out of luck")
        return self.second(h)


def test_a_model_that_fails_midway_is_as_it_was():
    model = BreaksAfterTheFirst()
    model(np.zeros((1, 16)))
    before = state(model)
    model.broken = True
    with pytest.raises(RuntimeError, match="out of luck"):
        lsuv(model, data(50, 16))
    assert unchanged(model, before)
    assert "call" not in vars(model.first)


NAN = data(100, 64)
NAN[3, 5] = np.nan


@pytest.mark.parametrize("x, message", [
    (NAN, "`x` is not finite. Received: 1 of 6400 values NaN or infinite. The model was not changed"),
    (np.ones((100, 64), "float32"), "All 100 rows of `x` are equal"),
    (data(1, 64), "`x` has 1 row. A variance takes at least two"),
    (data(0, 64), "`x` has no rows"),
    (iter([]), "`x` has no rows"),
])  # fmt: skip
@pytest.mark.parametrize("function", [kregtools.lsuv, kregtools.data_dependent_init])
def test_bad_data_is_an_error_and_the_model_is_as_it_was(function, x, message):
    model = plain(depth=2)
    before = state(model)
    with pytest.raises(ValueError, match=message):
        function(model, iter(()) if not hasattr(x, "shape") else x)
    assert unchanged(model, before)


@pytest.mark.parametrize("function", [kregtools.lsuv, kregtools.data_dependent_init])
def test_a_dead_layer_is_an_error_that_names_it_and_the_model_is_as_it_was(function):
    model = keras.Sequential([keras.Input((8,)), layers.Dense(8), layers.ReLU(), layers.Dense(4, name="after")])
    model.layers[0].bias.assign(np.full(8, -1000.0))
    arguments = {"orthogonal": False} if function is kregtools.lsuv else {}
    if function is kregtools.data_dependent_init:
        model.layers[1].negative_slope = 0.0
        model = keras.Sequential(
            [keras.Input((8,)), layers.Dense(8), layers.Rescaling(0.0), layers.Dense(4, name="after")]
        )
    before = state(model)
    with pytest.raises(ValueError, match=r"The output of .*after has no variance on this data.*The model is as it was"):
        function(model, data(50, 8), **arguments)
    assert unchanged(model, before)


@pytest.mark.parametrize("function", [kregtools.lsuv, kregtools.data_dependent_init])
def test_models_that_cannot_be_initialized(function):
    with pytest.raises(ValueError, match=r"is not built, so it has no kernels yet. Call it on a batch"):
        function(keras.Sequential([layers.Dense(2)]), data(10, 2))
    with pytest.raises(ValueError, match=r"has no trainable kernel that is known here. Expected at least one Dense"):
        function(keras.Sequential([keras.Input((2,)), layers.ReLU()]), data(10, 2))


@pytest.mark.parametrize("x", [[1, 2, 3], "data", None, 5, np.array(1.0)])
@pytest.mark.parametrize("function", [kregtools.lsuv, kregtools.data_dependent_init])
def test_what_is_no_data_or_no_model_is_an_error(function, x):
    with pytest.raises(ValueError, match=r"`x` is no data that `fit` takes. Received: .*Expected arrays"):
        function(plain(depth=1), x)
    with pytest.raises(ValueError, match=r"`model`. Received: model=.*Expected a Keras model"):
        function(x, data(10, 64))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
def test_a_model_whose_call_is_compiled_is_an_error_that_says_so():
    import tensorflow as tf

    class Compiled(keras.Model):
        def __init__(self):
            super().__init__(name="compiled")
            self.dense = layers.Dense(4)

        @tf.function
        def call(self, x):
            return self.dense(x)

    model = Compiled()
    model(np.zeros((1, 16)))
    before = state(model)
    with pytest.raises(ValueError, match=r"No kernel of 'compiled' could be measured: it runs inside a compiled func"):
        lsuv(model, data(50, 16))
    assert unchanged(model, before)


@pytest.mark.parametrize("arguments, message", [
    ({"std": 0.0}, "`std`. Received: std=0.0. Expected a number above 0"),
    ({"tolerance": -1}, "Received: tolerance=-1"),
    ({"max_iterations": 0}, "Received: max_iterations=0. Expected a positive integer"),
    ({"per": "unit"}, "Received: per='unit'. Expected 'layer' or 'channel'"),
    ({"samples": 1}, "Received: samples=1. Expected 2 or more"),
])  # fmt: skip
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        lsuv(plain(depth=1), data(10, 64), **arguments)
