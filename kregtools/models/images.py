"""CIFAR-10 as the recipes take it, and how it enters a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from kregtools import datasets
from kregtools.layers import ShiftAndFlip
from kregtools.models.recipe_model import Data, split

if TYPE_CHECKING:
    import os
    from types import SimpleNamespace

# Of the 50,000 training images, from 0 to 1.
_MEAN = (0.4914, 0.4822, 0.4465)
_VARIANCE = (0.0610, 0.0593, 0.0684)


def cifar10(directory: str | os.PathLike[str] | None, rows: int | None) -> Data:
    """CIFAR-10; the last tenth of the training images is for validation."""
    (x, y), test = datasets.load("cifar10", directory)
    return split(x, y, test, one_in=10, rows=rows)


def cifar10_input(chosen: SimpleNamespace) -> list[keras.layers.Layer]:
    """Standardized color channels; with augmentation, each image shifted by up to four pixels and perhaps mirrored."""
    layers = [
        keras.layers.Rescaling(1 / 255, name="rescaling"),
        keras.layers.Normalization(mean=_MEAN, variance=_VARIANCE, name="standardization"),
    ]
    if chosen.augment != "none":
        layers.append(ShiftAndFlip(4, name="augmentation"))
    return layers
