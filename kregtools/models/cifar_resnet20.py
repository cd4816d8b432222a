"""CIFAR-10 through the residual network of twenty layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from kregtools.layers import StochasticDepth
from kregtools.models.blocks import classifier, convolution, through
from kregtools.models.hyperparameters import Choice, Float, Int
from kregtools.models.images import cifar10, cifar10_input
from kregtools.models.recipe_model import Data, RecipeModel, common, with_capacity

if TYPE_CHECKING:
    import os
    from types import SimpleNamespace


class CifarResnet20(RecipeModel):
    """The ResNet of He et al. for CIFAR-10: three stages of `blocks` residual blocks, 16, 32 and 64 channels.

    With three blocks a stage it has twenty layers and 0.27 million weights. SGD with Nesterov momentum and a learning
    rate that rises and falls with the training. `dropout` is the rate of stochastic depth in the last block; it rises
    linearly from the first one. Each image is shifted by up to four pixels and half of them are mirrored.

    Args:
        **options: `search`, and values of hyperparameters; see `kregtools.models.RecipeModel`.

    Reference:

    - [He et al., 2016](https://arxiv.org/abs/1512.03385)
    - [Huang et al., 2016](https://arxiv.org/abs/1603.09382) (stochastic depth)
    """

    name = "cifar_resnet20"
    epochs = 40
    roles = with_capacity("blocks")
    hyperparameters = common(
        l2=Float(2.5e-4, 1e-6, 1e-2, "log"),
        dropout=Float(0.0, 0.0, 0.6),
        learning_rate=Float(0.2, 1e-3, 1.0, "log"),
        normalization=Choice("batch", ("none", "batch", "layer")),
        augment=Choice("standard", ("none", "standard")),
        optimizer=Choice("sgd", ("sgd", "adam", "adamw", "rmsprop")),
        schedule=Choice("warmup_cosine", ("constant", "cosine", "warmup_cosine", "step")),
        blocks=Int(3, 1, 18),
    )

    def load(self, directory: str | os.PathLike[str] | None = None, rows: int | None = None) -> Data:
        return cifar10(directory, rows)

    def network(self, chosen: SimpleNamespace) -> keras.Model:
        inputs = keras.Input((32, 32, 3))
        x = through([*cifar10_input(chosen), *convolution(chosen, 16, name="stem", before="linear")], inputs)
        for stage, filters in enumerate((16, 32, 64)):
            for block in range(chosen.blocks):
                depth = (stage * chosen.blocks + block + 1) / (3 * chosen.blocks)
                x = self._residual(chosen, x, filters, depth, name=f"stage_{stage + 1}_block_{block + 1}")
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
        return keras.Model(inputs, classifier(10)(x))

    def _residual(self, chosen: SimpleNamespace, x: Any, filters: int, depth: float, name: str) -> Any:
        strides = filters // x.shape[-1]
        branch = [
            *convolution(chosen, filters, strides=strides, name=f"{name}_1"),
            *convolution(chosen, filters, activate=False, name=f"{name}_2"),
        ]
        if chosen.dropout:
            branch.append(StochasticDepth(chosen.dropout * depth, name=f"{name}_stochastic_depth"))
        shortcut = x
        if strides > 1:
            projection = convolution(chosen, filters, strides=strides, size=1, activate=False, name=f"{name}_shortcut")
            shortcut = through(projection, x)
        x = keras.layers.Add(name=f"{name}_sum")([through(branch, x), shortcut])
        return keras.layers.Activation(chosen.activation, name=f"{name}_{chosen.activation}")(x)
