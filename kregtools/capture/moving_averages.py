"""How far the moving averages of batch normalizations are behind what the batches have."""

from __future__ import annotations

import keras
import numpy as np

from kregtools.capture.names import named_layers
from kregtools.record import Key

Averages = tuple[np.ndarray, np.ndarray]


class MovingAverages:
    """Reads the averages between epochs, and infers what the batches of an epoch had.

    An average v of momentum m that was v0 is, n batches later, v1 = mⁿ v0 + (1 - mⁿ) b, where b is what those batches
    had, the later ones weighing more. So b = (v1 - mⁿ v0) / (1 - mⁿ), without a look at any batch.

    Args:
        model: The model that is trained.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._before = self._read()

    def lag(self, steps: int) -> dict[Key, float]:
        """By which factor variances, and by how many standard deviations means, are off after so many more steps.

        The median over the channels of each layer; what cannot be told of any channel is left out.
        """
        before, self._before = self._before, self._read()
        found: dict[Key, float] = {}
        for name, layer in self._norms():
            if name not in before or not _follows(layer) or steps < 1:
                continue
            kept = layer.momentum**steps
            (mean, variance), (old_mean, old_variance) = self._before[name], before[name]
            batch_mean, batch_variance = _inferred(mean, old_mean, kept), _inferred(variance, old_variance, kept)
            told = (variance > 0) & (batch_variance > 0) & np.isfinite(batch_mean + batch_variance)
            if told.any():
                ratios, shifts = batch_variance[told] / variance[told], (batch_mean - mean)[told]
                found[name, "moving_variance", "lag"] = float(np.exp(np.median(np.abs(np.log(ratios)))))
                found[name, "moving_mean", "lag"] = float(np.median(np.abs(shifts) / np.sqrt(variance[told])))
        return found

    def _norms(self) -> list[tuple[str, keras.layers.BatchNormalization]]:
        kind = keras.layers.BatchNormalization
        return [(name, layer) for name, layer in named_layers(self._model) if isinstance(layer, kind) and layer.built]

    def _read(self) -> dict[str, Averages]:
        return {name: (_numbers(layer.moving_mean), _numbers(layer.moving_variance)) for name, layer in self._norms()}


def _follows(layer: keras.layers.BatchNormalization) -> bool:
    """Whether the layer normalizes by the batch in training, and its averages follow; with `renorm`, it uses both."""
    return layer.trainable and not layer.renorm and 0.0 < layer.momentum < 1.0


def _inferred(after: np.ndarray, before: np.ndarray, kept: float) -> np.ndarray:
    return (after - kept * before) / (1.0 - kept)


def _numbers(variable: keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), dtype="float64")
