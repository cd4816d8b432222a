from __future__ import annotations

import subprocess
import sys
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from kregtools.models import RECIPES, DigitsDense, FashionDense, ImdbBow, ImdbNb, RecipeModel
from kregtools.models.hyperparameters import Choice
from kregtools.models.optimization import scheduled

SIZES = {"imdb_bow": {"num_words": 50}, "imdb_nb": {"features": 50, "length": 20}}
SIZES |= {name: {"num_words": 50, "length": 20} for name in ("imdb_conv1d", "imdb_bilstm", "imdb_transformer")}
SMALL = {"filters": 8, "units": 8, "blocks": 1}
every_recipe = pytest.mark.parametrize("name", RECIPES)


def make(name: str, **options: Any) -> RecipeModel:
    small = {key: value for key, value in SMALL.items() if key in RECIPES[name].hyperparameters}
    return RECIPES[name](**{**SIZES.get(name, {}), **small, **options})


def build(hypermodel: RecipeModel, **values: Any) -> keras.Model:
    hp = keras_tuner.HyperParameters()
    hp.values.update(values)
    return hypermodel.build(hp)


def rows(model: keras.Model, count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shape, outputs = model.input_shape[1:], model.output_shape[-1]
    words = model.inputs[0].dtype == "int32"
    x = rng.integers(0, 50, size=(count, *shape)) if words else rng.random((count, *shape)).astype("float32")
    y = rng.integers(0, max(outputs, 2), size=count)
    one_hot = isinstance(model.loss, keras.losses.CategoricalCrossentropy)
    return x, np.eye(10)[y] if one_hot else y


def layers(model: keras.Model, cls: Any) -> list[Any]:
    return [layer for layer in model._flatten_layers(include_self=False) if isinstance(layer, cls)]


def l2_factors(model: keras.Model) -> list[float]:
    regularizers = [getattr(layer, f"{part}_regularizer", None) for layer in layers(model, keras.layers.Layer)
                    for part in ("kernel", "embeddings")]  # fmt: skip
    return [float(regularizer.l2) for regularizer in regularizers if regularizer is not None]


# The recipes' own tests train the others; each takes long to trace.
TRAINED = ("digits_dense", "imdb_nb")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in TRAINED else [pytest.mark.slow]) for name in RECIPES]
)
def test_defaults_train(name: str) -> None:
    hp, hypermodel = keras_tuner.HyperParameters(), make(name)
    model = hypermodel.build(hp)
    x, y = rows(model)
    history = hypermodel.fit(hp, model, x, y, epochs=2, verbose=0, validation_data=(x, y))
    assert {"loss", "val_loss", *hypermodel.metrics} <= set(history.history)
    assert np.isfinite(history.history["loss"]).all()


@every_recipe
def test_a_model_comes_back_from_disk(name: str, tmp_path: Any) -> None:
    model = build(make(name))
    model.optimizer.build(model.trainable_variables)
    x, _ = rows(model)
    model.save(tmp_path / "model.keras")
    loaded: Any = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@every_recipe
def test_every_role_names_a_hyperparameter_that_has_a_default(name: str) -> None:
    hp, hypermodel = keras_tuner.HyperParameters(), make(name)
    hypermodel.build(hp)
    assert {"l2", "dropout", "learning_rate"} <= set(hypermodel.roles) <= {"l2", "dropout", "learning_rate", "capacity"}
    assert {entry.name for entry in hp.space} == set(hypermodel.hyperparameters)
    for role in hypermodel.roles.values():
        assert hp.get(role) == hypermodel.fixed.get(role, hypermodel.hyperparameters[role].default)
    searched = {entry.name for entry in hp.space if type(entry).__name__ != "Fixed"}
    assert searched == {"l2", "dropout", "learning_rate"}


@every_recipe
def test_the_roles_do_what_they_say(name: str) -> None:
    model = build(make(name, l2=0.02, dropout=0.25, learning_rate=0.03))
    assert l2_factors(model) == pytest.approx([0.02] * len(l2_factors(model))) and l2_factors(model)
    rates = [layer.rate for layer in layers(model, keras.layers.Layer) if hasattr(layer, "rate")]
    assert max(rates) == pytest.approx(0.25)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.03)


@every_recipe
def test_capacity_makes_the_network_larger(name: str) -> None:
    capacity = RECIPES[name].roles.get("capacity")
    if capacity is None:
        return
    small, large = (build(make(name, **{capacity: value})).count_params() for value in (1, 4))
    assert large > small


@every_recipe
def test_zero_takes_the_regularization_out(name: str) -> None:
    off = {"l2": 0, "dropout": 0}
    # Half of them through the constructor, half through KerasTuner's values.
    model = build(make(name, augment="none", **off)) if len(name) % 2 else build(make(name, augment="none"), **off)
    # Keras' attention has a dropout layer of its own, with a rate of 0.
    assert not [layer for layer in layers(model, keras.layers.Layer) if getattr(layer, "rate", 0)]
    assert not l2_factors(model)


@every_recipe
def test_every_choice_builds(name: str) -> None:
    for hyperparameter, declared in RECIPES[name].hyperparameters.items():
        others = declared.values[1:] if isinstance(declared, Choice) else ()
        for value in others if name == "digits_dense" else others[-1:]:
            assert build(make(name, **{hyperparameter: value})).compiled


def test_every_choice_trains_together_with_others() -> None:
    for values in zip(("batch", "layer"), ("tanh", "gelu"), ("dropout_aware", "lecun_normal"), ("sgd", "adamw"),
                      ("step", "warmup_cosine"), strict=True):  # fmt: skip
        names = ("normalization", "activation", "initializer", "optimizer", "schedule")
        keras.utils.set_random_seed(0)
        chosen = dict(zip(names, values, strict=True))
        hp, hypermodel = keras_tuner.HyperParameters(), make("digits_dense", dropout=0, **chosen)
        model = hypermodel.build(hp)
        history = hypermodel.fit(hp, model, *rows(model, 64), epochs=8, verbose=0)
        assert history.history["loss"][-1] < history.history["loss"][0]


@every_recipe
def test_augmentation_changes_training_and_nothing_else(name: str) -> None:
    model = build(make(name, augment="standard", dropout=0))
    x, _ = rows(model)
    quiet = np.asarray(model(x, training=False))
    np.testing.assert_array_equal(np.asarray(model(x, training=False)), quiet)
    assert any(np.abs(np.asarray(model(x, training=True)) - quiet).max() > 0 for _ in range(5)) or name == "imdb_nb"


def test_a_saved_model_comes_back_where_nothing_but_the_package_was_imported(tmp_path: Any) -> None:
    names = ("imdb_transformer", "sine_poly", "cifar_vgg")
    for name in names:
        build(make(name, augment="standard")).save(tmp_path / f"{name}.keras")
    load = "; ".join(f"keras.models.load_model({str(tmp_path / f'{name}.keras')!r})" for name in names)
    program = f"import sys, keras, kregtools; {load}; assert 'kregtools.models' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_given_is_not_searched_and_what_is_asked_for_is() -> None:
    hp = keras_tuner.HyperParameters()
    model = DigitsDense(l2=0.0, learning_rate=0.5, search=("dropout", "units", "l2")).build(hp)
    searched = [entry.name for entry in hp.space if type(entry).__name__ != "Fixed"]
    assert searched == ["dropout", "units"]
    assert float(model.optimizer.learning_rate) == 0.5


def test_an_unknown_hyperparameter_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ValueError, match=r"no such hyperparameter. Received: width. Expected names among: l2, l1, dropout"
    ):
        FashionDense(width=3)
    with pytest.raises(ValueError, match="Received: heads"):
        FashionDense(search=("heads",))


def test_the_recipes_epochs_and_batch_size_are_taken_where_none_are_given() -> None:
    hp, hypermodel = keras_tuner.HyperParameters(), make("digits_dense", batch_size=4)
    model = hypermodel.build(hp)
    x, y = rows(model)
    history = hypermodel.fit(hp, model, x, y, epochs=None, batch_size=None, verbose=0)
    assert len(history.epoch) == hypermodel.epochs == 30 and hypermodel.batch_size == 4
    assert int(model.optimizer.iterations) == 30 * 2


@pytest.mark.parametrize("as_dataset", [False, True])
def test_a_schedule_ends_with_the_training(as_dataset: bool) -> None:
    hp, hypermodel = keras_tuner.HyperParameters(), make("digits_dense", schedule="cosine", learning_rate=0.1)
    model = hypermodel.build(hp)
    x, y = rows(model, 64)
    data = (Batches(x, y),) if as_dataset else (x, y)
    hypermodel.fit(hp, model, *data, epochs=3, verbose=0)
    assert int(model.optimizer.iterations) == 6
    assert float(model.optimizer.learning_rate) == pytest.approx(0, abs=1e-6)


class Batches(keras.utils.PyDataset):
    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__()
        self.x, self.y = x, y

    def __len__(self) -> int:
        return 2

    def __getitem__(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        return self.x[32 * k : 32 * k + 32], self.y[32 * k : 32 * k + 32]


def test_schedules_rise_and_fall_as_described() -> None:
    def at(schedule: str, *steps: int) -> list[float]:
        rates = scheduled(schedule, 1.0, 100)
        return [float(rates(step)) for step in steps]

    assert at("cosine", 0, 50, 100) == pytest.approx([1, 0.5, 0], abs=1e-6)
    assert at("warmup_cosine", 0, 20, 60, 100) == pytest.approx([0.04, 1, 0.5, 0], abs=1e-6)
    assert at("step", 0, 51, 76) == pytest.approx([1, 0.1, 0.01])
    with pytest.raises(ValueError, match=r"Received: schedule='linear'. Expected one of constant, cosine"):
        scheduled("linear", 1.0, 100)


def test_an_unknown_normalization_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Received: 'group'. Expected 'none', 'batch' or 'layer'"):
        build(make("digits_dense", normalization="group"))


def test_digits_rescales_its_inputs() -> None:
    rescaled = build(DigitsDense()).get_layer("rescaling")(np.full((1, 64), 16.0))
    np.testing.assert_allclose(rescaled, np.ones((1, 64)))


def test_width_is_the_callers() -> None:
    model = build(ImdbBow(num_words=50, units=5))
    assert model.get_layer("hidden_1").kernel.shape == (50, 5)
    assert model.get_layer("hidden_2").kernel.shape == (5, 5)


def test_naive_bayes_must_know_its_n_grams() -> None:
    with pytest.raises(ValueError, match=r"Received: features=None. Expected `load\(\)` before `build\(\)`"):
        build(ImdbNb())


def test_naive_bayes_counts_in_arrays_alone() -> None:
    hp, hypermodel = keras_tuner.HyperParameters(), make("imdb_nb")
    model = hypermodel.build(hp)
    with pytest.raises(ValueError, match=r"Received: x of type Batches, no y. Expected x and y as arrays"):
        hypermodel.fit(hp, model, Batches(*rows(model)))


def test_naive_bayes_weights_are_those_of_the_rows_it_trains_on() -> None:
    hp, hypermodel = keras_tuner.HyperParameters(), make("imdb_nb", features=3, length=3, l2=0, dropout=0)
    model = hypermodel.build(hp)
    x, y = np.array([[1, 2, 0], [1, 0, 0], [3, 0, 0]]), np.array([1, 1, 0])
    hypermodel.fit(hp, model, x, y, epochs=1, verbose=0)
    found = model.get_layer("log_count_ratio").get_weights()[0].ravel()
    positive, negative = np.array([3, 2, 1]) / 6, np.array([1, 1, 2]) / 4
    np.testing.assert_allclose(found, [0, *np.log(positive / negative)], rtol=1e-6)


def test_dropout_aware_is_told_what_stands_before_the_kernel() -> None:
    def told(name: str, **options: Any) -> dict[str, tuple[str, float]]:
        model = build(make(name, initializer="dropout_aware", **options))
        kernels = {layer.name: getattr(layer, "kernel_initializer", None) for layer in model.layers}
        return {key: (made.activation, made.rate) for key, made in kernels.items() if hasattr(made, "rate")}

    assert told("digits_dense", activation="tanh", dropout=0.25) == {
        "hidden_1": ("linear", 0.0),
        "hidden_2": ("tanh", 0.25),
    }
    attention = told("imdb_transformer", activation="tanh")
    assert attention == {"block_1_dense_1": ("linear", 0.0), "block_1_dense_2": ("tanh", 0.0)}
    assert told("imdb_conv1d", dropout=0.25)["phrases"] == ("linear", 0.25)
    pooled = told("cifar_vgg", dropout=0.25)
    assert pooled["block_1_1"] == ("linear", 0.0) and pooled["block_1_2"] == ("relu", 0.0)
    assert pooled["block_2_1"] == ("relu", 0.25) and pooled["block_2_2"] == ("relu", 0.0)
    assert told("cifar_resnet20")["stem"] == told("cifar_resnet9")["stem"] == ("linear", 0.0)


@pytest.mark.parametrize("options, message", [
    ({"augment": "flip"}, "Invalid value for `augment`. Received: augment='flip'. Expected one of 'none', 'standard'"),
    ({"optimizer": "adamx"}, "`optimizer`. Received: optimizer='adamx'. Expected one of 'adam', 'adamw', 'rmsprop'"),
    ({"schedule": "line"}, "Received: schedule='line'. Expected one of 'constant', 'cosine', 'warmup_cosine'"),
    ({"dropout": 1.0}, "Received: dropout=1.0. Expected a number from 0 to below 1"),
    ({"learning_rate": -1}, "Received: learning_rate=-1. Expected a number of at least 0"),
    ({"units": 2.5}, "Received: units=2.5. Expected an integer of at least 1"),
    ({"search": "dropout"}, r"`search`. Received: search='dropout'. Expected a sequence of names, such as \('dr"),
])  # fmt: skip
def test_values_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RECIPES["digits_dense"](**options)


def test_what_is_declared_may_be_outside_of_what_is_searched() -> None:
    model = build(make("imdb_conv1d", layers=0, initializer="zeros", activation="sigmoid", dropout=0.9))
    assert not [layer for layer in model.layers if layer.name.startswith("hidden")]
