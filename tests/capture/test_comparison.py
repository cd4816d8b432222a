"""The comparison that all other tests of capture rest on notices what it should."""

import keras
import numpy as np
import pytest
from cases_settings import CASES, dense
from watched import Case, X, Y, arrays, differences, gaps, is_as_before, plain, run

from kregtools.callbacks import HealthMonitor

DENSE = CASES["dense"]
QUICK = Case(lambda: dense(run_eagerly=True), arrays(epochs=1))


class Meddler(keras.callbacks.Callback):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def on_train_end(self, logs=None):
        self.how(self.model)


def flipped_bit(variable):
    def flip(model):
        chosen = variable(model)
        value = np.array(keras.ops.convert_to_numpy(chosen.value))
        raw = value.reshape(-1).view("uint8")
        raw[0] ^= 1
        chosen.assign(value)

    return flip


def warn(model):
    import warnings

    warnings.warn("something is odd", UserWarning, stacklevel=1)


def log(model):
    import logging

    logging.getLogger("tensorflow").warning("retraced")


MEDDLING = {
    "a bit of a weight": flipped_bit(lambda model: model.trainable_variables[0]),
    "a bit of a moving mean": flipped_bit(lambda model: model.layers[1].moving_mean),
    "a bit of the optimizer": flipped_bit(lambda model: model.optimizer.variables[-1]),
    "a bit of a seed generator": flipped_bit(lambda model: model.layers[2].seed_generator.state),
    "a bit of a metric": flipped_bit(lambda model: model.metrics_variables[-1]),
    "a draw of keras": lambda model: keras.random.uniform(()),
    "a draw of numpy": lambda model: np.random.rand(),
    "a warning": warn,
    "a log": log,
    "an attribute": lambda model: object.__setattr__(model, "left", 1),
    "an attribute of a layer": lambda model: object.__setattr__(model.layers[0], "left", 1),
    "a history": lambda model: model.history.history["loss"].append(0.0),
}


@pytest.mark.parametrize("what", MEDDLING)
def test_what_a_callback_changes_is_noticed(what):
    found = differences(run(QUICK, [Meddler(MEDDLING[what])]), plain(QUICK))
    # The first draw of Keras takes its seed from Python's generator.
    assert len(found) == (2 if what == "a draw of keras" else 1), found


def test_two_runs_of_the_same_are_the_same():
    assert not differences(run(DENSE), run(DENSE))


def test_a_model_that_keeps_something_is_not_as_before():
    model = run(QUICK).model
    assert is_as_before(model)
    for part, name in ((model, "train_step"), (model.optimizer, "apply"), (model.layers[0], "call")):
        object.__setattr__(part, name, getattr(part, name))
        assert not is_as_before(model)
        object.__delattr__(part, name)
    assert is_as_before(model)


def test_a_class_that_keeps_something_is_not_as_before(monkeypatch):
    model = run(QUICK).model
    original = keras.Layer.__call__
    monkeypatch.setattr(keras.Layer, "__call__", lambda self, *args, **kwargs: original(self, *args, **kwargs))
    assert not is_as_before(model)


def test_what_is_not_recorded_is_noticed():
    monitor = HealthMonitor(sample_every=1, verbose=0, details=False)
    model = dense()
    model.fit(X, Y, verbose=0, callbacks=[monitor])
    lacking = [line for line in gaps(model, monitor) if "['activation gradient'] not watched" in line]
    assert len(lacking) == 2  # the first dense layer and the normalization; the last layer may be fused with its loss
