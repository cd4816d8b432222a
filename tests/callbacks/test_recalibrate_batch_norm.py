import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kregtools.callbacks import RecalibrateBatchNorm
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
    model.compile("adam", "binary_crossentropy")
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
    plain, corrected = fit(), fit(RecalibrateBatchNorm(X))
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
    model.compile(keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5), "binary_crossentropy")
    model.fit(X, Y, validation_data=(X, Y), epochs=2, verbose=0, callbacks=[RecalibrateBatchNorm(X)])
    clean = np.asarray(model.layers[0](X))
    np.testing.assert_allclose(model.get_layer("norm").moving_variance, clean.var(axis=0), rtol=1e-4)


def test_a_copy_shares_the_data():
    dataset = tf.data.Dataset.from_tensor_slices(X).batch(100)
    assert copy.deepcopy(RecalibrateBatchNorm(dataset)).data is dataset


def test_a_failure_is_one_warning_and_training_goes_on():
    with pytest.warns(KregtoolsWarning, match=r"RecalibrateBatchNorm\._recalibrate failed") as warned:
        fit(RecalibrateBatchNorm(X[:, :3]))
    assert [warning.category for warning in warned].count(KregtoolsWarning) == 1


def test_a_wrong_interval_is_an_error():
    with pytest.raises(ValueError, match=r"Received: every=0. Expected a positive number of epochs"):
        RecalibrateBatchNorm(X, every=0)
