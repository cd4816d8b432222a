import keras
import numpy as np
import pytest
from keras import layers

import kregtools

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6)).astype("float32")
Y = RNG.normal(size=(40, 1)).astype("float32")
LABELS = RNG.integers(0, 3, size=40)


class Doubled(layers.Layer):
    """Its gradient is half of what it should be."""

    def call(self, x):
        return x + keras.ops.stop_gradient(x)


def model(*between: layers.Layer, units: int = 1, activation: str | None = None) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, "tanh", name="first"),
            *between,
            layers.Dense(units, activation, name="last"),
        ]
    )


def compiled(network: keras.Model, loss: object = "mse") -> keras.Model:
    network.compile("sgd", loss)
    return network


@pytest.mark.parametrize(
    ("loss", "units", "activation", "y"),
    [
        ("mse", 1, None, Y),
        (keras.losses.Huber(), 1, None, Y),
        ("sparse_categorical_crossentropy", 3, "softmax", LABELS),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), 3, None, LABELS),
    ],
    ids=["mse", "huber", "softmax", "logits"],
)
def test_a_right_gradient_is_exact_in_float64(loss, units, activation, y):
    found = kregtools.gradient_check(compiled(model(units=units, activation=activation), loss), X, y)
    assert len(found) == 4 and max(found.values()) < 1e-7


def test_what_a_wrong_gradient_is_off_by_is_known():
    found = kregtools.gradient_check(compiled(model(Doubled())), X, Y)
    before = {path: value for path, value in found.items() if "first" in path}
    after = {path: value for path, value in found.items() if "last" in path}
    np.testing.assert_allclose(list(before.values()), 0.5, atol=1e-6)
    assert max(after.values()) < 1e-7


def test_penalties_dropout_and_batch_statistics_are_no_fault():
    network = compiled(
        model(layers.Dropout(0.5), layers.BatchNormalization(), layers.Dense(4, kernel_regularizer="l2"))
    )
    assert max(kregtools.gradient_check(network, X, Y).values()) < 1e-6


def test_a_model_that_cannot_be_copied_is_checked_in_its_own_precision():
    class Own(keras.Model):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def get_config(self):
            raise NotImplementedError

        def call(self, x):
            return self.inner(x)

    assert max(kregtools.gradient_check(compiled(Own(model())), X, Y).values()) < 2e-2
    assert max(kregtools.gradient_check(compiled(Own(model(Doubled()))), X, Y).values()) > 0.4


def test_several_inputs_and_outputs():
    inputs = [keras.Input((6,)), keras.Input((6,))]
    hidden = layers.Concatenate()(inputs)
    network = keras.Model(inputs, [layers.Dense(1)(hidden), layers.Dense(2)(hidden)])
    network.compile("sgd", ["mse", "mae"], loss_weights=[1.0, 0.5])
    found = kregtools.gradient_check(network, [X, 2 * X], [Y, np.concatenate([Y, -Y], axis=1)])
    assert len(found) == 4 and max(found.values()) < 1e-6


def test_a_variable_that_the_loss_does_not_depend_on_counts_as_right():
    network = compiled(model(layers.Rescaling(0.0)))
    found = kregtools.gradient_check(network, X, Y)
    assert len(found) == len(network.trainable_variables) and min(found.values()) == 0.0


def test_nothing_changes():
    network = compiled(model(layers.Dropout(0.5), layers.BatchNormalization()))
    network.fit(X, Y, verbose=0)
    variables = [*network.variables, *network.metrics_variables, *network.optimizer.variables]
    before = [np.array(variable) for variable in variables]
    kregtools.gradient_check(network, X, Y)
    for old, new in zip(before, variables, strict=True):
        np.testing.assert_array_equal(old, np.array(new))
    assert keras.config.floatx() == "float32" and not network._losses_override


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"entries": 0}, "argument `entries`. Received: entries=0. Expected a positive integer"),
        ({"samples": 1.5}, "argument `samples`. Received: samples=1.5. Expected a positive integer"),
        ({"epsilon": -1.0}, "argument `epsilon`. Received: epsilon=-1.0. Expected a positive number"),
        ({"y": None}, "`x` has no targets"),
    ],
)
def test_an_invalid_argument_is_an_error_that_says_what_is_expected(settings, message):
    with pytest.raises(ValueError, match=message):
        kregtools.gradient_check(compiled(model()), X, **{"y": Y, **settings})


def test_a_model_that_is_not_compiled_is_refused():
    with pytest.raises(ValueError, match="`gradient_check` judges a loss, and the model has none"):
        kregtools.gradient_check(model(), X, Y)
