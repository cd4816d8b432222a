"""Pictures of clothes through one wide dense layer: the lesson in overfitting."""

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


class FashionDense(RecipeModel):
    """A dense network of 512 relu units on Fashion-MNIST.

    Images of 28 by 28 pixels, rescaled to 0 to 1 in the model, ten classes, Adam. Without dropout and L2 its 407,050
    weights can learn the training images by heart; with 4 units in place of 512 it underfits.
    Augmentation shifts each image by up to two pixels and mirrors half of them.

    Args:
        **options: `search`, and values of hyperparameters; see `kregtools.models.RecipeModel`.

    Example:
        >>> hp = keras_tuner.HyperParameters()
        >>> overfitting = kregtools.models.FashionDense(l2=0, dropout=0).build(hp)
    """

    name = "fashion_dense"
    epochs = 30
    roles = with_capacity("units")
    hyperparameters = common(
        l2=Float(1e-6, 1e-7, 1e-2, "log"),
        dropout=Float(0.4, 0.0, 0.8),
        schedule=Choice("cosine", ("constant", "cosine", "warmup_cosine", "step")),
        batch_size=Int(256, 32, 1024, "log"),
        units=Int(512, 2, 2048, "log"),
        layers=Int(1, 1, 4),
    )

    def load(self, directory: str | os.PathLike[str] | None = None, rows: int | None = None) -> Data:
        (x, y), test = datasets.load("fashion_mnist", directory)
        return split(x, y, test, one_in=10, rows=rows)

    def network(self, chosen: SimpleNamespace) -> keras.Model:
        layers = [keras.Input((28, 28)), keras.layers.Rescaling(1 / 255, name="rescaling")]
        if chosen.augment != "none":
            layers += [
                keras.layers.Reshape((28, 28, 1), name="image"),
                ShiftAndFlip(2, name="augmentation"),
            ]
        return keras.Sequential([*layers, keras.layers.Flatten(name="pixels"), *hidden_dense(chosen), classifier(10)])
