"""What the facts say of models of many kinds, and that telling them changes nothing."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from kregtools.capture.facts import model_facts
from kregtools.record.journal import jsonable


def compiled(model: keras.Model, optimizer="sgd", loss="mse", **settings) -> keras.Model:
    model.compile(optimizer, loss, **settings)
    return model


def mlp(*stack, width: int = 4) -> keras.Sequential:
    return keras.Sequential([keras.Input((width,)), *stack])


def two_outputs(outputs=dict) -> keras.Model:
    x = keras.Input((4,))
    left, right = layers.Dense(1, name="left")(x), layers.Dense(3, activation="softmax", name="right")(x)
    return keras.Model(x, {"a": left, "b": right} if outputs is dict else [left, right])


def facts(model: keras.Model, **params) -> dict:
    found = jsonable(model_facts(model, params))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def layer(model: keras.Model, name: str) -> dict:
    return next(found for found in facts(model)["layers"] if found["name"] == name)


def test_a_layer_tells_its_settings():
    dense = layers.Dense(
        3,
        activation="tanh",
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L1L2(1e-4, 1e-3),
        name="hidden",
    )
    model = compiled(mlp(dense, layers.Dropout(0.3, name="drop"), layers.BatchNormalization(momentum=0.9, name="norm")))
    found = layer(model, "hidden")
    assert (found["class"], found["activation"], found["units"], found["use_bias"]) == ("Dense", "tanh", 3, False)
    assert found["kernel_initializer"]["class"] == found["initializers"]["kernel"]["class"] == "HeNormal"
    assert found["regularizers"] == {"kernel": {"class": "L1L2", "l1": 1e-4, "l2": 1e-3}}
    assert found["regularized"] and found["dtype"] == "float32" and found["weights"] == ["kernel"]
    assert layer(model, "drop")["rate"] == 0.3
    norm = layer(model, "norm")
    assert (norm["momentum"], norm["epsilon"], norm["center"], norm["regularized"]) == (0.9, 1e-3, True, False)


def test_inbound_layers_of_a_sequential_model_built_or_not():
    stack = [layers.Dropout(0.2, name="drop"), layers.BatchNormalization(name="norm"), layers.Dense(1, name="top")]
    model = compiled(keras.Sequential(stack))
    for _ in range(2):
        inbound = {found["name"]: found["inbound"] for found in facts(model)["layers"]}
        assert inbound == {"drop": [], "norm": ["drop"], "top": ["norm"]}
        model.build((None, 4))


def test_a_layer_that_an_input_feeds_beside_others_says_so():
    words, numbers = keras.Input((3,), dtype="int32"), keras.Input((2,))
    flat = layers.Flatten(name="flat")(layers.Embedding(5, 2, name="embedded")(words))
    inner = keras.Sequential([layers.Dense(2, name="inner")])
    both = layers.Concatenate(name="both")([flat, keras.ops.log(numbers), inner(numbers)])
    model = compiled(keras.Model([words, numbers], layers.Dense(1, name="top")(both)))
    takes = {found["name"]: found["takes_input"] for found in facts(model)["layers"] if found["class"] != "Sequential"}
    assert takes == {"embedded": True, "flat": False, "inner": True, "both": True, "top": False}
    assert layer(model, "both")["inbound"] == ["flat", "inner"]


class OwnLoss(keras.Sequential):
    def compute_loss(self, *args, **kwargs):
        return 25.0 * super().compute_loss(*args, **kwargs)


def test_a_loss_that_the_model_computes_itself_is_said_to_be_its_own():
    assert facts(compiled(OwnLoss([keras.Input((4,)), layers.Dense(1)])))["own_loss"] is True
    assert facts(compiled(mlp(layers.Dense(1))))["own_loss"] is False


def test_inbound_layers_go_through_functions_and_nested_models():
    x = keras.Input((4,))
    shared = layers.Dense(4, name="shared")
    inner = mlp(layers.Dropout(0.1, name="drop"), layers.Dense(4, name="inner"))
    inner.name = "nested"
    joined = layers.Add(name="sum")([inner(shared(x)), keras.ops.sin(shared(layers.Rescaling(2.0, name="twice")(x)))])
    model = compiled(keras.Model(x, layers.BatchNormalization(name="norm")(joined + 1.0)))
    inbound = {found["name"]: found["inbound"] for found in facts(model)["layers"]}
    assert inbound == {
        "twice": [],
        "shared": ["twice"],
        "nested": ["shared"],
        "drop": ["shared"],
        "inner": ["drop"],
        "sum": ["inner", "shared"],
        "norm": ["sum"],
    }


def test_functions_between_the_layers_are_named():
    x = keras.Input((4,))
    inner = keras.Model(x, keras.ops.sin(layers.Dense(4)(x)))
    models = {
        "layers": keras.Model(x, layers.Add()([layers.Dense(4)(x), x])),
        "operators": keras.Model(x, layers.Dense(4)(x) * 2 + 1),
        "nested": keras.Sequential([keras.Input((4,)), inner, layers.Dense(1)]),
        "hidden": keras.Sequential([keras.Input((4,)), Subclassed()]),
        "subclassed": Subclassed(),
    }
    found = {name: facts(compiled(model))["model"]["functions"] for name, model in models.items()}
    assert found == {
        **{"layers": [], "operators": ["Add", "Multiply"], "nested": ["Sin"]},
        **{"hidden": None, "subclassed": None},
    }


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.block = keras.Sequential([layers.Dropout(0.1, name="drop"), layers.BatchNormalization(name="norm")])
        self.top = layers.Dense(1, name="top")

    def call(self, x):
        return self.top(self.block(x))


def test_of_a_subclassed_model_the_parts_are_known():
    inbound = {found["name"]: found["inbound"] for found in facts(compiled(Subclassed()))["layers"]}
    assert inbound["norm"] == ["drop"] and inbound["top"] is None


@pytest.mark.parametrize(
    "optimizer, expected",
    [
        (lambda: keras.optimizers.SGD(0.1, momentum=0.9, clipnorm=1.0), {"momentum": 0.9, "clipnorm": 1.0}),
        (lambda: keras.optimizers.AdamW(weight_decay=1e-2, use_ema=True), {"weight_decay": 1e-2, "use_ema": True}),
        (lambda: keras.optimizers.Adam(gradient_accumulation_steps=4), {"gradient_accumulation_steps": 4}),
        (
            lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 100, 0.5)),
            {"schedule": {"class": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 100}},
        ),
        (
            lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
            {"class": "SGD", "loss_scale": "dynamic"},
        ),
    ],
)
def test_an_optimizer_tells_its_settings_and_is_not_built_by_it(optimizer, expected):
    model = compiled(mlp(layers.Dense(1)), optimizer())
    found = facts(model)["optimizer"]
    if "schedule" in expected:
        found["schedule"] = {key: found["schedule"][key] for key in expected["schedule"]}
    assert {key: found[key] for key in expected} == expected
    assert found["learning_rate"] > 0 and not model.optimizer.built


@pytest.mark.parametrize(
    "loss, expected",
    [
        ("mse", {"name": "mean_squared_error"}),
        ("MeanSquaredError", {"name": "mean_squared_error"}),
        ("kld", {"name": "kl_divergence"}),
        (keras.losses.KLDivergence(), {"name": "kl_divergence"}),
        (keras.losses.binary_crossentropy, {"name": "binary_crossentropy", "from_logits": False}),
        (keras.losses.Huber(delta=2.0, reduction="sum"), {"name": "huber", "delta": 2.0, "reduction": "sum"}),
        (
            keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
            {"name": "categorical_crossentropy", "from_logits": True, "label_smoothing": 0.1},
        ),
        (
            keras.losses.SparseCategoricalCrossentropy(ignore_class=0),
            {"name": "sparse_categorical_crossentropy", "ignore_class": 0},
        ),
        (lambda y, p: keras.ops.mean(y - p), {"name": "<lambda>"}),
    ],
)
def test_a_loss_tells_its_settings(loss, expected):
    (found,) = facts(compiled(mlp(layers.Dense(1, name="top")), loss=loss))["losses"]
    assert {key: found[key] for key in expected} == expected
    assert (found["weight"], found["output"], found["target"]) == (1.0, "top", "target")


@pytest.mark.parametrize(
    "outputs, loss, weights, expected",
    [
        (dict, {"a": "mse", "b": "kld"}, {"a": 2.0, "b": 0.5}, [("a", "mean_", 2.0), ("b", "kl_", 0.5)]),
        (dict, {"b": "kld", "a": "mse"}, None, [("a", "mean_", 1.0), ("b", "kl_", 1.0)]),
        (dict, "mse", None, [("a", "mean_", 1.0), ("b", "mean_", 1.0)]),
        (list, ["mse", "kld"], [2.0, 0.5], [("0", "mean_", 2.0), ("1", "kl_", 0.5)]),
        (list, ["mse", None], None, [("0", "mean_", 1.0)]),
        (list, {"left": "mse", "right": "kld"}, {"left": 3.0, "right": 1.0}, [("0", "mean_", 3.0), ("1", "kl_", 1.0)]),
    ],
)
def test_every_output_has_its_loss(outputs, loss, weights, expected):
    found = facts(compiled(two_outputs(outputs), loss=loss, loss_weights=weights))["losses"]
    assert [(item["target"], item["weight"]) for item in found] == [(f"target:{key}", w) for key, _, w in expected]
    assert all(item["name"].startswith(name) for item, (_, name, _) in zip(found, expected, strict=True))


def test_outputs_tell_the_activation_of_their_last_layer():
    right, left = facts(compiled(two_outputs()))["outputs"][::-1]
    assert (left["output"], left["shape"], left["activation"]) == ("left", [None, 1], "linear")
    assert (right["output"], right["tensor"], right["activation"]) == ("right", "output:b", "softmax")
    nested = mlp(mlp(layers.Dense(4, activation="relu"), layers.Softmax()), layers.Reshape((2, 2)))
    (found,) = facts(compiled(nested))["outputs"]
    assert (found["activation"], found["layer"], found["tensor"]) == ("softmax", nested.layers[-1].name, "output")
    x = keras.Input((4,))
    (found,) = facts(compiled(keras.Model(x, keras.ops.sigmoid(layers.Dense(1)(x)))))["outputs"]
    assert found["activation"] == "sigmoid"


def test_metrics_settings_versions_and_platform():
    metrics = ["accuracy", keras.metrics.AUC(name="auc"), keras.metrics.mean_absolute_error]
    found = facts(compiled(mlp(layers.Dense(1)), metrics=metrics, run_eagerly=True), epochs=3, steps=10)
    assert found["metrics"] == ["accuracy", "auc", "mean_absolute_error"]
    assert found["compile"]["run_eagerly"] is True and found["compile"]["dtype_policy"] == "float32"
    assert found["fit"] == {"epochs": 3, "steps": 10}
    backend = keras.backend.backend()
    assert found["versions"]["backend"] == backend and {"numpy", "kregtools", backend} <= found["versions"].keys()
    assert found["platform"].keys() == {"system", "machine"}


class Silent(keras.optimizers.SGD):
    def get_config(self):
        raise NotImplementedError


class Odd(layers.Layer):
    """Nothing that it tells is what it should be."""

    units = property(lambda self: 1 / 0)
    rate = np.arange(3)
    momentum = object()
    kernel_regularizer = staticmethod(lambda x: keras.ops.sum(x))

    def call(self, x):
        return x


@pytest.mark.parametrize(
    "build",
    [
        lambda: compiled(mlp(Odd(), layers.Dense(1)), Silent(0.1)),
        lambda: compiled(Subclassed(), loss=None),
        lambda: compiled(Subclassed(), loss={"a": "mse", "b": lambda y, p: y}),
        lambda: compiled(two_outputs(), loss={"a": "mse", "nowhere": "mse"}),
        lambda: compiled(keras.Sequential()),
        lambda: compiled(mlp(layers.Reshape((2, 2)), layers.TimeDistributed(layers.Dense(1))), loss=["mse", "mae"]),
        lambda: compiled(mlp(layers.Reshape((2, 2)), layers.Bidirectional(layers.LSTM(2)))),
        lambda: Subclassed(),
    ],
)
def test_odd_models_tell_what_they_can(build):
    model = build()
    found = facts(model)
    assert found["model"]["class"] == type(model).__name__
    assert found["optimizer"] is None or found["optimizer"]["learning_rate"] > 0


def test_telling_draws_nothing_and_creates_nothing():
    def state():
        weights = [np.asarray(keras.ops.convert_to_numpy(weight)).tobytes() for weight in model.weights]
        return weights, np.random.get_state()[1].tobytes(), len(model.optimizer.variables), model.built

    for model in (compiled(two_outputs(), "adam"), compiled(keras.Sequential([layers.Dropout(0.5)]), "adam")):
        keras.utils.set_random_seed(0)
        before = state()
        facts(model)
        assert state() == before
