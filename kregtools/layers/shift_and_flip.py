"""Crops of padded images and mirror images, drawn for each image."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kregtools._numbers import is_integer, refuse
from kregtools.layers.arguments import checked_data_format
from kregtools.layers.augmentation import Augmentation

FILL_MODES = ("constant", "nearest", "reflect", "wrap")


@keras.saving.register_keras_serializable(package="kregtools")
class ShiftAndFlip(Augmentation):
    r"""Shifts each image by whole pixels, and mirrors half of them: pad, crop and flip.

    This is the common augmentation of small images: with `shift=4` and the images of CIFAR-10 it is a crop of 32 × 32
    from the image padded by 4 at each side, and a horizontal flip. Every image has its own draw, where
    `keras.layers.RandomCrop` takes one place for the whole batch. Nothing is interpolated: pixels keep their values.
    `RandomTranslation` and `RandomFlip` take 2.3 times as long (quartiles 2.0 and 2.9 of 15 rounds, batches of
    256 × 32 × 32 × 3, 2 CPU cores with other work on them, 2026-11-21: `benchmarks/augmentation.py`).

    `training` is `True` where nothing says otherwise, as in Keras' own preprocessing layers: map the layer over a
    `tf.data` dataset with TensorFlow, or put it in a model, where `fit` trains and `predict` leaves the images alone. A
    model called without `training`, or exported, augments as well, as with Keras' own: export one without the layer.

    Args:
        shift: Non-negative integer, or a pair for height and width. An image is moved by up to so many pixels each
            way, all shifts equally likely. Defaults to `4`.
        flip: Boolean. Whether to mirror each image left to right with probability 1/2. Defaults to `True`.
        fill_mode: What comes in at the edges: `"constant"` (`fill_value`), `"nearest"` (the last pixel again),
            `"reflect"` (the image mirrored, its last pixel twice) or `"wrap"` (the other side). Defaults to
            `"constant"`.
        fill_value: Float. The value for `fill_mode="constant"`. Defaults to `0.0`.
        seed: Integer, or `None` for a random seed. Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras' own.
        **kwargs: As for `keras.layers.Layer`. With `dtype="uint8"` images of bytes stay bytes.

    Input shape:
        Images, `(batch, height, width, channels)` or one `(height, width, channels)`; for `"channels_first"` the
        channels stand before the height.

    Output shape:
        The same as the input shape.

    Raises:
        ValueError: If an argument is not as above, or the input is no image.

    Example:

    ```python
    augment = kregtools.layers.ShiftAndFlip(shift=4)
    train = train.map(lambda image, label: (augment(image), label), num_parallel_calls=tf.data.AUTOTUNE)

    model = keras.Sequential([keras.Input((32, 32, 3)), kregtools.layers.ShiftAndFlip(4), ...])
    ```

    Reference:

    - [Lee et al., 2015](https://arxiv.org/abs/1409.5185)
    - [He et al., 2016](https://arxiv.org/abs/1512.03385), section 4.2
    """

    ranks = (3, 4)
    layout = "images, (batch, height, width, channels) or without the batch, in the order of its `data_format`"

    def __init__(
        self,
        shift: int | tuple[int, int] = 4,
        flip: bool = True,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.shift = _pixels(shift)
        if fill_mode not in FILL_MODES:
            raise ValueError(
                f"Invalid value for argument `fill_mode`. Received: fill_mode={fill_mode!r}. Expected one of "
                f"{', '.join(FILL_MODES)}."
            )
        self.flip = flip
        self.fill_mode = fill_mode
        self.fill_value = fill_value
        self.data_format = checked_data_format(data_format)

    def augment(self, batch: Any) -> Any:
        first = self.data_format == "channels_first"
        shape: Any = ops.shape(batch)
        samples, height, width = (shape[0], *shape[2:]) if first else shape[:3]
        rows: Any = ops.arange(height, dtype="int32") + self._offsets(samples, self.shift[0])
        columns: Any = ops.arange(width, dtype="int32") + self._offsets(samples, self.shift[1])
        if self.flip:
            mirrored: Any = keras.random.uniform((samples, 1), dtype="float32", seed=self.seed_generator) < 0.5
            columns = ops.where(mirrored, width - 1 - columns, columns)
        if first:
            rows, columns = ops.repeat(rows, shape[1], axis=0), ops.repeat(columns, shape[1], axis=0)
        pixels = ops.reshape(batch, (-1, 1 if first else shape[3]))
        return ops.reshape(self._gather(pixels, rows, columns, height, width), shape)

    def _offsets(self, samples: Any, limit: int) -> Any:
        return keras.random.randint((samples, 1), -limit, limit + 1, seed=self.seed_generator)

    def _gather(self, pixels: Any, rows: Any, columns: Any, height: Any, width: Any) -> Any:
        """Pixels of all planes under one another, by the row and the column to read in each plane."""
        shape: Any = ops.shape(rows)
        planes: Any = ops.arange(shape[0], dtype="int32") * (height * width)
        lines = planes[:, None] + self._within(rows, height) * width
        values: Any = ops.take(pixels, lines[:, :, None] + ops.expand_dims(self._within(columns, width), 1), axis=0)
        if self.fill_mode != "constant":
            return values
        inside: Any = _inside(rows, height)[:, :, None] & _inside(columns, width)[:, None, :]
        return ops.where(inside[..., None], values, ops.cast(self.fill_value, values.dtype))

    def _within(self, index: Any, size: Any) -> Any:
        """The place to read for each index, also for those outside of the image."""
        if self.fill_mode == "wrap":
            return index % size
        if self.fill_mode == "reflect":
            index = index % (2 * size)
            return ops.minimum(index, 2 * size - 1 - index)
        return ops.clip(index, 0, size - 1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "shift": self.shift,
            "flip": self.flip,
            "fill_mode": self.fill_mode,
            "fill_value": self.fill_value,
            "data_format": self.data_format,
        }


def _inside(index: Any, size: Any) -> Any:
    return ops.logical_and(index >= 0, index < size)


def _pixels(shift: Any) -> tuple[int, int]:
    pair = shift if isinstance(shift, (tuple, list)) else (shift, shift)
    if len(pair) != 2 or not all(is_integer(end) and end >= 0 for end in pair):
        refuse("shift", shift, "a non-negative integer, or a pair of them for height and width")
    return int(pair[0]), int(pair[1])
