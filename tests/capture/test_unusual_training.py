"""Losses, optimizers, train functions and callbacks of the user's own: watched all the same, or left alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from watched import OwnStep, X, Y, bits, dense, fit, is_as_before

from kregtools.callbacks import HealthMonitor
from kregtools.errors import KregtoolsWarning


class VectorPenalty(layers.Layer):
    def call(self, x):
        self.add_loss(keras.ops.mean(keras.ops.square(x), axis=-1))
        return x


class VectorLoss(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.square(keras.ops.reshape(y, (-1, 1)) - y_pred)


class WiderApply(keras.optimizers.SGD):
    def apply(self, grads, trainable_variables=None, note=None):
        super().apply(grads, trainable_variables)


class NotedStep(OwnStep):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables, note="n")
        return {"loss": loss}


def vector_penalty() -> keras.Model:
    model = keras.Sequential([keras.Input((12,)), layers.Dense(4), VectorPenalty(), layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def vector_loss() -> keras.Model:
    inputs = keras.Input((12,))
    model = VectorLoss(inputs, layers.Dense(1)(inputs))
    model.compile("adam", "mse")
    return model


def noted_step() -> keras.Model:
    model = NotedStep()
    model.compile(WiderApply(0.1), "mse")
    return model


@pytest.mark.parametrize("build", [vector_penalty, vector_loss, noted_step])
def test_an_unusual_loss_or_optimizer_is_watched_all_the_same(build):
    monitor = HealthMonitor(sample_every=1, verbose=0)
    assert bits(fit(build, X, Y, [monitor])[0]) == bits(fit(build, X, Y)[0])
    assert monitor.record.tensors("gradient_norm") and np.isfinite(monitor.record.matrix("loss", "value")[1]).all()


def test_the_penalty_is_the_sum_that_keras_adds():
    monitor = HealthMonitor(sample_every=1, verbose=0)
    fit(vector_penalty, X, Y, [monitor], fits=1)
    frame = monitor.record.frame()
    assert (frame[frame.statistic == "penalty"].value > 0).all()


class Remade(keras.Model):
    """As before Keras gave `make_train_function` its argument `force`, and with the train function kept."""

    def make_train_function(self):
        if self.train_function is None:
            self.train_function = tf.function(lambda iterator: keras.Model.train_step(self, next(iterator)))
        return self.train_function


class Stubborn(Remade):
    def make_train_function(self, force=False):
        return super().make_train_function()


@pytest.mark.parametrize("kind", [Remade, Stubborn])
def test_a_train_function_of_the_users_own_is_one_warning(kind):
    inputs = keras.Input((12,))
    model = kind(inputs, layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    with pytest.warns(KregtoolsWarning, match="`make_train_function` does not use `train_step`") as warned:
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[HealthMonitor(sample_every=1, verbose=0)])
    assert sum(issubclass(warning.category, KregtoolsWarning) for warning in warned) == 1
    assert is_as_before(model)


def test_layers_that_a_callback_freezes_get_no_optimizer_state():
    class Freeze(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model.layers[0].trainable = False

    plain, _ = fit(dense, X, Y, [Freeze()])
    watched, _ = fit(dense, X, Y, [HealthMonitor(sample_every=1, verbose=0), Freeze()])
    assert bits(watched) == bits(plain)


class RawNoise(layers.Layer):
    """Draws from a stream that belongs to the compiled function, also inside a loop."""

    def __init__(self, inner: bool):
        super().__init__()
        self.inner = inner

    def call(self, x):
        if self.inner:
            # Drawn one after the other: in parallel the order is not the same from run to run.
            return tf.map_fn(lambda row: row + tf.random.normal(tf.shape(row)), x, parallel_iterations=1)
        return x + tf.random.normal(tf.shape(x))


@pytest.mark.parametrize("inner", [False, True])
def test_a_model_that_draws_from_tensorflow_is_left_alone_or_watched_throughout(inner):
    def build() -> keras.Model:
        model = keras.Sequential([keras.Input((12,)), RawNoise(inner), layers.Dense(4), layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    plain = bits(fit(build, X, Y)[0])
    assert bits(fit(build, X, Y, [HealthMonitor(sample_every=1, verbose=0)])[0]) == plain
    with pytest.warns(KregtoolsWarning, match=r"it draws from `tf.random`, .* use `keras.random`, or `sample_every=1`"):
        watched, _ = fit(build, X, Y, [HealthMonitor(verbose=0)])
    assert bits(watched) == plain
