"""The statistics of BatchNormalization, taken again without dropout."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd

from kregtools._batches import batches
from kregtools.errors import KregtoolsWarning
from kregtools.layers.batch_moments import BatchMoments, normalize_by_batch
from kregtools.layers.dropout_aware_batch_normalization import DropoutAwareBatchNormalization

BatchNormalization = keras.layers.BatchNormalization


@dataclass(frozen=True)
class LayerShift:
    """How far the moving statistics of one layer were from those without dropout.

    Attributes:
        layer: The layer's path.
        variance_ratio: Moving variance over the variance without dropout, the median over channels.
        worst_variance_ratio: The ratio of the channel that is furthest from 1, either way.
        mean_shift: Distance of the means in standard deviations, the median over channels.
    """

    layer: str
    variance_ratio: float
    worst_variance_ratio: float
    mean_shift: float


@dataclass(frozen=True)
class VarianceShift:
    """What `variance_shift` and `recalibrate` found.

    Attributes:
        layers: One `LayerShift` for each BatchNormalization, in the order of the model.
        samples: How many rows of data were used.
        before: Metrics on the validation data before, where those were given.
        after: The same after.
    """

    layers: tuple[LayerShift, ...]
    samples: int
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """One row for each layer."""
        columns = ["layer", "variance_ratio", "worst_variance_ratio", "mean_shift"]
        return pd.DataFrame([vars(layer) for layer in self.layers], columns=columns)

    def __repr__(self) -> str:
        lines = [f"<VarianceShift over {self.samples} samples>"]
        lines += [
            f"  {shift.layer}: variance x {shift.variance_ratio:.3g} (worst channel x "
            f"{shift.worst_variance_ratio:.3g}), mean shifted by {shift.mean_shift:.2g} sd"
            for shift in self.layers
        ]
        lines += [f"  {name}: {self.before[name]:.4g} -> {self.after[name]:.4g}" for name in self.after]
        return "\n".join(lines)


def recalibrate(
    model: keras.Model,
    data: Any,
    *,
    update: Literal["both", "variance"] = "both",
    samples: int = 8192,
    batch_size: int = 512,
    validation_data: Any = None,
) -> VarianceShift:
    """Takes the moving statistics of every BatchNormalization again, with dropout off.

    Use it after training, or before each validation through `callbacks.RecalibrateBatchNorm`, on a model that has
    dropout, or any noise, before a BatchNormalization. The model runs in inference mode, so that dropout, noise and
    augmentation are off, while each BatchNormalization normalizes by the batch. The population's mean and variance
    are accumulated in float64 in one pass, and take the place of the moving ones:
    $Var = \\sum_b n_b (v_b + m_b^2) / n - m^2$.

    It changes nothing else: no weight, optimizer state, seed or compiled function. Where it fails, it changes
    nothing at all. Layers with `trainable=False` keep their statistics, with a warning.

    Args:
        model: A built Keras model of any kind. Shared and nested layers, masks and mixed precision are taken care of.
        data: Rows like those in training: an array, a dict or list of arrays for several inputs, a tuple
            `(x, y)` whose `y` is not used, a `tf.data.Dataset`, a `keras.utils.PyDataset`, or any iterable of batches.
        update: `"both"` or `"variance"`. The paper updates the variance alone. Defaults to `"both"`.
        samples: Positive integer. How many rows to use; arrays are sampled evenly. Defaults to `8192`.
        batch_size: Positive integer. Rows in a batch, where `data` is not batched yet. The layers after the first
            BatchNormalization see inputs normalized by batches of this size. Defaults to `512`.
        validation_data: A tuple `(x, y)`, or a dataset, to evaluate before and after. Defaults to `None`.

    Returns:
        A `VarianceShift`: for each layer how far its moving statistics were off, and the metrics before and after.

    Raises:
        ValueError: If an argument is invalid, the model is not built, or `data` has no rows.

    Reference:

    - [Hendrycks and Gimpel, 2016](https://arxiv.org/abs/1607.02488)
    """
    if update not in ("both", "variance"):
        raise ValueError(
            f"Invalid value for argument `update`. Received: update={update!r}. Expected 'both' or 'variance'."
        )
    if validation_data is not None and not model.compiled:
        raise ValueError(
            "`validation_data` was given, and the model has no metrics to compare: it is not compiled. "
            "Call `model.compile(optimizer, loss, metrics)` first, or leave `validation_data` out."
        )
    populations, shift = _measure(model, data, samples, batch_size)
    before = _evaluate(model, validation_data)
    for layer, population in populations:
        _assign(layer, population, update)
    return VarianceShift(shift.layers, shift.samples, before, _evaluate(model, validation_data))


def variance_shift(model: keras.Model, data: Any, *, samples: int = 8192, batch_size: int = 512) -> VarianceShift:
    """Measures how far the moving statistics of every BatchNormalization are from those without dropout.

    Use it to decide whether `recalibrate` is worth its while: a variance ratio near 1 says that it is not. Nothing
    in the model changes.

    Args:
        model: As for `recalibrate`.
        data: As for `recalibrate`.
        samples: As for `recalibrate`.
        batch_size: As for `recalibrate`.

    Returns:
        A `VarianceShift`.

    Raises:
        ValueError: If an argument is invalid, the model is not built, or `data` has no rows.

    Reference:

    - [Li et al., 2019](https://arxiv.org/abs/1801.05134)
    """
    return _measure(model, data, samples, batch_size)[1]


class _Population:
    """Mean and variance over batches, by the law of total variance."""

    def __init__(self) -> None:
        self.count = self.first = self.second = np.float64(0.0)

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


def _measure(
    model: keras.Model, data: Any, samples: int, batch_size: int
) -> tuple[list[tuple[BatchNormalization, _Population]], VarianceShift]:
    _check(model, samples, batch_size)
    layers = _layers(model)
    populations = [(layer, _Population()) for layer in layers]
    rows = 0
    with contextlib.ExitStack() as stack:
        for layer, population in populations:
            stack.enter_context(_collecting(layer, population.add))
        for x, count in batches(data, samples, batch_size) if layers else ():
            model(x, training=False)
            rows += count
    if layers and not rows:
        raise ValueError(
            "`data` has no rows. Expected arrays, a dataset or an iterable of batches that is not exhausted."
        )
    seen = [(layer, population) for layer, population in populations if np.all(population.count > 0)]
    return seen, VarianceShift(tuple(_shift(layer, population) for layer, population in seen), rows)


def _check(model: keras.Model, samples: int, batch_size: int) -> None:
    for name, value in (("samples", samples), ("batch_size", batch_size)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(
                f"Invalid value for argument `{name}`. Received: {name}={value!r}. Expected a positive integer."
            )
    if not model.built:
        raise ValueError(
            f"The model '{model.name}' is not built, so it has no statistics yet. Call it on a batch, build it or fit "
            "it first."
        )


def _layers(model: keras.Model) -> list[BatchNormalization]:
    found = {id(layer): layer for layer in model._flatten_layers() if isinstance(layer, BatchNormalization)}
    frozen = [layer for layer in found.values() if not layer.trainable]
    if frozen:
        warnings.warn(
            f"{', '.join(layer.name for layer in frozen)}: frozen (trainable=False), so the statistics stay as they "
            "are. Unfreeze the layers to have them taken again.",
            KregtoolsWarning,
            stacklevel=4,
        )
    return [layer for layer in found.values() if layer.trainable and layer.built]


@contextlib.contextmanager
def _collecting(layer: BatchNormalization, collect: Callable[[BatchMoments], None]) -> Iterator[None]:
    if isinstance(layer, DropoutAwareBatchNormalization):
        with layer.collecting(collect):
            yield
        return

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        outputs, moments = normalize_by_batch(layer, inputs, mask)
        collect(moments)
        return outputs

    object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")


def _assign(layer: BatchNormalization, population: _Population, update: str) -> None:
    if update == "both":
        layer.moving_mean.assign(population.mean)
    layer.moving_variance.assign(population.variance)
    if getattr(layer, "renorm", False):
        layer.moving_stddev.assign(np.sqrt(population.variance + layer.epsilon))


def _shift(layer: BatchNormalization, population: _Population) -> LayerShift:
    mean, variance = (
        np.asarray(keras.ops.convert_to_numpy(value), "float64") for value in (layer.moving_mean, layer.moving_variance)
    )
    ratio = (variance + layer.epsilon) / (population.variance + layer.epsilon)
    distance = np.abs(mean - population.mean) / np.sqrt(population.variance + layer.epsilon)
    worst = ratio[np.argmax(np.abs(np.log(ratio)))]
    return LayerShift(layer.path or layer.name, float(np.median(ratio)), float(worst), float(np.median(distance)))


def _evaluate(model: keras.Model, validation_data: Any) -> dict[str, float]:
    if validation_data is None:
        return {}
    arguments = validation_data if isinstance(validation_data, tuple) else (validation_data,)
    names = ("x", "y", "sample_weight")
    return model.evaluate(**dict(zip(names, arguments, strict=False)), verbose=0, return_dict=True)
