"""What cannot be watched is said, in one warning; the training goes on as it would have without the monitor."""

import re

import keras
import pytest
import tensorflow as tf
from cases_settings import dense
from cases_structure import CASES as STRUCTURES
from cases_structure import compiled
from keras import layers
from steps_tensorflow import OwnStep
from watched import ACTIVATION, GRADIENT, Case, X, Y, differences, gaps, is_as_before, plain, run

from kregtools.callbacks import HealthMonitor
from kregtools.capture.capture import Capture
from kregtools.capture.recorder import Recorder
from kregtools.errors import NotWatchable


def monitor(every=1) -> HealthMonitor:
    return HealthMonitor(sample_every=every, verbose=0)


def ours(messages: list[str]) -> list[str]:
    return [message for message in messages if message.startswith("KregtoolsWarning")]


def told_once(case: Case, pattern: str, every=1) -> HealthMonitor:
    """Watches a case of which one warning is expected, and nothing else that an unmonitored run has not."""
    watching = monitor(every)
    watched = run(case, [watching])
    told = ours(watched.said)
    assert len(told) == 1, watched.said
    assert re.search(pattern, told[0]), told
    watched.said = [message for message in watched.said if message not in told]
    assert not differences(watched, plain(case))
    assert is_as_before(watched.model)
    return watching


class Bare(keras.Model):
    """Neither layers nor an optimizer in its train step."""

    def __init__(self):
        super().__init__()
        self.count = self.add_weight(shape=(), initializer="zeros", name="count")
        self.built = True

    def train_step(self, data):
        self.count.assign_add(1.0)
        return {"loss": self.count + 0.0}


def bare() -> keras.Model:
    model = Bare()
    model.compile("sgd")
    return model


def test_a_step_without_layers_and_optimizer():
    told_once(Case(bare), "no layer and no optimizer is called inside its `train_step`")


class ByHand(OwnStep):
    """Moves its weights itself."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        for variable, gradient in zip(
            self.trainable_variables, tape.gradient(loss, self.trainable_variables), strict=True
        ):
            variable.assign_sub(0.1 * gradient)
        return {"loss": loss}


def by_hand() -> keras.Model:
    model = ByHand()
    model.compile("sgd", "mse")
    return model


def test_weights_that_no_optimizer_moves_are_listed():
    watching = monitor()
    watched = run(Case(by_hand), [watching])
    assert not differences(watched, run(Case(by_hand)))
    table = watching.coverage
    assert (table.watched.str.split(", ").str[0] == ACTIVATION).all()
    assert table.reason.str.contains("no optimizer was seen that updates its").all()


@pytest.mark.parametrize("moment", ["data_given", "listening", "finish"])
def test_a_failure_of_ours_while_tracing_costs_nothing_but_the_statistics(moment, monkeypatch):
    """The trace that fails is the one that creates the weights of a model that is not built, and the metrics."""

    def fails(*_):
        raise ValueError("planted")

    if moment == "listening":
        monkeypatch.setattr("kregtools.capture.tensorflow.listening", fails)
    else:
        monkeypatch.setattr(Recorder, moment, fails)
    told_once(STRUCTURES["not built"], "tracing it failed \\(ValueError: planted\\)")


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
def test_a_train_function_of_the_users_own(kind):
    def build() -> keras.Model:
        inputs = keras.Input((12,))
        model = kind(inputs, layers.Dense(1)(inputs))
        model.compile("sgd", "mse")
        return model

    told_once(Case(build), "`make_train_function` does not use `train_step`")


class MakesLayers(keras.Model):
    """Makes layers without weights when it is called, anew each time; Keras allows no others."""

    def __init__(self):
        super().__init__()
        self.hidden, self.top = layers.Dense(4), layers.Dense(1)

    def call(self, x):
        return self.top(layers.Activation("relu", name="late")(self.hidden(x)))


@pytest.mark.parametrize("every", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_layers_made_inside_call_are_watched_or_warned_of(every):
    case, watching = Case(lambda: compiled(MakesLayers())), monitor(every)
    watched = run(case, [watching])
    watched.said = [message for message in watched.said if message not in ours(watched.said)]
    assert not differences(watched, plain(case))
    assert gaps(watched.model, watching) == []
    assert "late" not in set(watching.coverage.layer) or watching.coverage.set_index("layer").reason["late"]


def test_a_last_layer_fused_with_its_loss_has_no_activation_gradient():
    watching = monitor()
    run(Case(dense), [watching])
    row = watching.coverage.set_index("layer").iloc[-1]
    assert GRADIENT not in row.watched
    assert "logits" in row.reason


@pytest.mark.slow
def test_of_several_steps_in_one_execution_one_is_seen():
    watching = monitor()
    run(Case(lambda: dense(steps_per_execution=3)), [watching])
    steps = sorted(set(watching.record.frame().step))
    assert len(steps) == 6  # two executions an epoch: of three steps, and of two
    assert steps == sorted(set(steps)) and max(steps) < 15


def test_layers_inside_a_loop_are_listed():
    watching = monitor()
    run(STRUCTURES["loop and branch"], [watching])
    table = watching.coverage.set_index("layer")
    assert "loop" in table.reason["in_loop"] and "branch" in table.reason["in_branch"]


def test_without_details_the_coverage_says_so():
    watching = HealthMonitor(sample_every=1, verbose=0, details=False)
    run(Case(dense), [watching])
    frame = watching.record.frame()
    assert not frame.statistic.str.startswith("magnitude").any()
    assert not ((frame.tensor == "activation") & frame.statistic.str.startswith("gradient")).any()
    assert watching.coverage.reason.str.contains("details").any()


def test_a_parameter_server_is_refused():
    """One cannot be set up here; the model has a shell of its strategy."""
    model = dense()
    model._distribute_strategy = object.__new__(tf.distribute.experimental.ParameterServerStrategy)
    with pytest.raises(NotWatchable, match="parameter server"):
        Capture(model)


def test_nothing_of_a_model_that_is_not_fitted():
    watching = monitor()
    with pytest.raises(ValueError, match=r"compile"):
        keras.Sequential([layers.Dense(1)]).fit(X, Y, callbacks=[watching])


def test_a_step_that_cannot_be_traced_ends_with_the_error_it_ends_with_unwatched():
    def error_of(*callbacks):
        # Keras' loss scale does not know sparse gradients; once it failed, another trace fails of something else.
        model = keras.Sequential([layers.Embedding(9, 4), layers.Flatten(), layers.Dense(1)])
        optimizer = keras.optimizers.SGD(loss_scale_factor=1024.0)
        model.compile(optimizer, "mse", steps_per_execution=2)
        with pytest.raises(Exception) as caught:
            model.fit(X.astype("int32") % 9, Y, batch_size=16, verbose=0, callbacks=callbacks)
        return caught.type, str(caught.value)

    assert error_of(monitor()) == error_of()
