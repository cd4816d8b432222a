"""CIFAR-10 through a small network of the VGG kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from kregtools.models.blocks import classifier, convolution
from kregtools.models.hyperparameters import Choice, Float, Int
from kregtools.models.images import cifar10, cifar10_input
from kregtools.models.recipe_model import Data, RecipeModel, common, with_capacity

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from types import SimpleNamespace


class CifarVgg(RecipeModel):
    """Three blocks of two 3 by 3 convolutions, each block of twice the filters and half the side, on CIFAR-10.

    `filters`, 2 `filters` and 4 `filters` channels with batch normalization, max pooling and dropout after each block,
    the average over the image, ten softmax units. Adam, with a learning rate that rises and falls with the training:
    fifteen epochs are enough for it. Each image is shifted by up to four pixels and half of them are mirrored.

    Args:
        **options: `search`, and values of hyperparameters; see `kregtools.models.RecipeModel`.

    Reference:

    - [Simonyan and Zisserman, 2015](https://arxiv.org/abs/1409.1556)
    """

    name = "cifar_vgg"
    epochs = 15
    roles = with_capacity("filters")
    hyperparameters = common(
        l2=Float(1e-5, 1e-7, 1e-2, "log"),
        dropout=Float(0.1, 0.0, 0.6),
        learning_rate=Float(4e-3, 1e-4, 3e-2, "log"),
        normalization=Choice("batch", ("none", "batch", "layer")),
        augment=Choice("standard", ("none", "standard")),
        schedule=Choice("warmup_cosine", ("constant", "cosine", "warmup_cosine", "step")),
        filters=Int(32, 8, 128, "log"),
    )

    def load(self, directory: str | os.PathLike[str] | None = None, rows: int | None = None) -> Data:
        return cifar10(directory, rows)

    def network(self, chosen: SimpleNamespace) -> keras.Model:
        return keras.Sequential(
            [keras.Input((32, 32, 3)), *cifar10_input(chosen), *self._blocks(chosen), classifier(10)]
        )

    def _blocks(self, chosen: SimpleNamespace) -> Iterator[keras.layers.Layer]:
        for block in (1, 2, 3):
            for k in (1, 2):
                yield from convolution(
                    chosen,
                    chosen.filters * 2 ** (block - 1),
                    name=f"block_{block}_{k}",
                    before="linear" if block == k == 1 else None,
                    dropout=chosen.dropout if block > k == 1 else 0.0,
                )
            if block < 3:
                yield keras.layers.MaxPooling2D(name=f"pool_{block}")
            else:
                yield keras.layers.GlobalAveragePooling2D(name="pool_3")
            if chosen.dropout:
                yield keras.layers.Dropout(chosen.dropout, name=f"dropout_{block}")
