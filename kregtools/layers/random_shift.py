"""Waveforms moved in time."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kregtools.layers.arguments import number_pair
from kregtools.layers.waveform_augmentation import WaveformAugmentation, rows_of


@keras.saving.register_keras_serializable(package="kregtools")
class RandomShift(WaveformAugmentation):
    """Moves a waveform in time by whole samples, earlier or later, by a draw for each.

    `training` is `True` where nothing says otherwise, as in Keras' own preprocessing layers: map the layer over a
    `tf.data` dataset with TensorFlow, or put it first in a model, where `fit` trains and `predict` leaves the sound
    alone. A model called without `training`, or exported, augments as well, as with Keras' own: export one without the
    layer.

    Args:
        shift: Number from 0 to 1: the most that a waveform is moved, as a share of its length, either way; or a pair of
            numbers from -1 to 1 to draw between, of which those above 0 make it later. Defaults to `0.1`.
        fill_mode: `"constant"`: silence comes in, or `"wrap"`: what goes out at one end comes in at the other. Defaults
            to `"constant"`.
        seed: Integer, or `None` for a random seed. Defaults to `None`.
        **kwargs: As for `keras.layers.Layer`.

    Input shape:
        Waveforms, `(batch, samples)` or `(batch, samples, channels)`, or one `(samples,)`.

    Output shape:
        The same as the input shape.

    Raises:
        ValueError: If an argument is not as above, or the input has other axes.

    Example:

    ```python
    augment = kregtools.layers.RandomShift(0.2)
    train = train.map(lambda waves, label: (augment(waves), label))
    ```
    """

    def __init__(
        self,
        shift: float | tuple[float, float] = 0.1,
        fill_mode: str = "constant",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.shift = number_pair("shift", shift, -1, 1, mirrored=True)
        if fill_mode not in ("constant", "wrap"):
            raise ValueError(
                f"Invalid value for argument `fill_mode`. Received: fill_mode={fill_mode!r}. Expected 'constant' or "
                "'wrap'."
            )
        self.fill_mode = fill_mode

    def change(self, waves: Any) -> Any:
        shape: Any = ops.shape(waves)
        length = shape[1]
        moved: Any = ops.cast(ops.round(self.drawn(waves, self.shift) * ops.cast(length, "float32")), "int32")
        index: Any = ops.arange(length, dtype="int32") - moved[:, None]
        values = rows_of(waves, index % length)
        if self.fill_mode == "wrap":
            return values
        inside: Any = ops.logical_and(index >= 0, index < length)
        return ops.where(inside[..., None], values, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "shift": self.shift, "fill_mode": self.fill_mode}
