"""The program that a search leaves runs as far as the data, which are the user's; where it could not, it says so."""

from __future__ import annotations

import functools
import sys
from typing import Any

import keras
import keras_tuner as kt
import pytest
from keras import layers

from kregtools.tuning.recipe import builder_of, recipe

UNITS = 3 + 1
CONFIG = {
    "trial": 0, "objective": "val_accuracy", "score": 0.5, "batch_size": 8, "hyperparameters": {"rate": 0.2},
    "seed": 1, "patience": 3, "epochs": 2,
}  # fmt: skip


def compiled(rate: float) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(UNITS), layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.SGD(rate), "binary_crossentropy", metrics=["accuracy"])
    return model


class Thing:
    def build_model(self, hp: kt.HyperParameters) -> keras.Model:
        return compiled(0.1)


class Sized(kt.HyperModel):
    def __init__(self, classes: int, ratio: float = 0.5) -> None:
        super().__init__()
        self.classes, self.ratio = classes, ratio

    def build(self, hp: kt.HyperParameters) -> keras.Model:
        assert (self.classes, self.ratio) == (7, 0.5)
        return compiled(hp.get("rate"))


class Opaque(Sized):
    def __init__(self, classes: object) -> None:
        super().__init__(7)
        self.classes = classes  # pyright: ignore[reportAttributeAccessIssue]


def copied(hp: kt.HyperParameters) -> keras.Model:
    assert hp.get("rate") == 0.2
    return compiled(hp.get("rate"))


def hypermodel_of(given: Any) -> Any:
    if not isinstance(given, kt.HyperModel):
        # As KerasTuner keeps a function.
        hypermodel = kt.HyperModel()
        hypermodel.build = given
        return hypermodel
    return given


def local() -> Any:
    def here(hp: kt.HyperParameters) -> keras.Model:
        return compiled(hp.Float("rate", 0.1, 0.3))

    return here


def enclosing(rate: float) -> Any:
    def here(hp: kt.HyperParameters) -> keras.Model:
        return compiled(rate)

    return here


@pytest.mark.parametrize("given", [local(), Sized(7), copied], ids=["local", "hypermodel", "function"])
def test_the_program_runs_as_far_as_the_data(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if given is copied:
        monkeypatch.setattr(copied, "__module__", "__main__")
        monkeypatch.setitem(sys.modules, "__main__", sys.modules[__name__])
    program = recipe(hypermodel_of(given), CONFIG)
    with pytest.raises(NotImplementedError, match="return your data"):
        exec(compile(program, "best_recipe.py", "exec"), {"__name__": "__main__"})
    if not isinstance(given, Sized):
        assert "import keras_tuner as kt" in program and "UNITS = 3 + 1" in program and "class Sized" not in program


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (Thing().build_model, "Thing.build_model"),
        (functools.partial(copied), "copied"),
        (lambda hp: compiled(0.1), "<lambda>"),
        (enclosing(0.1), "enclosing.<locals>.here"),
        (Opaque(object()), "Opaque"),
    ],
    ids=["method", "partial", "lambda", "closure", "arguments"],
)
def test_what_cannot_be_copied_is_a_gap_that_says_so(given: Any, name: str) -> None:
    hypermodel = hypermodel_of(given)
    assert builder_of(hypermodel).__qualname__ == name
    with pytest.raises(NotImplementedError, match=f"put the builder of your model here: {name}"):
        exec(compile(recipe(hypermodel, CONFIG), "best_recipe.py", "exec"), {"__name__": "__main__"})
