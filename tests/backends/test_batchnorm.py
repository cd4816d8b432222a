"""Statistics of BatchNormalization without dropout, on JAX and PyTorch as on TensorFlow."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kregtools
from kregtools.callbacks import HealthMonitor, RecalibrateBatchNorm
from kregtools.layers import DropoutAwareBatchNormalization, DropoutFreeStatistics, convert

RNG = np.random.default_rng(0)
X = RNG.normal(0.5, 2.0, size=(400, 8)).astype("float32")
Y = (X.sum(axis=1, keepdims=True) > 4).astype("float32")


def array(value) -> np.ndarray:
    return np.array(ops.convert_to_numpy(value))


def network(norm=layers.BatchNormalization, momentum: float = 0.99, rate: float = 0.5, **compiled) -> keras.Model:
    keras.utils.set_random_seed(2)
    parts = [keras.Input((8,)), layers.Dropout(rate, seed=1), layers.Dense(6, activation="relu")]
    parts += [layers.Dropout(rate, seed=2), norm(name="norm", momentum=momentum), layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential(parts)
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"], **compiled)
    return model


def clean(model: keras.Model, x: np.ndarray = X) -> np.ndarray:
    for layer in model.layers[:-2]:
        x = layer(x, training=False) if isinstance(layer, layers.Dropout) else layer(x)
    return array(x).astype("float64")


def all_of(model: keras.Model) -> list[np.ndarray]:
    return [array(variable) for variable in (*model.variables, *model.optimizer.variables)]


@pytest.mark.parametrize("norm", [layers.BatchNormalization, DropoutAwareBatchNormalization])
def test_recalibrated_statistics_are_those_of_the_population(norm):
    model = network(norm)
    model.fit(X, Y, verbose=0)
    moving = {id(variable) for variable in model.get_layer("norm").non_trainable_variables}
    kept = [variable for variable in (*model.variables, *model.optimizer.variables) if id(variable) not in moving]
    before = [array(variable) for variable in kept]
    kregtools.recalibrate(model, X, batch_size=90)
    layer, seen = model.get_layer("norm"), clean(model)
    np.testing.assert_allclose(array(layer.moving_mean), seen.mean(axis=0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(array(layer.moving_variance), seen.var(axis=0), rtol=1e-3)
    for old, new in zip(before, kept, strict=True):
        np.testing.assert_array_equal(old, array(new))
    model.fit(X, Y, verbose=0)


def test_measuring_and_failing_change_nothing():
    def broken():
        yield X[:100]
        raise OSError("the disk is gone")

    model = network()
    model.fit(X, Y, verbose=0)
    before = all_of(model)
    kregtools.variance_shift(model, X)
    with pytest.raises(OSError, match="the disk is gone"):
        kregtools.recalibrate(model, broken())
    for old, new in zip(before, all_of(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_metrics_before_and_after():
    model = network()
    report = kregtools.recalibrate(model, X, validation_data=(X, Y))
    after = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert report.after["loss"] == pytest.approx(after["loss"], rel=1e-4)
    assert report.before["loss"] != report.after["loss"]


@pytest.mark.parametrize("keep_best", [False, True])
def test_in_fit_validation_sees_the_corrected_model(keep_best):
    class Seen(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.apart = []

        def on_test_batch_begin(self, batch, logs=None):
            if batch == 0:
                seen = clean(self.model).var(axis=0)
                moving = array(self.model.get_layer("norm").moving_variance)
                self.apart.append(np.abs(moving / seen - 1).max())

    model, seen, monitor = network(), Seen(), HealthMonitor(verbose=0)
    correct = RecalibrateBatchNorm(X, validation_data=(X, Y), keep_best=keep_best)
    history = model.fit(X, Y, validation_data=(X, Y), epochs=2, verbose=0, callbacks=[monitor, correct, seen])
    # Of the callback's own evaluations the first is of the model as it was.
    assert seen.apart[-1] < 1e-3 or keep_best
    assert history.history["val_loss"][-1] == pytest.approx(model.evaluate(X, Y, verbose=0)[0], rel=1e-4)
    assert np.isfinite(monitor.record.series("norm", "moving_variance", "variance_ratio")).sum() >= 2


@pytest.mark.parametrize("compiled", [{}, {"run_eagerly": True}], ids=["compiled", "eager"])
def test_statistics_followed_in_training_are_right_and_training_is_as_before(compiled):
    plain, block = network(**compiled), convert(network(momentum=0.5))
    whole = keras.Sequential([keras.Input((8,)), DropoutFreeStatistics(block)])
    whole.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", **compiled)
    for model in (plain, whole):
        model.fit(X, Y, batch_size=400, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(plain.trainable_variables, whole.trainable_variables, strict=True):
        np.testing.assert_allclose(array(a), array(b), rtol=1e-5, atol=1e-6)
    whole.optimizer.learning_rate = 0.0
    whole.fit(X, Y, batch_size=400, epochs=30, verbose=0)
    (layer,) = kregtools.variance_shift(block, X).layers
    assert abs(np.log(layer.worst_variance_ratio)) < 1e-3 and layer.mean_shift < 1e-3


def test_converted_models_train_on():
    model = network()
    model.fit(X, Y, shuffle=False, verbose=0)
    ours = convert(model)
    for each in (model, ours):
        each.fit(X, Y, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
@pytest.mark.parametrize("settings", [{}, {"renorm": True}])
def test_mixed_precision_renorm_and_masks(policy, settings):
    inputs = keras.Input((5, 3))
    h = layers.Dropout(0.5)(layers.Masking()(inputs))
    model = keras.Model(inputs, layers.BatchNormalization(name="norm", dtype=policy, **settings)(h))
    x = RNG.normal(size=(64, 5, 3)).astype("float32")
    x[:, 3:] = 0
    kregtools.recalibrate(model, x, batch_size=10)
    moving = array(model.get_layer("norm").moving_variance)
    np.testing.assert_allclose(moving, x[:, :3].reshape(-1, 3).var(axis=0), rtol=1e-2)
