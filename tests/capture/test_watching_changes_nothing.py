"""With the same seed, a run ends in the same bits with and without the monitor, and leaves the model as it was."""

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from watched import CASES, X, Y, bits, dense, fit, is_as_before

from kregtools.callbacks import FitDiagnosis, HealthMonitor


@pytest.mark.parametrize("every", [1, "auto"])
@pytest.mark.parametrize("case", CASES)
def test_weights_optimizer_and_history_are_bit_identical(case, every):
    build, x, y = CASES[case]
    plain, plain_history = fit(build, x, y)
    monitor = HealthMonitor(sample_every=every, verbose=0)
    watched, watched_history = fit(build, x, y, [monitor])
    assert bits(watched) == bits(plain)
    assert repr(watched_history) == repr(plain_history)  # NaN equals NaN
    assert [v.path for v in watched.weights] == [v.path for v in plain.weights]
    assert monitor.record.samples and monitor.record.tensors("gradient_norm")
    assert is_as_before(watched)


def test_random_state_is_the_same_afterwards():
    def draw():
        return [np.random.rand(), float(keras.random.uniform(())), float(tf.random.uniform(()))]

    fit(dense, X, Y)
    expected = draw()
    fit(dense, X, Y, [HealthMonitor(sample_every=1, verbose=0)])
    assert draw() == expected


def test_logs_alone_change_nothing_either():
    assert bits(fit(dense, X, Y, [FitDiagnosis(verbose=0)])[0]) == bits(fit(dense, X, Y)[0])


def test_the_model_saves_clones_and_pickles_as_before(tmp_path):
    model, _ = fit(dense, X, Y, [HealthMonitor(sample_every=1, verbose=0)])
    model.save(tmp_path / "model.keras")
    expected = model.predict(X, verbose=0)
    for twin in (
        keras.models.load_model(tmp_path / "model.keras"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
    ):
        np.testing.assert_array_equal(twin.predict(X, verbose=0), expected)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(X, verbose=0), expected)


def test_the_model_saves_in_the_middle_of_a_fit(tmp_path):
    class Save(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / "model.keras")
            pickle.loads(pickle.dumps(self.model))

    model, _ = fit(dense, X, Y, [HealthMonitor(sample_every=1, verbose=0), Save()])
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_fit_leaves_nothing_behind(error):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise error

    model = dense()
    monitor = HealthMonitor(sample_every=1, verbose=0)
    with pytest.raises(error):
        model.fit(X, Y, verbose=0, callbacks=[monitor, Interrupt()])
    seen = len(monitor._capture._pending)
    model.fit(X, Y, verbose=0)
    assert is_as_before(model) and len(monitor._capture._pending) == seen
    model.fit(X, Y, verbose=0, callbacks=[monitor])
    assert monitor.record.samples and is_as_before(model)


def test_a_train_function_made_anew_is_watched_again():
    class Freeze(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                self.model.layers[0].trainable = False
                self.model.make_train_function(force=True)

    model, monitor = dense(), HealthMonitor(sample_every=1, verbose=0)
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[monitor, Freeze()])
    frame = monitor.record.frame()
    kernels = frame[frame.statistic == "gradient_norm"].groupby("epoch").layer.nunique()
    assert kernels[0] == kernels[1] + 1 == kernels[2] + 1


def test_one_model_is_not_traced_again_at_every_fit():
    model, monitor = dense(), HealthMonitor(sample_every=1, verbose=0)
    for _ in range(12):
        model.fit(X, Y, batch_size=96, verbose=0, callbacks=[monitor])  # TensorFlow would warn of retracing
    assert len(monitor._capture._layouts) == 1
