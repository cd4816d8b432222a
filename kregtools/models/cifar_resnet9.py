"""CIFAR-10 through the residual network of nine layers that trains fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kregtools.models.blocks import convolution, regularizer, through
from kregtools.models.hyperparameters import Choice, Float, Int
from kregtools.models.images import cifar10, cifar10_input
from kregtools.models.recipe_model import Data, RecipeModel, common, with_capacity

if TYPE_CHECKING:
    import os
    from types import SimpleNamespace

_LABEL_SMOOTHING = 0.1
# The last layer sees the largest values of 512 channels; an eighth keeps its first logits small.
_LOGIT_SCALE = 0.125


class CifarResnet9(RecipeModel):
    """Page's ResNet of nine layers for CIFAR-10, made for few epochs on a GPU.

    A stem, three stages of a convolution with max pooling, the first and the third with a residual pair of
    convolutions; 6.6 million weights at 64 filters. SGD with Nesterov momentum, a learning rate that rises and falls
    with the training, labels smoothed by a tenth: the labels are one-hot vectors. Each image is shifted by up to four
    pixels and half of them are mirrored.

    Args:
        **options: `search`, and values of hyperparameters; see `kregtools.models.RecipeModel`.

    Reference:

    - Page, [How to train your ResNet](https://myrtle.ai/learn/how-to-train-your-resnet/), 2018
    - [Coleman et al., 2017](https://dawn.cs.stanford.edu/benchmark/papers/nips17-dawnbench.pdf) (DAWNBench)
    """

    name = "cifar_resnet9"
    epochs = 24
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=_LABEL_SMOOTHING)
    roles = with_capacity("filters")
    hyperparameters = common(
        l2=Float(2.5e-4, 1e-6, 1e-2, "log"),
        dropout=Float(0.0, 0.0, 0.6),
        learning_rate=Float(0.2, 1e-3, 1.0, "log"),
        normalization=Choice("batch", ("none", "batch", "layer")),
        augment=Choice("standard", ("none", "standard")),
        optimizer=Choice("sgd", ("sgd", "adam", "adamw", "rmsprop")),
        schedule=Choice("warmup_cosine", ("constant", "cosine", "warmup_cosine", "step")),
        batch_size=Int(512, 32, 1024, "log"),
        filters=Int(64, 8, 128, "log"),
    )

    def load(self, directory: str | os.PathLike[str] | None = None, rows: int | None = None) -> Data:
        parts = cifar10(directory, rows)
        return Data(*((x, np.eye(10, dtype="float32")[y.ravel()]) for x, y in parts))

    def network(self, chosen: SimpleNamespace) -> keras.Model:
        inputs = keras.Input((32, 32, 3))
        stem = convolution(chosen, chosen.filters, name="stem", before="linear")
        x = through([*cifar10_input(chosen), *stem], inputs)
        for stage in (1, 2, 3):
            x = through(convolution(chosen, chosen.filters * 2**stage, name=f"stage_{stage}"), x)
            x = keras.layers.MaxPooling2D(name=f"pool_{stage}")(x)
            if stage != 2:
                x = self._residual(chosen, x, f"stage_{stage}")
        x = keras.layers.GlobalMaxPooling2D(name="pool")(x)
        if chosen.dropout:
            x = keras.layers.Dropout(chosen.dropout, name="dropout")(x)
        logits = keras.layers.Dense(
            10, use_bias=False, kernel_regularizer=regularizer(chosen), dtype="float32", name="logits"
        )(x)
        return keras.Model(inputs, keras.layers.Rescaling(_LOGIT_SCALE, dtype="float32", name="output")(logits))

    def _residual(self, chosen: SimpleNamespace, x: Any, name: str) -> Any:
        filters = x.shape[-1]
        branch = [layer for k in (1, 2) for layer in convolution(chosen, filters, name=f"{name}_residual_{k}")]
        return keras.layers.Add(name=f"{name}_sum")([x, through(branch, x)])
