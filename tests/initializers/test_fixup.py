"""Fixup finds the residual branches of a model and scales them."""

import keras
import numpy as np
import pytest

from kregtools.initializers import fixup

layers = keras.layers


def numbers(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor), "float64")


def dense_blocks(blocks=4, depth=2, merge=lambda a, b: layers.Add()([a, b])):
    inputs = h = keras.Input((16,))
    for block in range(blocks):
        branch = h
        for index in range(depth):
            branch = layers.Dense(16, activation="relu", name=f"b{block}_{index}")(branch)
        h = merge(h, branch)
    return keras.Model(inputs, layers.Dense(3, name="head")(h))


def weights(model) -> dict[str, np.ndarray]:
    return {layer.name: numbers(layer.kernel) for layer in model.layers if hasattr(layer, "kernel")}


@pytest.mark.parametrize("merge", [lambda a, b: layers.Add()([a, b]), lambda a, b: b + a], ids=["Add", "plus"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_last_kernel_of_a_branch_is_zero_and_the_others_are_scaled(depth, merge):
    model = dense_blocks(4, depth, merge)
    before = weights(model)
    report = fixup(model)
    after = weights(model)
    factor = 4 ** (-1 / (2 * depth - 2)) if depth > 1 else 1.0
    assert report.branches == tuple(tuple(f"b{b}_{i}" for i in range(depth)) for b in range(4))
    assert report.factors == pytest.approx([factor] * 4)
    for block in range(4):
        for index in range(depth - 1):
            np.testing.assert_allclose(after[f"b{block}_{index}"], factor * before[f"b{block}_{index}"], rtol=1e-6)
        assert not after[f"b{block}_{depth - 1}"].any()
    assert not after["head"].any() and report.outputs == ("head",)


def test_a_projection_and_the_layers_outside_are_left_as_they_are():
    inputs = keras.Input((8, 8, 3))
    h = layers.Conv2D(4, 3, padding="same", name="stem")(inputs)
    branch = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="first")(h)
    branch = layers.Conv2D(8, 3, padding="same", name="second")(branch)
    h = layers.Add()([layers.Conv2D(8, 1, strides=2, name="projection")(h), branch])
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(h))
    before = weights(model)
    report = fixup(model)
    assert report.branches == (("first", "second"),) and report.outputs == ()
    for name in ("stem", "projection", "first"):  # one branch: its factor is 1
        np.testing.assert_array_equal(weights(model)[name], before[name])


def test_a_branch_may_be_a_model():
    inner = keras.Sequential([keras.Input((16,)), layers.Dense(16, name="in1"), layers.Dense(16, name="in2")])
    inputs = keras.Input((16,))
    model = keras.Model(inputs, layers.Dense(2)(layers.Add()([inputs, inner(inputs)])))
    (branch,) = fixup(model).branches
    assert [name.split("/")[-1] for name in branch] == ["in1", "in2"]
    assert not numbers(inner.layers[1].kernel).any()


def test_calls_outside_of_the_model_do_not_count():
    add, first, second = layers.Add(), layers.Dense(8, name="s1"), layers.Dense(8, name="s2")
    other = keras.Input((8,))
    add([other, first(other)])
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(2)(add([inputs, second(first(inputs))])))
    assert fixup(model).branches == (("s1", "s2"),)


def test_a_layer_of_several_branches_is_scaled_once_by_the_number_of_its_calls():
    first, second = layers.Dense(8, name="s1"), layers.Dense(8, name="s2")
    inputs = h = keras.Input((8,))
    for _ in range(4):
        h = layers.Add()([h, second(first(h))])
    model = keras.Model(inputs, layers.Dense(2)(h))
    before = weights(model)["s1"]
    report = fixup(model)
    assert report.branches == (("s1", "s2"),) * 4 and report.factors == pytest.approx([0.5] * 4)
    np.testing.assert_allclose(weights(model)["s1"], before / 2, rtol=1e-6)
    assert not weights(model)["s2"].any()


@pytest.mark.parametrize("last", [
    lambda x: layers.Softmax()(layers.Dense(3, name="head")(x)),
    lambda x: layers.Rescaling(0.125)(layers.Dense(3, name="head")(x)),
    lambda x: keras.ops.softmax(layers.Dense(3, name="head")(x)),
])  # fmt: skip
def test_the_classifier_is_zero_whatever_follows_it(last):
    inputs = keras.Input((8,))
    model = keras.Model(inputs, last(layers.Add()([inputs, layers.Dense(8)(inputs)])))
    assert fixup(model).outputs == ("head",)
    assert not weights(model)["head"].any()


def test_weights_that_are_not_known_end_the_way_back_from_the_output():
    inputs = keras.Input((5, 8))
    h = layers.Dense(8)(layers.Add()([inputs, layers.Dense(8)(inputs)]))
    assert fixup(keras.Model(inputs, layers.LSTM(2)(h))).outputs == ()


def test_the_model_starts_as_the_identity_and_learns_at_any_depth():
    keras.utils.set_random_seed(0)
    model = dense_blocks(40)
    fixup(model)
    x = np.random.default_rng(0).normal(size=(256, 16)).astype("float32")
    at_last_sum = keras.Model(model.inputs[0], model.layers[-2].output)
    np.testing.assert_allclose(numbers(at_last_sum(x)), x, atol=1e-6)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    losses = model.fit(x, np.abs(x[:, :3]), epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    untouched = dense_blocks(40)
    assert numbers(untouched(x)).std() > 1e3


def test_models_without_known_branches_are_an_error():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match=r"The graph of 'own' is not known. Received: a Own. Expected a Functional"):
        own = Own(name="own")
        own(np.zeros((1, 4)))
        fixup(own)
    with pytest.raises(ValueError, match=r"argument `model`. Received: model=None. Expected a Functional model"):
        fixup(None)
    with pytest.raises(ValueError, match=r"Received: a Sequential. Expected a Functional"):
        fixup(keras.Sequential([keras.Input((4,)), layers.Dense(4)]))
    inputs = keras.Input((4,))
    plain = keras.Model(inputs, layers.Dense(4)(inputs), name="plain")
    with pytest.raises(
        ValueError, match=r"'plain' has no residual branch.* Received: 0 sums. Expected `keras.layers.Add`"
    ):
        fixup(plain)
