from __future__ import annotations

import os
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from kregtools import datasets
from kregtools.models import DigitsDense, ImdbBow

DATA = os.environ.get("KREGTOOLS_DATA")
real_data = pytest.mark.skipif(not DATA, reason="set KREGTOOLS_DATA to the directory of the real data")

MODELS = [(ImdbBow, (200,), (1,)), (DigitsDense, (64,), (10,))]


def build(hypermodel: keras_tuner.HyperModel, **values: float) -> keras.Model:
    hp = keras_tuner.HyperParameters()
    hp.values.update(values)
    return hypermodel.build(hp)


def make(cls: Any, inputs: tuple[int, ...], **fixed: float) -> keras_tuner.HyperModel:
    return cls(num_words=inputs[0], **fixed) if cls is ImdbBow else cls(**fixed)


def layers(model: keras.Model, cls: type) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, cls)]


@pytest.mark.parametrize(("cls", "inputs", "outputs"), MODELS)
def test_defaults_build_a_compiled_model_with_accuracy(
    cls: Any, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> None:
    model = build(make(cls, inputs))
    x, y = np.ones((8, *inputs), np.uint8), np.zeros(8)
    assert model.output_shape == (None, *outputs)
    assert {"loss", "accuracy"} <= set(model.fit(x, y, verbose=0).history)


@pytest.mark.parametrize(("cls", "inputs", "outputs"), MODELS)
def test_every_role_names_a_hyperparameter_with_its_default(cls: Any, inputs: Any, outputs: Any) -> None:
    hp = keras_tuner.HyperParameters()
    hypermodel = make(cls, inputs)
    model = hypermodel.build(hp)
    assert set(cls.roles) == {"l2", "dropout", "learning_rate"}
    assert {name: hp.get(name) for name in cls.roles.values()} == cls.defaults
    assert {entry.name for entry in hp.space} == set(cls.roles.values())
    for name, layer in zip(("hidden_1", "hidden_2"), layers(model, keras.layers.Dense), strict=False):
        assert layer.name == name
        assert float(layer.kernel_regularizer.l2) == pytest.approx(cls.defaults["l2"])
    assert [(d.name, d.rate) for d in layers(model, keras.layers.Dropout)] == [
        ("dropout_1", cls.defaults["dropout"]),
        ("dropout_2", cls.defaults["dropout"]),
    ]
    assert float(model.optimizer.learning_rate) == pytest.approx(cls.defaults["learning_rate"])


@pytest.mark.parametrize("through", ["constructor", "values"])
@pytest.mark.parametrize(("cls", "inputs", "outputs"), MODELS)
def test_zero_takes_the_regularization_out(cls: Any, inputs: Any, outputs: Any, through: str) -> None:
    off = {"l2": 0, "dropout": 0}
    model = build(make(cls, inputs, **off)) if through == "constructor" else build(make(cls, inputs), **off)
    assert layers(model, keras.layers.Dropout) == []
    assert all(layer.kernel_regularizer is None for layer in layers(model, keras.layers.Dense))


def test_a_fixed_hyperparameter_is_not_searched() -> None:
    hp = keras_tuner.HyperParameters()
    model = DigitsDense(l2=0.0, learning_rate=0.5).build(hp)
    fixed = [type(entry).__name__ for entry in hp.space]
    assert dict(zip((entry.name for entry in hp.space), fixed, strict=True)) == {
        "l2": "Fixed",
        "dropout": "Float",
        "learning_rate": "Fixed",
    }
    assert float(model.optimizer.learning_rate) == 0.5


def test_digits_rescales_its_inputs() -> None:
    model = build(DigitsDense())
    rescaled = model.get_layer("rescaling")(np.full((1, 64), 16.0))
    np.testing.assert_allclose(rescaled, np.ones((1, 64)))


def test_width_is_the_callers() -> None:
    model = build(ImdbBow(num_words=50, units=5))
    assert model.get_layer("hidden_1").kernel.shape == (50, 5)
    assert model.get_layer("hidden_2").kernel.shape == (5, 5)


@pytest.fixture(scope="module")
def reviews() -> Any:
    (x, y), (x_test, y_test) = datasets.load("imdb", DATA)
    return datasets.multi_hot(x), y, datasets.multi_hot(x_test), y_test


def fit(model: keras.Model, reviews: Any, epochs: int) -> np.ndarray:
    x, y, _, _ = reviews
    held_out = (x[20_000:], y[20_000:])
    fitted = model.fit(x[:20_000], y[:20_000], validation_data=held_out, batch_size=512, epochs=epochs, verbose=0)
    return np.array(fitted.history["val_loss"])


@real_data
@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_imdb_defaults_generalize_and_do_not_overfit(seed: int, reviews: Any) -> None:
    keras.utils.set_random_seed(seed)
    model = build(ImdbBow())
    val_loss = fit(model, reviews, epochs=7)
    assert val_loss[-2:].mean() <= 1.05 * val_loss.min()
    assert model.evaluate(*reviews[2:], batch_size=2048, verbose=0)[1] >= 0.88


@real_data
@pytest.mark.slow
def test_imdb_overfits_without_regularization(reviews: Any) -> None:
    keras.utils.set_random_seed(0)
    val_loss = fit(build(ImdbBow(l2=0, dropout=0)), reviews, epochs=20)
    assert 3 <= val_loss.argmin() + 1 <= 6
    assert val_loss[-1] > 1.5 * val_loss.min()
