"""Waveforms with noise."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kregtools.layers.arguments import number_pair
from kregtools.layers.waveform_augmentation import WaveformAugmentation


@keras.saving.register_keras_serializable(package="kregtools")
class RandomNoise(WaveformAugmentation):
    r"""Adds white Gaussian noise to a waveform, at a signal-to-noise ratio drawn for each.

    $$y = x + \sqrt{\overline{x^2}}\, 10^{-\mathrm{snr} / 20} n, \qquad n \sim N(0, 1)$$

    The mean square is over all of the waveform, silence and channels included; silence alone stays silent.

    `training` is `True` where nothing says otherwise, as in Keras' own preprocessing layers: map the layer over a
    `tf.data` dataset with TensorFlow, or put it first in a model, where `fit` trains and `predict` leaves the sound
    alone. A model called without `training`, or exported, augments as well, as with Keras' own: export one without the
    layer.

    Args:
        snr: Pair of numbers, or one: the signal-to-noise ratio in decibels is drawn evenly between the two. Defaults
            to `(10.0, 30.0)`.
        seed: Integer, or `None` for a random seed. Defaults to `None`.
        **kwargs: As for `keras.layers.Layer`.

    Input shape:
        Waveforms, `(batch, samples)` or `(batch, samples, channels)`, or one `(samples,)`.

    Output shape:
        The same as the input shape.

    Raises:
        ValueError: If the ratio is no such pair from -100 to 200, or the input has other axes.

    Example:

    ```python
    augment = kregtools.layers.RandomNoise(snr=(5, 20))
    train = train.map(lambda waves, label: (augment(waves), label))
    ```
    """

    def __init__(self, snr: float | tuple[float, float] = (10.0, 30.0), seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        self.snr = number_pair("snr", snr, -100, 200)

    def change(self, waves: Any) -> Any:
        noise: Any = keras.random.normal(ops.shape(waves), dtype="float32", seed=self.seed_generator)
        power = ops.mean(ops.square(ops.stop_gradient(waves)), axis=(1, 2), keepdims=True)
        ratio: Any = 10.0 ** (-self.drawn(waves, self.snr) / 20.0)
        return waves + ops.sqrt(power) * ratio[:, None, None] * noise

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "snr": self.snr}
