"""Losses, optimizers, train functions and callbacks of the user's own: watched all the same, or left alone."""

import logging
import sys
import threading
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases_settings import dense
from cases_structure import compiled, stack
from keras import layers
from steps_tensorflow import OwnStep
from tensorflow.python.eager.polymorphic_function import polymorphic_function
from watched import Case, X, Y, differences, run

from kregtools.callbacks import FitDiagnosis, HealthMonitor
from kregtools.capture.host import unheard
from kregtools.capture.tensorflow import GraphSampler

REHEARSED = GraphSampler.REHEARSED


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


@pytest.mark.parametrize("inner, every", [
    (False, 1), (True, "auto"),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in [(False, 3), (False, "auto"), (True, 1), (True, 3)]),
])  # fmt: skip
def test_a_model_that_draws_from_tensorflow_goes_on_drawing_the_same(inner, every):
    case, watching = Case(lambda: stack(RawNoise(inner), layers.Dense(4), layers.Dense(1))), monitor(every)
    assert not differences(run(case, [watching]), run(case))
    assert watching.record.samples and set(watching.record.facts["watching"]["exact"].values()) == {REHEARSED}


class Printing(layers.Layer):
    def call(self, x):
        tf.print("")
        return x


def test_a_model_that_draws_and_cannot_be_rehearsed_is_left_alone():
    case, watching = Case(lambda: stack(RawNoise(False), Printing(), layers.Dense(1))), monitor()
    plain, watched = run(case), run(case, [watching])
    told = [message for message in watched.said if message.startswith("KregtoolsWarning")]
    assert len(told) == 1 and "has effects that cannot be undone (PrintV2)" in told[0] and "`keras.random`" in told[0]
    watched.said = [message for message in watched.said if message not in told]
    assert not differences(watched, plain)


class Shouts(layers.Layer):
    """Warns, prints, logs and makes a layer whenever it is called; watching must not double or swallow any of it."""

    def call(self, x):
        warnings.warn("a layer of the user's own warns", UserWarning, stacklevel=2)
        print("a layer of the user's own prints", file=sys.stderr)
        print("and prints")
        logging.getLogger("own").warning("and logs")
        return layers.add([x, x])


@pytest.mark.parametrize("every", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_what_a_layer_says_is_the_same(every, capfd, caplog):
    case = Case(lambda: stack(layers.Dense(4), Shouts(), layers.Dense(1)))

    def trained(*monitors):
        done = run(case, monitors)
        heard = [line for stream in capfd.readouterr() for line in stream.splitlines() if "prints" in line]
        logged = [record.message for record in caplog.records if record.name == "own"]
        caplog.clear()
        return done, heard, logged, layers.Add().name

    plain, *said = trained()
    watched, *said_watched = trained(monitor(every))
    assert any("of the user's own" in message for message in plain.said)
    assert not differences(watched, plain)
    assert said_watched == said and said[0] and said[1]


def test_threads_that_go_unheard_leave_all_as_it_was():
    def go_unheard(inside, last) -> None:
        with unheard():
            inside.set()
            last.wait(0.1)

    before = warnings.warn, sys.stdout, sys.stderr, logging.Logger.callHandlers
    events = [threading.Event() for _ in range(3)]
    # The first to go in is the first to want to come out.
    threads = [threading.Thread(target=go_unheard, args=events[index : index + 2]) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (warnings.warn, sys.stdout, sys.stderr, logging.Logger.callHandlers) == before


@pytest.mark.parametrize("every", ["auto", *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 3))])
def test_tensorflow_gives_its_notice_of_frequent_traces_as_before(caplog, every):
    def told(*every) -> list[str]:
        """What is said of seven models, each of them watched by monitors of its own."""
        # The notice is given twice at most for a function, and that of a fit is always the same.
        polymorphic_function._frequent_tracing_detector_manager._detectors.clear()
        for seed in range(7):
            keras.utils.set_random_seed(seed)
            watching = [monitor(each) for each in every]
            stack(layers.Dense(2), layers.Dense(1)).fit(X, Y, batch_size=48, verbose=0, callbacks=watching)
        found = [record.message[:40] for record in caplog.records if "retracing" in record.message]
        caplog.clear()
        return found

    propagates = tf.get_logger().propagate
    tf.get_logger().propagate = True
    try:
        plain = told()
        assert plain and told(every) == plain
    finally:
        tf.get_logger().propagate = propagates


def test_a_schedule_of_the_users_own_is_asked_by_training_alone():
    class Counting(keras.optimizers.schedules.LearningRateSchedule):
        calls = 0

        def __call__(self, step):
            type(self).calls += 1
            return 0.1

        def get_config(self):
            return {}

    def calls(*monitors) -> int:
        Counting.calls = 0
        stack(layers.Dense(1), optimizer=keras.optimizers.SGD(Counting())).fit(
            X, Y, epochs=1, verbose=0, callbacks=[*monitors]
        )
        return Counting.calls

    before = calls()
    watching = HealthMonitor(sample_every=1, verbose=0)
    assert calls(FitDiagnosis(verbose=0)) == before
    calls(watching)
    assert "learning_rate" not in watching.record.facts["optimizer"]


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
