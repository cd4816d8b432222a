import copy
import math
import os
import pickle
import warnings

import keras
import numpy as np
import pytest
from keras import layers

import kregtools
from kregtools import symptoms
from kregtools.callbacks import FitDiagnosis, HealthMonitor
from kregtools.diagnosis import diagnose
from kregtools.errors import KregtoolsWarning
from kregtools.symptoms import SYMPTOMS, SymptomRule

RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 8)).astype("float32")
Y = (X.sum(axis=1) > 0).astype("float32")
KEYS = {f"kreg/{name}" for name in ("grad_norm", "update_ratio", "dead_units", "generalization_gap", "findings")}
MONITORS = [FitDiagnosis, HealthMonitor]
EPOCHS, ENOUGH = 3, 6  # enough to call a run healthy


def network(learning_rate: float = 0.3, **settings) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(16, activation="relu", name="hidden"), layers.Dense(1, activation="sigmoid")]
    )
    # Eagerly: on data this small, tracing takes nearly all of the time.
    settings = {"metrics": ["accuracy"], "run_eagerly": True, **settings}
    model.compile(keras.optimizers.SGD(learning_rate), "binary_crossentropy", **settings)
    return model


def fit(*callbacks, epochs: int = EPOCHS, model: keras.Model | None = None, validate: bool = True, **settings):
    model = model or network()
    validation = (X[192:], Y[192:]) if validate else None
    return model.fit(
        X[:192], Y[:192], validation_data=validation, epochs=epochs, verbose=0, callbacks=list(callbacks), **settings
    )


def ours(warned) -> list[str]:
    return [str(warning.message) for warning in warned if issubclass(warning.category, KregtoolsWarning)]


class Broken(SymptomRule):
    name = "broken"

    def check(self, record):
        raise ZeroDivisionError("oh")


@pytest.mark.parametrize("kind", MONITORS)
def test_the_logs_are_floats_in_every_epoch(kind):
    history = fit(kind(), model=network(run_eagerly=False)).history
    assert history.keys() >= KEYS
    for key in KEYS:
        assert len(history[key]) == EPOCHS and all(isinstance(value, float) for value in history[key])
    gap = np.array(history["val_loss"]) - history["loss"]
    np.testing.assert_allclose(history["kreg/generalization_gap"], gap, rtol=1e-5)


def test_what_is_not_measured_is_nan():
    history = fit(FitDiagnosis(), validate=False).history
    assert all(math.isnan(value) for key in KEYS - {"kreg/findings"} for value in history[key])
    assert not any(math.isnan(value) for value in fit(HealthMonitor()).history["kreg/grad_norm"])


def test_other_callbacks_can_use_the_logs(tmp_path):
    stop = keras.callbacks.EarlyStopping("kreg/update_ratio", mode="min", patience=2)
    table = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    best = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="kreg/grad_norm", mode="min")
    fit(HealthMonitor(), stop, table, best)
    assert "kreg/findings" in (tmp_path / "log.csv").read_text().splitlines()[0]


@pytest.mark.parametrize("kind", MONITORS)
def test_a_metric_of_one_number_a_class_is_left_to_keras(kind):
    model = keras.Sequential([keras.Input((8,)), layers.Dense(2, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=[keras.metrics.F1Score()])
    monitor = kind(verbose=0)
    history = model.fit(X, np.eye(2)[Y.astype(int)], verbose=0, callbacks=[monitor]).history
    assert np.shape(history["f1_score"]) == (1, 2) and history.keys() >= KEYS
    assert not monitor.failed


def test_a_log_of_that_name_is_left_alone_with_one_warning():
    with pytest.warns(KregtoolsWarning, match="The logs have kreg/dead_units, .* already") as warned:
        fit(HealthMonitor(), FitDiagnosis())
    assert len(ours(warned)) == 1


def test_a_healthy_run_is_silent(capsys):
    monitor = HealthMonitor()
    fit(monitor, model=network(run_eagerly=False), epochs=ENOUGH)
    assert monitor.diagnosis.verdict == "healthy"
    assert capsys.readouterr() == ("", "")


def test_a_sick_run_is_told_with_cause_and_remedy(capsys):
    monitor = HealthMonitor()
    fit(monitor, model=network(learning_rate=30.0))
    assert monitor.diagnosis.verdict == "sick"
    assert monitor.diagnosis.causes[0].name == "lr_too_high"
    assert monitor.diagnosis.causes[0].remedy.code.startswith("model.compile(keras.optimizers.SGD(learning_rate=")
    told = capsys.readouterr().out
    assert "cause: lr_too_high" in told and "remedy: Lower the learning rate from 30" in told


@pytest.mark.parametrize("verbose, printed", [(0, False), (1, True), pytest.param(2, True, marks=pytest.mark.slow)])
def test_verbosity(capsys, verbose, printed):
    fit(HealthMonitor(verbose=verbose), epochs=ENOUGH)
    assert ("kregtools: healthy" in capsys.readouterr().out) == printed


def test_nan_is_found_with_layer_and_step():
    model = network()
    model.get_layer("hidden").kernel.assign(np.full((8, 16), np.nan))
    monitor = HealthMonitor(verbose=0)
    fit(monitor, model=model, epochs=1)
    (symptom,) = [symptom for symptom in monitor.diagnosis.symptoms if symptom.name == "nonfinite"]
    assert symptom.layers[0] == "hidden" and symptom.first_step == 0


def test_training_is_stopped_only_where_asked():
    x = X.copy()
    x[100] = np.inf
    for stop_on, epochs in (((), 5), (("nonfinite",), 1)):
        history = network().fit(x, Y, epochs=5, verbose=0, callbacks=[HealthMonitor(verbose=0, stop_on=stop_on)])
        assert len(history.epoch) == epochs


def test_a_long_fit_is_judged_ever_less_often_and_at_its_end(monkeypatch):
    monkeypatch.setattr("kregtools.callbacks._pace.PARTS", 10)  # in place of 100
    lengths = []

    def counting(record, *arguments):
        lengths.append(len(record.logs))
        return diagnose(record, *arguments)

    monkeypatch.setattr("kregtools.callbacks.fit_diagnosis.diagnose", counting)
    monitor = FitDiagnosis()
    model = keras.Sequential([keras.Input((8,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=256, epochs=36, verbose=0, callbacks=[monitor])
    assert lengths == [*range(1, 21), *range(21, 30, 2), 31, 34, 36]
    model.fit(X, Y, batch_size=256, initial_epoch=36, epochs=39, verbose=0, callbacks=[monitor])
    assert lengths[-2:] == [37, 39]  # the first of a fit, and its end
    assert monitor.diagnosis == diagnose(monitor.record) and lengths[-1] == 39


def test_in_a_long_fit_details_are_kept_of_the_epochs_that_are_judged(monkeypatch):
    monkeypatch.setattr("kregtools.callbacks._pace.PARTS", 10)
    monitor = HealthMonitor()
    model = keras.Sequential([keras.Input((8,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=256, epochs=24, verbose=0, callbacks=[monitor])
    frame = monitor.record.frame()
    judged = [*range(20), 20, 22]
    details = ("magnitude_1e-1", "gradient_zero_fraction")
    for kept in (frame.statistic.isin(details), frame.tensor.isin(["input", "target", "output"])):
        assert sorted(set(frame.epoch[kept])) == judged
    activations = frame[frame.tensor == "activation"]
    assert sorted(set(activations.epoch[activations.statistic == "gradient_norm"])) == judged
    assert sorted(set(activations.epoch[activations.statistic == "std"])) == [*range(24)]
    assert sorted(set(frame.epoch[frame.statistic == "update_ratio"])) == [*range(24)]


def test_what_is_ignored_is_not_found():
    monitor = HealthMonitor(verbose=0, ignore=("exploding_gradient", "dead_relu", "vanishing_gradient", "lr_too_high"))
    fit(monitor, model=network(learning_rate=30.0))
    assert not {"exploding_gradient", "dead_relu"} & {symptom.name for symptom in monitor.diagnosis.symptoms}
    assert not monitor.diagnosis.causes or monitor.diagnosis.causes[0].name != "lr_too_high"


def test_state_is_reset_across_fit_calls():
    monitor = HealthMonitor(verbose=0)
    fit(monitor, model=network(learning_rate=30.0), epochs=1)
    model, steps = network(run_eagerly=False), 6 * ENOUGH
    for _ in range(2):
        fit(monitor, model=model, epochs=ENOUGH)
        assert monitor.diagnosis.verdict == "healthy" and len(monitor.record.logs) == ENOUGH
    assert monitor.record.steps[0] == steps and monitor.record.logs[-1]["step"] == 2 * steps - 1


@pytest.mark.parametrize("kind", [HealthMonitor, pytest.param(FitDiagnosis, marks=pytest.mark.slow)])
def test_it_copies_and_pickles_before_and_after(kind):
    monitor = kind(verbose=0)
    for twin in (copy.deepcopy(monitor), pickle.loads(pickle.dumps(monitor))):
        fit(twin)
        again = pickle.loads(pickle.dumps(twin))
        assert again.diagnosis == copy.deepcopy(twin).diagnosis == twin.diagnosis


def test_a_failing_symptom_is_one_warning_and_training_goes_on(monkeypatch):
    monkeypatch.setattr(symptoms, "SYMPTOMS", (*SYMPTOMS, Broken()))
    monitor = HealthMonitor(verbose=0)
    with pytest.warns(KregtoolsWarning, match="broken: its rule failed .*oh") as warned:
        history = fit(monitor)
    assert len(ours(warned)) == 1 and len(history.epoch) == EPOCHS
    assert monitor.diagnosis.verdict == "undetermined"


def test_a_failure_inside_the_monitor_is_one_warning_and_training_goes_on(monkeypatch):
    def broken(*args):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("kregtools.callbacks.fit_diagnosis.diagnose", broken)
    with pytest.warns(
        KregtoolsWarning, match="_end_epoch failed with ZeroDivisionError: oh. Training goes on"
    ) as warned:
        history = fit(HealthMonitor(verbose=0))
    assert len(ours(warned)) == 1 and len(history.epoch) == EPOCHS


def test_statistics_that_cannot_be_read_are_one_warning_and_training_goes_on(monkeypatch):
    def broken(*args):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("kregtools.capture.capture.MOST_PENDING", 2)
    monkeypatch.setattr("kregtools.capture.decoding.statistics", broken)
    with pytest.warns(KregtoolsWarning, match="the statistics cannot be read .*oh") as warned:
        history = fit(HealthMonitor(sample_every=1, verbose=0))
    assert len(ours(warned)) == 1 and len(history.epoch) == EPOCHS


def test_a_failing_statistic_leaves_the_rest(monkeypatch):
    monkeypatch.setattr("kregtools.capture.reduce.activation", lambda tensor: 1 / 0)
    monitor = HealthMonitor(verbose=0)
    fit(monitor)
    assert monitor.record.tensors("gradient_norm") and not monitor.record.tensors("std")[1:]


# ---- on disk


@pytest.mark.parametrize("kind", [HealthMonitor, pytest.param(FitDiagnosis, marks=pytest.mark.slow)])
def test_the_run_read_from_disk_is_the_run_in_memory(tmp_path, kind):
    monitor = kind(directory=tmp_path / "run", verbose=0)
    fit(monitor)
    run = kregtools.load(tmp_path / "run")
    assert run.diagnosis == monitor.diagnosis
    assert run.record.frame().equals(monitor.record.frame())
    assert run.report(tmp_path / "run.html").read_text() == monitor.report(tmp_path / "same.html").read_text()


def test_every_finished_epoch_is_on_disk_when_training_is_interrupted(tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(HealthMonitor(directory=tmp_path / "run", verbose=0), Interrupt(), epochs=4)
    assert len(kregtools.load(tmp_path / "run").record.logs) == 3


def test_no_file_appears_unasked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(HealthMonitor())
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_warning_and_recording_goes_on_in_memory(tmp_path):
    monitor = HealthMonitor(directory=tmp_path / "run", verbose=0)

    class Fill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                (tmp_path / "run" / "record.jsonl").unlink()
                (tmp_path / "run" / "record.jsonl").symlink_to("/dev/full")

    with pytest.warns(KregtoolsWarning, match="cannot be written .*No space left.* goes on in memory") as warned:
        fit(monitor, Fill())
    assert len(ours(warned)) == 1 and len(monitor.record.logs) == EPOCHS


# ---- bad input


@pytest.mark.parametrize("arguments, message", [
    ({"sample_every": 0}, r"`sample_every`. Received: sample_every=0. Expected a positive integer"),
    ({"verbose": 3}, r"`verbose`. Received: verbose=3. Expected 'auto', 0, 1 or 2"),
    ({"ignore": ("overfitting",)}, r"`ignore`. .* out of: .*overfit"),
    ({"stop_on": ("nan",)}, r"`stop_on`. .* out of: .*nonfinite"),
    ({"stop_on": ("lr_too_high",)}, r"`stop_on`"),
])  # fmt: skip
def test_bad_arguments_are_errors_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        HealthMonitor(**arguments)


def test_a_directory_with_an_earlier_run_is_an_error_at_once(tmp_path):
    fit(FitDiagnosis(directory=tmp_path, verbose=0), epochs=1)
    with pytest.raises(ValueError, match=r"holds the record of an earlier run.* Choose another"):
        FitDiagnosis(directory=tmp_path)


@pytest.mark.parametrize("params", [{}, {"epochs": 4, "steps": 2}], ids=["bare", "with params"])
@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "not compiled"])
@pytest.mark.parametrize("kind", MONITORS)
def test_a_loop_of_the_users_own_is_judged_by_its_logs(kind, is_compiled, params):
    model, monitor = keras.Sequential([keras.Input((8,)), layers.Dense(1)]), kind(verbose=0)
    if is_compiled:
        model.compile("sgd", "mse")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        callbacks = keras.callbacks.CallbackList([monitor], model=model, **params)
        callbacks.on_train_begin()
        for epoch, loss in enumerate((1.0, 9.0, 80.0, 4e3)):
            callbacks.on_epoch_begin(epoch)
            callbacks.on_epoch_end(epoch, {"loss": loss})
        callbacks.on_train_end()
    why = "its `fit` does not call `train_function`" if is_compiled else "it is not compiled"
    expected = (
        f"HealthMonitor judges the logs alone, the training steps cannot be looked into: {why}. Training goes on."
    )
    assert ours(told) == ([expected] if kind is HealthMonitor else [])
    assert [symptom.name for symptom in monitor.diagnosis.symptoms] == ["diverging_loss"]


def test_a_train_step_that_calls_nothing_of_the_model_is_one_warning():
    class Odd(keras.Model):
        def __init__(self):
            super().__init__()
            self.count = self.add_weight(shape=(), initializer="zeros", name="count")

        def train_step(self, data):
            self.count.assign_add(1.0)
            return {"loss": self.count.value}

    model = Odd()
    model.compile("sgd", "mse")
    with pytest.warns(KregtoolsWarning, match="cannot be looked into: no layer and no optimizer is called") as warned:
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[HealthMonitor(sample_every=1, verbose=0)])
    assert len(ours(warned)) == 1 and float(model.count) == 16
