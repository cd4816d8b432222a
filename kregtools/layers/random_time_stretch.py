"""Waveforms played faster or slower."""

from __future__ import annotations

from typing import Any

import keras

from kregtools.layers.arguments import number_pair
from kregtools.layers.phase_vocoder import VocoderAugmentation, stretched


@keras.saving.register_keras_serializable(package="kregtools")
class RandomTimeStretch(VocoderAugmentation):
    """Plays a waveform faster or slower at the same pitch, by a draw for each.

    The length stays the same: what is faster ends in silence, of what is slower the end is cut. This is a phase
    vocoder: tones stay clean, and sharp attacks are blurred over a frame. A gradient takes the phases as given.

    `training` is `True` where nothing says otherwise, as in Keras' own preprocessing layers: map the layer over a
    `tf.data` dataset with TensorFlow, or put it first in a model, where `fit` trains and `predict` leaves the sound
    alone. A model called without `training`, or exported, augments as well, as with Keras' own: export one without the
    layer.

    Args:
        rate: Pair of numbers, or one: the speed is drawn evenly between the two. 2 is twice as fast. Defaults to
            `(0.8, 1.25)`.
        frame_length: Integer, a multiple of 4: the length of a frame in samples. The default suits a sampling rate
            of 16 kHz; at 44.1 kHz take 2048. Defaults to `1024`.
        seed: Integer, or `None` for a random seed. Defaults to `None`.
        **kwargs: As for `keras.layers.Layer`.

    Input shape:
        Waveforms, `(batch, samples)` or `(batch, samples, channels)`, or one `(samples,)`. The number of samples must
        be known, and more than half a frame.

    Output shape:
        The same as the input shape.

    Raises:
        ValueError: If an argument is not as above, the rate not from 0.1 to 10, or the input has other axes.

    Example:

    ```python
    augment = kregtools.layers.RandomTimeStretch((0.9, 1.1))
    train = train.map(lambda waves, label: (augment(waves), label))
    ```

    Reference:

    - [Laroche and Dolson, 1999](https://doi.org/10.1109/89.759041)
    """

    def __init__(
        self,
        rate: float | tuple[float, float] = (0.8, 1.25),
        frame_length: int = 1024,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(frame_length, seed, **kwargs)
        self.rate = number_pair("rate", rate, 0.1, 10)

    def change_mono(self, apart: Any, for_channels: Any, waves: Any) -> Any:
        return stretched(apart, for_channels(self.drawn(waves, self.rate)), apart.shape[1], self.frame_length)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
