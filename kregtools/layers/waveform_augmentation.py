"""What the augmentation layers for sound share."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kregtools.layers.augmentation import Augmentation


class WaveformAugmentation(Augmentation):
    """A change of sound given as samples over time, the same for all channels of a waveform."""

    ranks = (1, 2, 3)
    layout = "waveforms, (batch, samples), (batch, samples, channels) or (samples,)"

    def change(self, waves: Any) -> Any:
        """The waveforms, (batch, samples, channels) in float32, each changed in its own way."""
        raise NotImplementedError

    def augment(self, batch: Any) -> Any:
        mono = len(batch.shape) == 2
        waves: Any = ops.cast(batch, "float32")
        changed = self.change(waves[..., None] if mono else waves)
        return ops.cast(changed[..., 0] if mono else changed, batch.dtype)

    def drawn(self, waves: Any, ends: tuple[float, float]) -> Any:
        """A number between the ends for each waveform."""
        shape: Any = ops.shape(waves)
        return keras.random.uniform((shape[0],), *ends, dtype="float32", seed=self.seed_generator)


def rows_of(values: Any, index: Any) -> Any:
    """The rows of a table at an index of its own for each of the batch."""
    shape: Any = ops.shape(values)
    starts: Any = ops.arange(shape[0], dtype="int32") * shape[1]
    rows = ops.reshape(values, (-1, shape[2]))
    return ops.take(rows, starts[:, None] + index, axis=0)
