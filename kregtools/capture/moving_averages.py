"""How far the moving averages of batch normalizations are behind what the batches have."""

from __future__ import annotations

import keras
import numpy as np

from kregtools.capture.names import named_layers
from kregtools.record import Key

Averages = tuple[np.ndarray, np.ndarray]
# Of a float32, relative, in each update.
ROUNDING = 2.0**-24


class MovingAverages:
    """Reads the averages at both ends of an epoch, and infers what its batches had.

    An average v of momentum m that was v0 is, n updates later, v1 = mⁿ v0 + (1 - mⁿ) b, where b is what those batches
    had, the later ones weighing more. So b = (v1 - mⁿ v0) / (1 - mⁿ), without a look at any batch. It takes one update
    a step, and tells of epochs that are not much longer than the 1 / (1 - m) steps that an average remembers: after
    far more, v1 is b whatever the weights do.

    Args:
        model: The model that is trained.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._before: dict[str, Averages] = {}

    def begin(self) -> None:
        """Reads the averages as an epoch begins, after whatever has put others there."""
        self._before = self._read()

    def lag(self, steps: int) -> dict[Key, float]:
        """By which factor variances, and by how many standard deviations means, are off after so many steps.

        The median over the channels of each layer, with the layer's epsilon, as it normalizes. Channels whose variance
        is lost in the rounding of the average are left out, and so are layers that have no others.
        """
        before, after = self._before, self._read()
        found: dict[Key, float] = {}
        for name, layer in self._norms():
            if name not in before or not _follows(layer) or steps < 1:
                continue
            kept = layer.momentum**steps
            (mean, variance), (old_mean, old_variance) = after[name], before[name]
            batch_mean, batch_variance = _inferred(mean, old_mean, kept), _inferred(variance, old_variance, kept)
            rounding = steps * ROUNDING * np.maximum(variance, old_variance) / (1.0 - kept)
            told = np.isfinite(batch_mean + batch_variance) & (batch_variance > rounding)
            if told.any():
                scale, shifts = variance[told] + layer.epsilon, np.abs(batch_mean - mean)[told]
                ratios = (batch_variance[told] + layer.epsilon) / scale
                found[name, "moving_variance", "lag"] = float(np.exp(np.median(np.abs(np.log(ratios)))))
                found[name, "moving_mean", "lag"] = float(np.median(shifts / np.sqrt(scale)))
        return found

    def _norms(self) -> list[tuple[str, keras.layers.BatchNormalization]]:
        kind = keras.layers.BatchNormalization
        return [(name, layer) for name, layer in named_layers(self._model) if isinstance(layer, kind) and layer.built]

    def _read(self) -> dict[str, Averages]:
        return {name: (_numbers(layer.moving_mean), _numbers(layer.moving_variance)) for name, layer in self._norms()}


def _follows(layer: keras.layers.BatchNormalization) -> bool:
    """Whether the layer normalizes by the batch in training, and its averages follow; with `renorm`, it uses both."""
    return layer.trainable and not getattr(layer, "renorm", False) and 0.0 < layer.momentum < 1.0


def _inferred(after: np.ndarray, before: np.ndarray, kept: float) -> np.ndarray:
    return (after - kept * before) / (1.0 - kept)


def _numbers(variable: keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), dtype="float64")
