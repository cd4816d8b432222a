"""Losses, optimizers, train functions and callbacks of the user's own: watched all the same, or left alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases_settings import dense
from cases_structure import compiled, stack
from keras import layers
from steps_tensorflow import OwnStep
from watched import Case, X, Y, differences, run

from kregtools.callbacks import HealthMonitor


def monitor(every=1) -> HealthMonitor:
    return HealthMonitor(sample_every=every, verbose=0)


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
    return stack(layers.Dense(4), VectorPenalty(), layers.Dense(1))


def vector_loss() -> keras.Model:
    inputs = keras.Input((12,))
    return compiled(VectorLoss(inputs, layers.Dense(1)(inputs)))


def noted_step() -> keras.Model:
    return compiled(NotedStep(), optimizer=WiderApply(0.1))


@pytest.mark.parametrize("build", [vector_penalty, vector_loss, noted_step])
def test_an_unusual_loss_or_optimizer_is_watched_all_the_same(build):
    watching = monitor()
    assert not differences(run(Case(build), [watching]), run(Case(build)))
    assert watching.record.tensors("gradient_norm") and np.isfinite(watching.record.matrix("loss", "value")[1]).all()


def test_the_penalty_is_the_sum_that_keras_adds():
    watching = monitor()
    run(Case(vector_penalty), [watching])
    frame = watching.record.frame()
    assert (frame[frame.statistic == "penalty"].value > 0).all()


def test_layers_that_a_callback_freezes_get_no_optimizer_state():
    class Freeze(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model.layers[0].trainable = False

    case = Case(dense, callbacks=lambda: [Freeze()])
    assert not differences(run(case, [monitor()]), run(case))


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
    case = Case(lambda: stack(RawNoise(inner), layers.Dense(4), layers.Dense(1)))
    plain, throughout, watching = run(case), monitor(), monitor("auto")
    assert not differences(run(case, [throughout]), plain)
    assert throughout.record.samples
    watched = run(case, [watching])
    told = [message for message in watched.said if message.startswith("KregtoolsWarning")]
    assert len(told) == 1 and "it draws from `tf.random`" in told[0]
    assert "use `keras.random`, or `sample_every=1`" in told[0].replace("Use", "use")
    watched.said = [message for message in watched.said if message not in told]
    assert not differences(watched, plain)


class Shouts(layers.Layer):
    """Warns whenever it is called, as a user's layer may; watching must not double or swallow it."""

    def call(self, x):
        import warnings

        warnings.warn("a layer of the user's own warns", UserWarning, stacklevel=2)
        return x


@pytest.mark.parametrize("every", [1, 3])
def test_the_warnings_of_a_layer_are_the_same(every):
    case = Case(lambda: stack(layers.Dense(4), Shouts(), layers.Dense(1)))
    plain, watched = run(case), run(case, [monitor(every)])
    assert any("of the user's own" in message for message in plain.said)
    assert not differences(watched, plain)


def with_an_empty_batch():
    signature = tf.TensorSpec((None, 12)), tf.TensorSpec((None, 1))
    batches = ((X[:rows], Y[:rows, None]) for rows in (4, 4, 4, 0, 3))
    return {"x": tf.data.Dataset.from_generator(lambda: batches, output_signature=signature), "epochs": 1}


@pytest.mark.filterwarnings("ignore::UserWarning:keras")
def test_a_batch_without_rows_ends_no_run():
    case = Case(lambda: stack(layers.Dense(6, activation="relu"), layers.Dense(1)), with_an_empty_batch)
    watching = monitor()
    assert not differences(run(case, [watching]), run(case))
    assert watching.record.steps.tolist() == [0, 1, 2, 3, 4]
    assert watching.record.series("", "target", "count")[0] == 4
    assert not watching.record.matrix("activation", "nonfinite")[1].any()
