import keras
import numpy as np
import pytest
from keras import layers

from kregtools.errors import KregtoolsWarning
from kregtools.layers import DropoutAwareBatchNormalization, convert

PLAIN = layers.BatchNormalization
X = np.random.default_rng(0).normal(0.5, 2.0, size=(64, 8)).astype("float32")
Y = (X.sum(axis=1, keepdims=True) > 4).astype("float32")


def nested() -> keras.Model:
    """Shared and wrapped layers, and a model in a model, called twice."""
    keras.utils.set_random_seed(1)
    inner = keras.Sequential([keras.Input((8,)), layers.Dropout(0.5, seed=7), PLAIN(name="in"), layers.Dense(8)])
    inputs, shared = keras.Input((8,)), PLAIN(name="shared", momentum=0.7, gamma_initializer="zeros")
    h = shared(inner(inputs)) + shared(inner(2 * inputs))
    h = layers.TimeDistributed(PLAIN(name="each"))(layers.Reshape((2, 4))(h))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Flatten()(h)))


def sequential() -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((8,)), layers.Dropout(0.3), PLAIN(trainable=False), PLAIN(), layers.Dense(1)])


def trained(build=nested, optimizer=None) -> keras.Model:
    model, optimizer = build(), optimizer or keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    return model


def norms(model: keras.Model) -> list[type]:
    found = {id(layer): type(layer) for layer in model._flatten_layers() if isinstance(layer, PLAIN)}
    return list(found.values())


@pytest.mark.parametrize("build", [nested, sequential])
def test_there_and_back_with_all_weights(build):
    model = trained(build)
    ours = convert(model)
    back = convert(ours, to=PLAIN)
    assert set(norms(ours)) == {DropoutAwareBatchNormalization} and set(norms(model)) == set(norms(back)) == {PLAIN}
    assert len(norms(model)) == len(norms(ours)) == len(norms(back))
    for other in (ours, back):
        np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))
        assert [layer.name for layer in other.layers] == [layer.name for layer in model.layers]
        assert [layer.trainable for layer in other.layers] == [layer.trainable for layer in model.layers]


def test_training_goes_on_as_if_nothing_had_happened():
    model = trained(optimizer=keras.optimizers.Adam(0.01))
    ours = convert(model)
    for each in (model, ours):
        each.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(model.variables, ours.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for a, b in zip(model.optimizer.variables, ours.optimizer.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_model_given_stays_as_it_is():
    model = trained()
    before = [np.array(variable) for variable in (*model.variables, *model.optimizer.variables)]
    convert(model).fit(X, Y, verbose=0)
    for old, new in zip(before, (*model.variables, *model.optimizer.variables), strict=True):
        np.testing.assert_array_equal(old, new)


def test_files_of_weights_load_either_way(tmp_path):
    model = trained()
    for source, target in ((model, convert(nested())), (convert(model), nested())):
        source.save_weights(tmp_path / "model.weights.h5", overwrite=True)
        target.load_weights(tmp_path / "model.weights.h5")
        np.testing.assert_array_equal(target.predict(X, verbose=0), model.predict(X, verbose=0))


def test_a_file_of_plain_weights_loads_where_only_some_are_ours(tmp_path):
    def build(*kinds):
        return keras.Sequential([keras.Input((8,)), *(kind(name=f"norm_{i}") for i, kind in enumerate(kinds))])

    plain, mixed = build(PLAIN, PLAIN, PLAIN), build(PLAIN, DropoutAwareBatchNormalization, PLAIN)
    for step, layer in enumerate(plain.layers):
        layer.moving_mean.assign(np.full(8, step + 1.0))
    plain.save_weights(tmp_path / "plain.weights.h5")
    mixed.load_weights(tmp_path / "plain.weights.h5")
    assert [float(layer.moving_mean[0]) for layer in mixed.layers] == [1.0, 2.0, 3.0]


def test_a_model_not_built_or_compiled_stays_so():
    model = keras.Sequential([layers.Dense(4), PLAIN()])
    ours = convert(model)
    assert not ours.built and not ours.compiled and norms(ours) == [DropoutAwareBatchNormalization]


def test_a_model_compiled_and_not_trained_is_compiled():
    model = sequential()
    model.compile("adam", "mse")
    assert convert(model).compiled


def test_what_it_was_compiled_with_and_cannot_be_copied_is_warned_of():
    model = sequential()

    def own_loss(y, p):
        return keras.ops.mean(keras.ops.square(y - p))

    model.compile("sgd", own_loss)
    with pytest.warns(
        KregtoolsWarning, match=r"not compiled: what '.*' was compiled with cannot be copied .* `compile`"
    ):
        ours = convert(model)
    assert not ours.compiled
    np.testing.assert_array_equal(ours(X), model(X))


@keras.saving.register_keras_serializable("test_conversion")
class Own(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = PLAIN(name="hidden")

    def call(self, x):
        return self.norm(x)


def test_a_subclass_is_an_error_that_names_it():
    @keras.saving.register_keras_serializable(package="test")
    class Special(PLAIN):
        pass

    model = keras.Sequential([keras.Input((8,)), Special(name="special")], name="net")
    with pytest.raises(ValueError, match=r"special of 'net' cannot be converted: they are of a class of their own"):
        convert(model)


def test_what_is_out_of_reach_is_an_error_that_says_what_to_do():
    model = Own(name="own")
    model(X)
    with pytest.raises(
        ValueError, match=r"hidden of 'own' cannot be converted: .* the code of a subclassed layer .*Dropout"
    ):
        convert(model)
    with pytest.raises(ValueError, match=r"Received: to=<class .*Dense'>. Expected DropoutAwareBatchNormalization or"):
        convert(sequential(), to=layers.Dense)
