"""Handwritten digits of 8 by 8 pixels, through two small dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from kregtools import datasets
from kregtools.layers import ShiftAndFlip
from kregtools.models.blocks import classifier, hidden_dense
from kregtools.models.hyperparameters import Choice, Float, Int
from kregtools.models.recipe_model import Data, RecipeModel, common, split, with_capacity

if TYPE_CHECKING:
    import os
    from types import SimpleNamespace


class DigitsDense(RecipeModel):
    """A small dense network on scikit-learn's digits, for demonstrations and quick tests.

    64 inputs from 0 to 16, rescaled to 0 to 1 in the model, two relu layers, ten softmax units, Adam. It trains in
    seconds on data that need no network. Augmentation shifts each image by up to one pixel. The last fifth of the
    1,437 training images is for validation.

    Args:
        **options: `search`, and values of hyperparameters; see `kregtools.models.RecipeModel`.

    Example:
        >>> model = kregtools.models.DigitsDense().build(keras_tuner.HyperParameters())
    """

    name = "digits_dense"
    epochs = 30
    roles = with_capacity("units")
    hyperparameters = common(
        l2=Float(1e-3, 1e-6, 1e-2, "log"),
        initializer=Choice("glorot_uniform", ("glorot_uniform", "he_normal", "lecun_normal", "dropout_aware")),
        batch_size=Int(32, 8, 256, "log"),
        units=Int(64, 8, 512, "log"),
        layers=Int(2, 1, 6),
    )

    def load(self, directory: str | os.PathLike[str] | None = None, rows: int | None = None) -> Data:
        (x, y), test = datasets.load("digits", directory)
        return split(x, y, test, one_in=5, rows=rows)

    def network(self, chosen: SimpleNamespace) -> keras.Model:
        layers = [keras.Input((64,)), keras.layers.Rescaling(1 / 16, name="rescaling")]
        if chosen.augment != "none":
            layers += [
                keras.layers.Reshape((8, 8, 1), name="image"),
                ShiftAndFlip(1, flip=False, name="augmentation"),
                keras.layers.Flatten(name="pixels"),
            ]
        return keras.Sequential([*layers, *hidden_dense(chosen), classifier(10)])
