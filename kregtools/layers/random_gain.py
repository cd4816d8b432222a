"""Waveforms made louder or quieter."""

from __future__ import annotations

from typing import Any

import keras

from kregtools.layers.arguments import number_pair
from kregtools.layers.waveform_augmentation import WaveformAugmentation


@keras.saving.register_keras_serializable(package="kregtools")
class RandomGain(WaveformAugmentation):
    r"""Makes a waveform louder or quieter: $y = 10^{g / 20} x$, with g drawn for each.

    Nothing is clipped. `training` is `True` where nothing says otherwise, as in Keras' own preprocessing layers: map
    the layer over a `tf.data` dataset with TensorFlow, or put it first in a model, where `fit` trains and `predict`
    leaves the sound alone. A model called without `training`, or exported, augments as well, as with Keras' own: export
    one without the layer.

    Args:
        gain: Number g, for a gain drawn evenly from -g to g decibels, or a pair of numbers to draw between. Defaults
            to `6.0`.
        seed: Integer, or `None` for a random seed. Defaults to `None`.
        **kwargs: As for `keras.layers.Layer`.

    Input shape:
        Waveforms, `(batch, samples)` or `(batch, samples, channels)`, or one `(samples,)`.

    Output shape:
        The same as the input shape.

    Raises:
        ValueError: If the gain is no such number or pair up to 100 dB, or the input has other axes.

    Example:

    ```python
    augment = kregtools.layers.RandomGain((-12, 0))
    train = train.map(lambda waves, label: (augment(waves), label))
    ```
    """

    def __init__(self, gain: float | tuple[float, float] = 6.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        self.gain = number_pair("gain", gain, -100, 100, mirrored=True)

    def change(self, waves: Any) -> Any:
        factor: Any = 10.0 ** (self.drawn(waves, self.gain) / 20.0)
        return waves * factor[:, None, None]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gain": self.gain}
