import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from normalized_models import NORMS, RNG, X, Y, convolutional, dense, inputs_of, statistics

import kregtools
from kregtools._batches import batches
from kregtools.errors import KregtoolsWarning


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("batch_size", [1000, 512, 97])
def test_dense_statistics_are_those_of_the_population_without_dropout(norm, batch_size):
    model = dense(norm)
    report = kregtools.recalibrate(model, X, batch_size=batch_size)
    clean = inputs_of(model, X)
    mean, variance = statistics(model)
    np.testing.assert_allclose(mean, clean.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(variance, clean.var(axis=0), rtol=1e-4)
    assert report.samples == 1000


@pytest.mark.parametrize("norm", NORMS)
def test_convolutional_statistics_are_those_of_the_population_without_dropout(norm):
    model, x = convolutional(norm), RNG.normal(size=(300, 6, 6, 2)).astype("float32")
    kregtools.recalibrate(model, x, batch_size=70)
    clean = inputs_of(model, x)
    mean, variance = statistics(model)
    np.testing.assert_allclose(mean, clean.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(variance, clean.var(axis=(0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("rate", [0.5, pytest.param(0.2, marks=pytest.mark.slow)])
def test_training_statistics_are_too_wide_by_what_dropout_adds(rate):
    """Var_train = (v + m²)/p - m² for the share p = 1 - rate that is kept."""
    model = dense(layers.BatchNormalization, rate=rate, momentum=0.98)
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    model.fit(X, Y, epochs=20, batch_size=100, verbose=0)
    clean = inputs_of(model, X)
    m, v = clean.mean(axis=0), clean.var(axis=0)
    expected = ((v + m**2) / (1 - rate) - m**2) / v
    shift = kregtools.variance_shift(model, X)
    assert shift.layers[0].variance_ratio == pytest.approx(np.median(expected), rel=0.1)


def deep(norm=layers.BatchNormalization) -> keras.Model:
    keras.utils.set_random_seed(2)
    parts = [keras.Input((8,))]
    for index in range(3):
        parts += [layers.Dropout(0.5), layers.Dense(16, activation="relu"), norm(name=f"norm_{index}")]
    return keras.Sequential([*parts, layers.Dense(1)])


@pytest.mark.parametrize("data", [X[np.argsort(X[:, 0])], X[::-1]], ids=["sorted", "reversed"])
@pytest.mark.parametrize("batch_size", [1000, 200])
def test_order_and_size_of_batches_do_not_matter_at_depth_either(data, batch_size):
    """Exactly at the first layer; further down up to the spread of the batches that normalize the layers before."""
    expected, model = deep(), deep()
    kregtools.recalibrate(expected, X, batch_size=1000)
    kregtools.recalibrate(model, data, batch_size=batch_size)
    for index in range(3):
        for a, b in zip(statistics(model, f"norm_{index}"), statistics(expected, f"norm_{index}"), strict=True):
            np.testing.assert_allclose(a, b, rtol=0.03 if index else 1e-4, atol=0.03 if index else 1e-5)


def test_synchronized_layers_and_several_inputs():
    inputs = {"a": keras.Input((8,), name="a"), "b": keras.Input((8,), name="b")}
    norm = layers.BatchNormalization(name="norm", synchronized=True)
    model = keras.Model(inputs, norm(layers.Dropout(0.5)(inputs["a"] + inputs["b"])))
    kregtools.recalibrate(model, ({"a": X, "b": 2 * X}, Y))
    np.testing.assert_allclose(norm.moving_variance, (3 * X).var(axis=0), rtol=1e-4)


def test_recalibrating_without_dropout_changes_little_and_says_so():
    model = dense(layers.BatchNormalization, rate=0.0, momentum=0.5)
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    model.fit(X, Y, epochs=10, batch_size=1000, verbose=0)
    (layer,) = kregtools.variance_shift(model, X).layers
    assert layer.variance_ratio == pytest.approx(1.0, abs=5e-3) and layer.mean_shift < 5e-3


def test_order_does_not_matter_and_twice_equals_once():
    model = dense(layers.BatchNormalization)
    kregtools.recalibrate(model, X)
    once = statistics(model)
    kregtools.recalibrate(model, X[::-1])
    for first, second in zip(once, statistics(model), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5)


def test_only_the_variance_on_request():
    model = dense(layers.BatchNormalization)
    mean, variance = statistics(model)
    kregtools.recalibrate(model, X, update="variance")
    new_mean, new_variance = statistics(model)
    np.testing.assert_array_equal(mean, new_mean)
    assert not np.allclose(variance, new_variance)


@pytest.mark.parametrize("norm", NORMS)
def test_nothing_else_changes(norm):
    model = dense(norm)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "binary_crossentropy")
    model.fit(X, Y, verbose=0)
    moving = {id(v) for v in (model.get_layer("norm").moving_mean, model.get_layer("norm").moving_variance)}
    others = [v for v in [*model.variables, *model.optimizer.variables] if id(v) not in moving]
    before, functions = [np.array(v) for v in others], (model.train_function, model.test_function)
    kregtools.recalibrate(model, X)
    for old, new in zip(before, others, strict=True):
        np.testing.assert_array_equal(old, new)
    assert functions == (model.train_function, model.test_function)
    assert "call" not in vars(model.get_layer("norm"))


def test_measuring_changes_nothing_at_all():
    model = dense(layers.BatchNormalization)
    before = model.get_weights()
    kregtools.variance_shift(model, X)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_data_that_fails_midway_leaves_every_weight():
    def broken():
        yield X[:100]
        raise OSError("the disk is gone")

    model = dense(layers.BatchNormalization)
    before = model.get_weights()
    with pytest.raises(OSError, match="the disk is gone"):
        kregtools.recalibrate(model, broken())
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert "call" not in vars(model.get_layer("norm"))


class Rows(keras.utils.PyDataset):
    def __init__(self):
        super().__init__()

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return X[100 * index : 100 * index + 100], Y[100 * index : 100 * index + 100]


@pytest.mark.parametrize(
    "data",
    [
        lambda: (X, Y),
        lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(100),
        lambda: tf.data.Dataset.from_tensor_slices(X).batch(100),
        Rows,
        lambda: ((X[i : i + 100], Y[i : i + 100]) for i in range(0, 1000, 100)),
        lambda: tf.constant(X),
    ],
    ids=["tuple", "dataset of pairs", "dataset", "PyDataset", "generator", "tensor"],
)
def test_whatever_fit_takes_will_do(data):
    model, expected = dense(layers.BatchNormalization), dense(layers.BatchNormalization)
    kregtools.recalibrate(expected, X)
    assert kregtools.recalibrate(model, data()).samples == 1000
    for a, b in zip(statistics(model), statistics(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_dataset_without_an_end_is_read_on():
    class Endless(Rows):
        num_batches = None

    model = dense(layers.BatchNormalization)
    assert kregtools.recalibrate(model, Endless(), samples=1000).samples == 1000
    np.testing.assert_allclose(statistics(model)[1], inputs_of(model, X).var(axis=0), rtol=1e-4)


def test_no_batch_is_a_small_rest():
    assert [rows for _, rows in batches(X[:513], samples=8192, batch_size=512)] == [257, 256]


def test_samples_are_taken_evenly():
    model = dense(layers.BatchNormalization)
    ordered = X[np.argsort(X[:, 0])]
    assert kregtools.recalibrate(model, ordered, samples=200).samples == 200
    clean = inputs_of(model, ordered)
    np.testing.assert_allclose(statistics(model)[1], clean.var(axis=0), rtol=0.4)


def test_masked_positions_do_not_count():
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, layers.BatchNormalization(name="norm")(layers.Masking()(inputs)))
    x = RNG.normal(size=(64, 5, 3)).astype("float32")
    x[:, 3:] = 0
    kregtools.recalibrate(model, x, batch_size=10)
    np.testing.assert_allclose(statistics(model)[1], x[:, :3].reshape(-1, 3).var(axis=0), rtol=1e-4)


def test_nested_shared_and_subclassed_models():
    norm = layers.BatchNormalization(name="norm")
    inner = keras.Sequential([keras.Input((8,)), norm], name="inner")

    class Twice(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def call(self, x, training=False):
            return self.inner(x, training=training) + self.inner(3 * x, training=training)

    model = Twice()
    model(X[:2])
    kregtools.recalibrate(model, X)
    both = np.concatenate([X, 3 * X])
    np.testing.assert_allclose(norm.moving_variance, both.var(axis=0), rtol=1e-4)


def test_frozen_layers_keep_their_statistics_with_a_warning():
    model = dense(layers.BatchNormalization)
    model.get_layer("norm").trainable = False
    before = statistics(model)
    with pytest.warns(KregtoolsWarning, match=r"norm: frozen \(trainable=False\)"):
        report = kregtools.recalibrate(model, X)
    assert report.layers == ()
    for old, new in zip(before, statistics(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_mixed_precision_and_renorm():
    model = dense(layers.BatchNormalization, dtype="mixed_bfloat16", renorm=True)
    kregtools.recalibrate(model, X)
    layer = model.get_layer("norm")
    np.testing.assert_allclose(layer.moving_variance, inputs_of(model, X).var(axis=0), rtol=0.02)
    np.testing.assert_allclose(np.square(layer.moving_stddev), layer.moving_variance + layer.epsilon, rtol=1e-5)


def test_metrics_before_and_after_on_request():
    model = dense(layers.BatchNormalization)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    report = kregtools.recalibrate(model, X, validation_data=(X, Y))
    assert report.before.keys() == report.after.keys() == {"loss", "accuracy"}
    assert report.before["loss"] != report.after["loss"]
    assert report.after["loss"] == pytest.approx(model.evaluate(X, Y, verbose=0)[0], rel=1e-5)
    assert "loss: " in repr(report) and len(report.frame()) == 1


def test_a_model_without_batchnorm_is_left_alone():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(1)])
    assert kregtools.recalibrate(model, X).frame().empty


class Noise(layers.Layer):
    """Draws in inference as well."""

    def __init__(self):
        super().__init__()
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seed)


@pytest.mark.parametrize("measure", [kregtools.recalibrate, kregtools.variance_shift])
def test_seeds_and_states_that_move_in_inference_are_put_back(measure):
    inputs = keras.Input((2, 4), batch_size=100)
    recurrent = layers.SimpleRNN(6, stateful=True)
    norm = layers.BatchNormalization(name="norm")
    model = keras.Model(inputs, norm(Noise()(recurrent(inputs))))
    moving = {id(norm.moving_mean), id(norm.moving_variance)}
    others = [variable for variable in model.variables if id(variable) not in moving]
    before = [np.array(variable) for variable in others]
    measure(model, X.reshape(1000, 2, 4), batch_size=100)
    assert len(others) > 6
    for old, new in zip(before, others, strict=True):
        np.testing.assert_array_equal(old, new)


class Base(keras.Model):
    def __init__(self):
        super().__init__(name="tuned")
        self.norm, self.top = layers.BatchNormalization(name="norm"), layers.Dense(1)


class InferenceBase(Base):
    def call(self, x, training=None):
        return self.top(self.norm(x, training=False))


class NoTrainingArgument(Base):
    def call(self, x):
        return self.top(self.norm(x))


@pytest.mark.parametrize("kind", [InferenceBase, NoTrainingArgument])
def test_layers_that_fit_runs_in_inference_mode_keep_their_statistics_with_a_warning(kind):
    model = kind()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(model.norm.moving_variance, np.ones(8))
    with pytest.warns(KregtoolsWarning, match="norm: `fit` runs these in inference mode, because the `call` of 'tu"):
        report = kregtools.recalibrate(model, X)
    assert report.layers == ()
    np.testing.assert_array_equal(model.norm.moving_variance, np.ones(8))


def test_inputs_that_are_not_finite_are_an_error_and_change_nothing():
    model = dense(layers.BatchNormalization)
    before = statistics(model)
    with pytest.raises(ValueError, match=r"The inputs of norm are not finite, .* Nothing was changed"):
        kregtools.recalibrate(model, np.where(X > 3, np.nan, X))
    for old, new in zip(before, statistics(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_validation_that_fails_after_the_change_undoes_it():
    model = dense(layers.BatchNormalization)
    model.compile("adam", "binary_crossentropy")
    before = statistics(model)

    class ReadableBefore(Rows):
        def __getitem__(self, index):
            if not np.array_equal(statistics(model)[1], before[1]):
                raise OSError("the disk is gone")
            return super().__getitem__(index)

    with pytest.raises(OSError, match="the disk is gone"):
        kregtools.recalibrate(model, X, validation_data=ReadableBefore())
    for old, new in zip(before, statistics(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_validation_data_that_can_be_read_once_is_an_error():
    model = dense(layers.BatchNormalization)
    model.compile("adam", "binary_crossentropy")
    with pytest.raises(ValueError, match="can be read only once"):
        kregtools.recalibrate(model, X, validation_data=iter([(X, Y)]))


def test_what_others_put_around_the_layers_call_stays():
    model = dense(layers.BatchNormalization)
    layer = model.get_layer("norm")
    theirs = layer.call
    object.__setattr__(layer, "call", theirs)
    kregtools.recalibrate(model, X)
    assert vars(layer)["call"] is theirs
    np.testing.assert_allclose(layer.moving_variance, inputs_of(model, X).var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("data", ["foo", [[1.0, 2.0]], None, 3, np.float32(1), np.array(1.0)])
@pytest.mark.parametrize("function", [kregtools.recalibrate, kregtools.variance_shift])
def test_what_is_no_data_or_no_model_is_an_error(function, data):
    with pytest.raises(ValueError, match=r"`data` is no data that `fit` takes. Received: .*Expected arrays"):
        function(dense(layers.BatchNormalization), data)
    with pytest.raises(ValueError, match=r"argument `model`. Received: model=None. Expected a Keras model"):
        function(None, X)
    with pytest.raises(ValueError, match=r"argument `samples`. Received: samples=True. Expected a positive integer"):
        function(dense(layers.BatchNormalization), X, samples=True)


@pytest.mark.parametrize("call, message", [
    (lambda: kregtools.recalibrate(dense(layers.BatchNormalization), X, update="mean"), "Received: update='mean'"),
    (lambda: kregtools.recalibrate(dense(layers.BatchNormalization), X, samples=0), "`samples`. Received: samples=0"),
    (lambda: kregtools.recalibrate(dense(layers.BatchNormalization), X[:0]), "`data` has no rows"),
    (lambda: kregtools.recalibrate(dense(layers.BatchNormalization), iter(())), "`data` has no rows"),
    (lambda: kregtools.variance_shift(keras.Sequential([layers.Dense(1)]), X), "is not built"),
    (lambda: kregtools.recalibrate(dense(layers.BatchNormalization), X, validation_data=(X, Y)), "it is not compiled"),
])  # fmt: skip
def test_bad_input_is_an_error_that_says_what_to_do(call, message):
    with pytest.raises(ValueError, match=message):
        call()
