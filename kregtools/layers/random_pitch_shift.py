"""Waveforms made higher or deeper."""

from __future__ import annotations

from typing import Any

import keras

from kregtools.layers.arguments import number_pair
from kregtools.layers.phase_vocoder import VocoderAugmentation, repitched


@keras.saving.register_keras_serializable(package="kregtools")
class RandomPitchShift(VocoderAugmentation):
    r"""Makes a waveform higher or deeper at the same speed, by a draw for each.

    The waveform is slowed down or sped up by a phase vocoder, by the factor $2^{s / 12}$ for s semitones, and read at
    a speed that makes up for it. What would come to lie above half the sampling rate is left out. Formants move with
    the pitch. A gradient takes the phases as given.

    `training` is `True` where nothing says otherwise, as in Keras' own preprocessing layers: map the layer over a
    `tf.data` dataset with TensorFlow, or put it first in a model, where `fit` trains and `predict` leaves the sound
    alone. A model called without `training`, or exported, augments as well, as with Keras' own: export one without the
    layer.

    Args:
        semitones: Number s, for a shift drawn evenly from -s to s semitones, or a pair of numbers to draw between. 12
            is an octave. Defaults to `2.0`.
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
        ValueError: If an argument is not as above, the shift more than 24 semitones, or the input has other axes.

    Example:

    ```python
    augment = kregtools.layers.RandomPitchShift(3)
    train = train.map(lambda waves, label: (augment(waves), label))
    ```

    Reference:

    - [Laroche and Dolson, 1999](https://doi.org/10.1109/89.759041)
    """

    def __init__(
        self,
        semitones: float | tuple[float, float] = 2.0,
        frame_length: int = 1024,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(frame_length, seed, **kwargs)
        self.semitones = number_pair("semitones", semitones, -24, 24, mirrored=True)

    def change_mono(self, apart: Any, for_channels: Any, waves: Any) -> Any:
        return repitched(apart, for_channels(self.drawn(waves, self.semitones)), self.semitones[1], self.frame_length)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "semitones": self.semitones}
