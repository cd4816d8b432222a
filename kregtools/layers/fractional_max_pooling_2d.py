"""Max pooling by a factor that is no integer."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from kregtools._numbers import is_number
from kregtools.layers.arguments import checked_data_format


@keras.saving.register_keras_serializable(package="kregtools")
class FractionalMaxPooling2D(keras.layers.Layer):
    r"""Max pooling that makes height and width smaller by a factor such as 1.4, over regions drawn at random.

    Height and width become $n = \lfloor N / \mathtt{pool\_ratio} \rfloor$. The edges of the n regions are

    $$e_i = \left\lfloor \frac{i N + s}{n} \right\rfloor, \qquad s \sim \mathrm{Uniform}\{0, \dots, n - 1\}$$

    (pseudo-random), or steps of the same lengths in random order (random). Regions are as long as N / n, rounded down
    or up: 1 or 2 for ratios up to 2, where N divides well. The edges of rows and columns are drawn at each call in
    training, for the whole batch. A network can so be made deeper with pooling as gentle as one likes, and the random
    regions are a regularizer.

    At inference they are fixed at $s = \lfloor n / 2 \rfloor$, evenly spaced. The paper also averages predictions
    over several draws: for that call the model with `training=True` some times, where it has no other noise.

    Args:
        pool_ratio: Number, or a pair for height and width, of at least 1. The paper has $\sqrt 2$, 1.5 and the like;
            2 and more works too. Defaults to `1.4142`.
        pseudo_random: Boolean. Whether to draw the edges pseudo-randomly, which shifts and stretches the image evenly,
            or in random order, which distorts it: the paper found the latter to underfit next to dropout or data
            augmentation. Defaults to `True`.
        overlapping: Boolean. Whether a region includes the first row or column of the next, which the paper found
            better. Defaults to `True`.
        seed: Integer, or `None` for a random seed. Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras' own.
        **kwargs: As for `keras.layers.Layer`.

    Call arguments:
        inputs: Images or feature maps.
        training: Boolean. Whether to draw the regions.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` for `"channels_first"`.

    Output shape:
        The same, with height and width divided by the ratio and rounded down.

    Raises:
        ValueError: If an argument is not as above, the input does not have four axes, or is smaller than the ratio.

    Example:

    ```python
    for filters in (32, 64, 96, 128, 160, 192):
        x = keras.layers.Conv2D(filters, 2, activation="leaky_relu")(x)
        x = kregtools.layers.FractionalMaxPooling2D(2 ** 0.5)(x)
    ```

    Reference:

    - [Graham, 2014](https://arxiv.org/abs/1412.6071)
    """

    def __init__(
        self,
        pool_ratio: float | tuple[float, float] = 1.4142,
        pseudo_random: bool = True,
        overlapping: bool = True,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_ratio = _ratios(pool_ratio)
        self.pseudo_random = pseudo_random
        self.overlapping = overlapping
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.data_format = checked_data_format(data_format)

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        self.compute_output_shape(inputs.shape)
        outputs = inputs
        for axis, ratio in zip(self._axes(), self.pool_ratio, strict=True):
            outputs = self._pooled(outputs, axis, ratio, bool(training))
        return outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        shape = list(input_shape)
        if len(shape) != 4:
            raise ValueError(
                f"FractionalMaxPooling2D takes a batch of images, with four axes. Received: shape {tuple(shape)}."
            )
        for axis, ratio in zip(self._axes(), self.pool_ratio, strict=True):
            size = shape[axis]
            if size is not None and size < ratio:
                raise ValueError(
                    f"The input is too small to be pooled by pool_ratio={self.pool_ratio}: nothing would be left. "
                    f"Received: shape {tuple(input_shape)}, with data_format='{self.data_format}'."
                )
            shape[axis] = None if size is None else math.floor(size / ratio)
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_ratio": self.pool_ratio,
            "pseudo_random": self.pseudo_random,
            "overlapping": self.overlapping,
            "seed": self.seed,
            "data_format": self.data_format,
        }

    def _axes(self) -> tuple[int, int]:
        return (2, 3) if self.data_format == "channels_first" else (1, 2)

    def _pooled(self, inputs: Any, axis: int, ratio: float, training: bool) -> Any:
        """The maxima over the regions of one axis: over the first element of each, the second, and so on."""
        shape: Any = ops.shape(inputs)
        size, regions, longest = _lengths(shape[axis], ratio)
        edges: Any = self._edges(size, regions, training)
        last = ops.minimum(edges[1:], size - 1) if self.overlapping else edges[1:] - 1
        outputs = ops.take(inputs, edges[:-1], axis=axis)
        for step in range(1, longest + self.overlapping):
            outputs = ops.maximum(outputs, ops.take(inputs, ops.minimum(edges[:-1] + step, last), axis=axis))
        return outputs

    def _edges(self, size: Any, regions: Any, training: bool) -> Any:
        """Where each region begins, and where the last one ends."""
        if training and not self.pseudo_random:
            longer: Any = ops.arange(regions, dtype="int32") < size % regions
            steps = size // regions + ops.cast(keras.random.shuffle(longer, seed=self.seed_generator), "int32")
            return ops.concatenate([ops.zeros((1,), "int32"), ops.cast(ops.cumsum(steps), "int32")])
        start = keras.random.randint((), 0, regions, seed=self.seed_generator) if training else regions // 2
        places: Any = ops.arange(regions + 1, dtype="int32")
        return (places * size + start) // regions


def _lengths(size: Any, ratio: float) -> tuple[Any, Any, int]:
    """The size of an axis, how many regions it gets, and how long the longest of them may be."""
    if isinstance(size, int):
        regions = math.floor(size / ratio)
        return size, regions, math.ceil(size / regions)
    # Known to the graph when it runs only; with one region more than there are, all would be shorter than the ratio.
    exact: Any = ops.cast(size, "float64")
    return size, ops.cast(ops.floor(exact / ratio), "int32"), math.ceil(2 * ratio)


def _ratios(pool_ratio: Any) -> tuple[float, float]:
    pair = tuple(pool_ratio) if isinstance(pool_ratio, (tuple, list)) else (pool_ratio, pool_ratio)
    if len(pair) != 2 or not all(is_number(ratio) and 1 <= ratio < math.inf for ratio in pair):
        raise ValueError(
            f"Invalid value for argument `pool_ratio`. Received: pool_ratio={pool_ratio!r}. Expected a number of at "
            "least 1, or a pair of them for height and width."
        )
    return float(pair[0]), float(pair[1])
