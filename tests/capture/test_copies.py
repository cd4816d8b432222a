"""Saving, cloning, pickling and copying of the model and of the monitor: before, during and after a fit."""

import copy
import pickle

import keras
import numpy as np
import pytest
from cases_settings import dense
from watched import Case, X, Y, differences, is_as_before, run, without_retracing

from kregtools.callbacks import HealthMonitor

DENSE = Case(dense)
pytestmark = pytest.mark.slow


def predicted(model: keras.Model) -> np.ndarray:
    return model.predict(X, verbose=0)


def copied_in_every_way(model: keras.Model, folder) -> list[keras.Model]:
    model.save(folder / "model.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return [
        keras.models.load_model(folder / "model.keras"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        clone,
    ]


def monitor(every=1) -> HealthMonitor:
    return HealthMonitor(sample_every=every, verbose=0)


def test_the_model_is_copied_after_a_fit_as_before(tmp_path):
    model = run(DENSE, [monitor()]).model
    for twin in copied_in_every_way(model, tmp_path):
        np.testing.assert_array_equal(predicted(twin), predicted(model))
    assert model.get_config() == run(DENSE).model.get_config()


class Copies(keras.callbacks.Callback):
    """Copies the model in the middle of a fit."""

    def __init__(self, folder, hook="on_epoch_end"):
        super().__init__()
        self.folder, self.models = folder, []
        setattr(self, hook, self.copy)

    def copy(self, index=0, logs=None):
        if index == 1:
            self.models = copied_in_every_way(self.model, self.folder)
            self.predicted = predicted(self.model)


@pytest.mark.parametrize("hook", ["on_epoch_end", "on_train_batch_end", "on_epoch_begin"])
def test_the_model_is_copied_in_the_middle_of_a_fit_as_before(tmp_path, hook):
    (tmp_path / "plain").mkdir()
    watching = monitor()
    copies = Copies(tmp_path, hook)
    watched = run(Case(dense, callbacks=lambda: [copies]), [watching])
    plain = run(Case(dense, callbacks=lambda: [Copies(tmp_path / "plain", hook=hook)]))
    without_retracing(watched, plain)
    assert not differences(watched, plain)
    for twin in copies.models:
        np.testing.assert_array_equal(predicted(twin), copies.predicted)
        twin.compile("sgd", "binary_crossentropy")
        again = monitor()
        twin.fit(X, Y, verbose=0, callbacks=[again])
        assert again.record.samples and is_as_before(twin)


class CopiesMonitor(keras.callbacks.Callback):
    def __init__(self, monitor):
        super().__init__()
        self.monitor, self.copies = monitor, []

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2 and not self.copies:
            self.copies = [pickle.loads(pickle.dumps(self.monitor)), copy.deepcopy(self.monitor)]


def test_the_monitor_is_copied_in_the_middle_of_a_fit():
    watching = monitor()
    copies = CopiesMonitor(watching)
    watched, plain = run(Case(dense, callbacks=lambda: [copies]), [watching]), run(DENSE)
    # A copy of the monitor has a copy of its model, which takes seeds from the generators.
    watched.draws = plain.draws
    assert not differences(watched, plain)
    assert sorted(set(watching.record.frame().step)) == list(range(15))
    for twin in copies.copies:
        model = dense()
        model.fit(X, Y, verbose=0, callbacks=[twin])
        assert is_as_before(model) and twin.record.samples


def test_a_copy_of_the_model_is_not_watched_with_it(tmp_path):
    """What is copied in the middle of a fit carries no dispatcher and no part of the monitor."""
    watching = monitor()
    copies = Copies(tmp_path)
    run(Case(dense, callbacks=lambda: [copies]), [watching])
    seen = len(watching.record.samples)
    for twin in copies.models:
        if twin.optimizer is None:
            twin.compile("sgd", "binary_crossentropy")
        twin.fit(X, Y, verbose=0)
        assert is_as_before(twin)
    assert len(watching.record.samples) == seen


@pytest.mark.parametrize("way", [copy.deepcopy, copy.copy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_of_the_monitor_watches_a_run_of_its_own(way):
    """Before the fit, and after it."""
    first = monitor()
    before = way(first)
    model = run(DENSE, [first]).model
    after = way(first)
    assert after.record.frame().equals(first.record.frame())
    assert after.overhead == first.overhead
    assert after.coverage.equals(first.coverage)
    run(DENSE, [before])
    assert before.record.frame().drop(columns="epoch").shape == first.record.frame().drop(columns="epoch").shape
    model.fit(X, Y, verbose=0, callbacks=[after])
    assert is_as_before(model)


def test_the_record_of_a_copy_is_its_own():
    original = monitor()
    twin = copy.deepcopy(original)
    run(DENSE, [original])
    assert not getattr(twin, "record", None) or not twin.record.samples


def test_a_search_copies_its_callbacks(tmp_path):
    """KerasTuner deep-copies the callbacks for every execution of every trial."""
    import keras_tuner

    built = []

    class Records(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            built.append(self.model)

    class Steps(HealthMonitor):
        recorded: list = []  # noqa: RUF012

        def on_train_end(self, logs=None):
            super().on_train_end(logs)
            type(self).recorded.append(self.record.frame().step.nunique())

    def build(hp):
        return dense(optimizer=keras.optimizers.SGD(hp.Choice("rate", [0.1, 0.01])))

    tuner = keras_tuner.GridSearch(
        build, "loss", max_trials=2, executions_per_trial=2, directory=tmp_path, overwrite=True
    )
    tuner.search(X, Y, epochs=2, batch_size=48, verbose=0, callbacks=[Steps(sample_every=1, verbose=0), Records()])
    assert Steps.recorded == [4, 4, 4, 4]
    assert len(built) == 4 and all(is_as_before(model) for model in built)
