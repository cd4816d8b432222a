import copy
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import kregtools
from kregtools.callbacks import FitDiagnosis, HealthMonitor, RecalibrateBatchNorm
from kregtools.errors import KregtoolsWarning

RNG = np.random.default_rng(0)
X = RNG.normal(0.5, 2.0, size=(400, 8)).astype("float32")
Y = (X.sum(axis=1, keepdims=True) > 4).astype("float32")


def network() -> keras.Model:
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dropout(0.5, seed=1),
            layers.BatchNormalization(name="norm"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("sgd", "binary_crossentropy")
    return model


class Seen(keras.callbacks.Callback):
    """The moving variance at each point where others look at the model."""

    def __init__(self):
        super().__init__()
        self.at_validation, self.at_epoch_end = [], []

    def on_test_batch_begin(self, batch, logs=None):
        if batch == 0:
            self.at_validation.append(np.array(self.model.get_layer("norm").moving_variance))

    def on_epoch_end(self, epoch, logs=None):
        self.at_epoch_end.append(np.array(self.model.get_layer("norm").moving_variance))


def fit(*callbacks, validate: bool = True, epochs: int = 3) -> keras.Model:
    model = network()
    validation = (X, Y) if validate else None
    model.fit(X, Y, validation_data=validation, epochs=epochs, batch_size=100, verbose=0, callbacks=list(callbacks))
    return model


@functools.cache
def unrecalibrated() -> keras.Model:
    return fit()


def test_validation_and_checkpoints_see_the_corrected_model():
    seen = Seen()
    fit(RecalibrateBatchNorm(X), seen)
    for variance in (*seen.at_validation, *seen.at_epoch_end):
        np.testing.assert_allclose(variance, X.var(axis=0), rtol=1e-4)


def test_every_second_epoch_and_the_last():
    seen = Seen()
    model = fit(RecalibrateBatchNorm(X, every=2), seen)
    corrected = [np.allclose(variance, X.var(axis=0), rtol=1e-4) for variance in seen.at_validation]
    assert corrected == [False, True, False]
    np.testing.assert_allclose(model.get_layer("norm").moving_variance, X.var(axis=0), rtol=1e-4)


def test_without_validation_it_runs_at_the_end():
    callback = RecalibrateBatchNorm(X)
    model = fit(callback, validate=False)
    np.testing.assert_allclose(model.get_layer("norm").moving_variance, X.var(axis=0), rtol=1e-4)
    assert callback.shift.samples == 400


def test_training_itself_does_not_change():
    plain, corrected = unrecalibrated(), fit(RecalibrateBatchNorm(X))
    for a, b in zip(plain.trainable_weights, corrected.trainable_weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_evaluating_alone_does_not_recalibrate():
    callback = RecalibrateBatchNorm(X)
    model = network()
    before = np.array(model.get_layer("norm").moving_variance)
    model.evaluate(X, Y, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(model.get_layer("norm").moving_variance, before)


def test_evaluating_alone_after_a_fit_that_broke_off_does_not_recalibrate():
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    callback, model = RecalibrateBatchNorm(X), network()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, verbose=0, callbacks=[callback, Interrupt()])
    before = np.array(model.get_layer("norm").moving_variance)
    model.evaluate(X, Y, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(model.get_layer("norm").moving_variance, before)


def test_weights_that_the_optimizer_averages_at_the_end_get_their_own_statistics():
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(4), layers.BatchNormalization(name="norm"), layers.Dense(1, "sigmoid")]
    )
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "binary_crossentropy")
    model.fit(X, Y, validation_data=(X, Y), epochs=2, verbose=0, callbacks=[RecalibrateBatchNorm(X)])
    clean = np.asarray(model.layers[0](X))
    np.testing.assert_allclose(model.get_layer("norm").moving_variance, clean.var(axis=0), rtol=1e-4)


def swapped(order: str, epochs: int = 2, **swap) -> tuple[keras.Model, list[np.ndarray]]:
    """A fit with averaged weights, and at each epoch's end how far the variance is off that of the weights then."""
    keras.utils.set_random_seed(5)
    parts = [layers.Dense(4, name="first"), layers.BatchNormalization(name="norm"), layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((8,)), *parts])
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9), "binary_crossentropy")
    apart = []

    class Saves(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            clean = np.asarray(self.model.get_layer("first")(X)).var(axis=0)
            apart.append(np.abs(np.array(self.model.get_layer("norm").moving_variance) / clean - 1).max())

    found = {"s": keras.callbacks.SwapEMAWeights(**swap), "r": RecalibrateBatchNorm(X), "c": Saves()}
    listed = [found[name] for name in order]
    model.fit(X, Y, validation_data=(X, Y), epochs=epochs, batch_size=100, verbose=0, callbacks=listed)
    return model, apart


@pytest.mark.parametrize("swap", [{}, pytest.param({"swap_on_epoch": True}, marks=pytest.mark.slow)])
def test_weights_that_are_swapped_have_their_own_statistics_wherever_a_model_is_saved(swap):
    model, apart = swapped("src", **swap)
    assert max(apart) < 1e-3
    clean = np.asarray(model.get_layer("first")(X)).var(axis=0)
    np.testing.assert_allclose(model.get_layer("norm").moving_variance, clean, rtol=1e-3)


@pytest.mark.slow
def test_a_callback_that_saves_before_the_correction_of_swapped_weights_saves_the_wrong_ones():
    """Why the order matters: what stands before RecalibrateBatchNorm sees the statistics of the averaged weights."""
    assert max(swapped("scr")[1]) > 0.01


@pytest.mark.parametrize("every", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_the_best_weights_that_are_restored_have_their_statistics(every):
    stop = keras.callbacks.EarlyStopping(mode="max", patience=1, restore_best_weights=True)  # the first epoch is best
    model = fit(stop, RecalibrateBatchNorm(X, every=every), epochs=5)
    np.testing.assert_allclose(model.get_layer("norm").moving_variance, X.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("first", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_checkpoints_hold_the_corrected_model(first, tmp_path):
    save = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    correct = RecalibrateBatchNorm(X)
    fit(*([correct, save] if first else [save, correct]))
    for epoch in (1, 2, 3):
        saved = keras.models.load_model(tmp_path / f"{epoch}.keras")
        np.testing.assert_allclose(saved.get_layer("norm").moving_variance, X.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("harmful, monitor, mode", [
    (True, "val_loss", "auto"),
    (False, "loss", "min"),
    pytest.param(True, "loss", "min", marks=pytest.mark.slow),
    pytest.param(False, "val_loss", "auto", marks=pytest.mark.slow),
])  # fmt: skip
def test_a_recalibration_that_harms_is_undone(harmful, monitor, mode):
    seen = Seen()
    # From other rows, the statistics harm; from those of training, they help.
    rows = 30 * X + 100 if harmful else X
    callback = RecalibrateBatchNorm(rows, validation_data=(X, Y), keep_best=True, monitor=monitor, mode=mode)
    model = fit(callback, seen)
    plain = unrecalibrated()
    assert (callback.shift.after["loss"] > callback.shift.before["loss"]) == harmful
    assert callback.shift.corrected != harmful
    expected = plain.get_layer("norm").moving_variance if harmful else X.var(axis=0)
    np.testing.assert_allclose(model.get_layer("norm").moving_variance, expected, rtol=1e-4)


def test_a_metric_that_is_not_there_leaves_the_statistics_and_is_warned_of():
    callback = RecalibrateBatchNorm(X, validation_data=(X, Y), keep_best=True, monitor="val_accuracy")
    with pytest.warns(KregtoolsWarning, match=r"Received: monitor='accuracy'. Expected one of: loss"):
        model = fit(callback)
    np.testing.assert_array_equal(
        model.get_layer("norm").moving_variance, unrecalibrated().get_layer("norm").moving_variance
    )


def state(diagnosis, name: str = "variance_shift") -> str:
    frame = diagnosis.frame()
    return frame[frame.name == name].state.item()


@pytest.mark.parametrize("kind, monitor_first", [
    (HealthMonitor, True),
    (FitDiagnosis, False),
    pytest.param(HealthMonitor, False, marks=pytest.mark.slow),
    pytest.param(FitDiagnosis, True, marks=pytest.mark.slow),
])  # fmt: skip
def test_a_monitor_beside_it_records_and_judges_what_it_measured(kind, monitor_first):
    monitor, correct = kind(verbose=0), RecalibrateBatchNorm(X)
    fit(*([monitor, correct] if monitor_first else [correct, monitor]))
    ratios = monitor.record.series("norm", "moving_variance", "variance_ratio")
    assert np.isfinite(ratios).sum() == 3 and state(monitor.diagnosis) == "passed"
    assert (np.diff(monitor.record.steps) >= 0).all()
    frame = monitor.record.frame()
    assert {"variance_ratio", "mean_shift", "recalibrated"} <= set(frame[frame.layer == "norm"].statistic)


def test_what_was_measured_and_not_corrected_is_a_symptom_and_what_was_not_measured_is_unchecked(tmp_path):
    monitor = HealthMonitor(directory=tmp_path / "run", verbose=0)
    model = network()
    model.get_layer("norm").momentum = 0.5
    model.fit(X, Y, validation_data=(X, Y), epochs=3, batch_size=100, verbose=0, callbacks=[monitor])
    (unchecked,) = [item for item in monitor.diagnosis.unchecked if item.name == "variance_shift"]
    assert "RecalibrateBatchNorm(x_train)` to the callbacks, or call `monitor.add" in unchecked.reason
    monitor.add(kregtools.variance_shift(model, X))
    assert "variance_shift" in [symptom.name for symptom in monitor.diagnosis.symptoms]
    assert [cause.name for cause in monitor.diagnosis.causes if "variance_shift" in cause.explains] == [
        "dropout_before_batchnorm"
    ]
    assert kregtools.load(tmp_path / "run").diagnosis == monitor.diagnosis


def test_a_monitor_of_an_earlier_fit_is_left_alone():
    monitor, model = HealthMonitor(verbose=0), network()
    model.fit(X, Y, verbose=0, callbacks=[monitor])
    samples = len(monitor.record.samples)
    model.fit(X, Y, verbose=0, callbacks=[RecalibrateBatchNorm(X)])
    assert len(monitor.record.samples) == samples


def test_a_copy_shares_the_data():
    dataset = tf.data.Dataset.from_tensor_slices(X).batch(100)
    assert copy.deepcopy(RecalibrateBatchNorm(dataset)).data is dataset


def test_a_failure_is_one_warning_and_training_goes_on():
    with pytest.warns(KregtoolsWarning, match=r"RecalibrateBatchNorm\._recalibrate failed") as warned:
        fit(RecalibrateBatchNorm(X[:, :3]))
    assert [warning.category for warning in warned].count(KregtoolsWarning) == 1


@pytest.mark.parametrize("settings, message", [
    ({"every": 0}, r"Received: every=0. Expected a positive number of epochs"),
    ({"keep_best": True}, r"compares the model before and after. Received: validation_data=None. Pass the"),
    ({"monitor": "val_mine"}, r"Received: mode='auto', monitor='mine'. Expected 'min' or 'max', or 'auto' with a"),
    ({"mode": "best"}, r"Received: mode='best', monitor='loss'. Expected 'min' or 'max'"),
])  # fmt: skip
def test_a_wrong_setting_is_an_error_that_says_what_to_do(settings, message):
    with pytest.raises(ValueError, match=message):
        RecalibrateBatchNorm(X, **settings)
