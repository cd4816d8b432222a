"""CIFAR-10 without convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from kregtools.models.blocks import classifier, hidden_dense
from kregtools.models.hyperparameters import Choice, Float, Int
from kregtools.models.images import cifar10, cifar10_input
from kregtools.models.recipe_model import Data, RecipeModel, common, with_capacity

if TYPE_CHECKING:
    import os
    from types import SimpleNamespace


class CifarDense(RecipeModel):
    """A dense network on the pixels of CIFAR-10: how far one gets without convolutions.

    Standardized channels, three hidden layers of 1,000 units with batch normalization and dropout, Adam with a
    learning rate that rises and falls with the training. Augmentation shifts and mirrors each image.

    Args:
        **options: `search`, and values of hyperparameters; see `kregtools.models.RecipeModel`.
    """

    name = "cifar_dense"
    epochs = 20
    roles = with_capacity("units")
    hyperparameters = common(
        l2=Float(1e-5, 1e-7, 1e-2, "log"),
        dropout=Float(0.3, 0.0, 0.8),
        normalization=Choice("batch", ("none", "batch", "layer")),
        schedule=Choice("warmup_cosine", ("constant", "cosine", "warmup_cosine", "step")),
        batch_size=Int(256, 32, 1024, "log"),
        units=Int(1000, 16, 4000, "log"),
        layers=Int(3, 1, 6),
    )

    def load(self, directory: str | os.PathLike[str] | None = None, rows: int | None = None) -> Data:
        return cifar10(directory, rows)

    def network(self, chosen: SimpleNamespace) -> keras.Model:
        return keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                *cifar10_input(chosen),
                keras.layers.Flatten(name="pixels"),
                *hidden_dense(chosen),
                classifier(10),
            ]
        )
