"""What the BatchNormalization layers of a model see in inference, over many batches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from kregtools._intact import replaced, snapshot
from kregtools.layers.batch_moments import BatchMoments, normalize_by_batch
from kregtools.layers.dropout_aware_batch_normalization import DropoutAwareBatchNormalization

BatchNormalization = keras.layers.BatchNormalization


class Population:
    """Mean and variance over batches, by the law of total variance."""

    def __init__(self) -> None:
        self.count = self.first = self.second = np.zeros(())

    def add(self, moments: BatchMoments) -> None:
        count, mean, variance = (np.asarray(keras.ops.convert_to_numpy(part), "float64") for part in moments)
        self.count = self.count + count
        self.first = self.first + count * mean
        self.second = self.second + count * (variance + mean**2)

    @property
    def mean(self) -> np.ndarray:
        return self.first / self.count

    @property
    def variance(self) -> np.ndarray:
        return np.maximum(self.second / self.count - self.mean**2, 0.0)


def populations_of(model: keras.Model, layers: list[BatchNormalization], batches: Iterable[Any]) -> list[Population]:
    """One population for each layer, from a forward pass in inference mode that leaves the model as it was."""
    populations = [Population() for _ in layers]
    with contextlib.ExitStack() as stack:
        # Some layers draw from a seed, or keep a state, in inference as well.
        stack.callback(snapshot(model.non_trainable_variables))
        for layer, population in zip(layers, populations, strict=True):
            stack.enter_context(_collecting(layer, population.add))
        for x in batches:
            model(x, training=False)
    return populations


def normalizing_in_training(model: keras.Model, layers: list[BatchNormalization], x: Any) -> list[BatchNormalization]:
    """Those of the layers that normalize by the batch when `fit` trains the model."""
    modes: list[set[bool]] = [set() for _ in layers]
    with contextlib.ExitStack() as stack:
        for layer, seen in zip(layers, modes, strict=True):
            stack.enter_context(_watching(layer, seen.add))
        # As in `train_step`: what takes no `training` is not told of it.
        arguments = {"training": True} if model._call_has_training_arg else {}
        trainable = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]
        model.stateless_call(trainable, others, x, **arguments)
    return [layer for layer, seen in zip(layers, modes, strict=True) if seen != {False}]


def _collecting(
    layer: BatchNormalization, collect: Callable[[BatchMoments], None]
) -> contextlib.AbstractContextManager[None]:
    if isinstance(layer, DropoutAwareBatchNormalization):
        return layer.collecting(collect)

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        outputs, moments = normalize_by_batch(layer, inputs, mask)
        collect(moments)
        return outputs

    return replaced(layer, "call", call)


def _watching(layer: BatchNormalization, watch: Callable[[bool], None]) -> contextlib.AbstractContextManager[None]:
    inner = layer.call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        watch(bool(training))
        return inner(inputs, training=training, mask=mask)

    return replaced(layer, "call", call)
