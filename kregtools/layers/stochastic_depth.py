"""Residual branches that are left out at random."""

from __future__ import annotations

from typing import Any

import keras

from kregtools._numbers import share


@keras.saving.register_keras_serializable(package="kregtools")
class StochasticDepth(keras.layers.Layer):
    r"""Leaves a residual branch out, for each sample of the batch by its own draw.

    Put it last in the branch, before the sum. In training the sample's branch is

    $$\frac{b}{1 - r} F(x), \qquad b \sim \mathrm{Bernoulli}(1 - r)$$

    so that it keeps its expectation, and at inference it is F(x). A deep network then trains as a mixture of shallow
    ones. The rate is best raised from near zero at the first branch to that of the last, in even steps: the first
    layers are what all others build on. Known as well as DropPath.

    Args:
        rate: Number from 0 to below 1. The probability that a sample does without the branch.
        seed: Integer, or `None` for a random seed. Defaults to `None`.
        **kwargs: As for `keras.layers.Layer`.

    Call arguments:
        inputs: The branch's output, of any rank; the first axis is that of the samples.
        training: Boolean. Whether to leave branches out. A mask of the inputs is handed on.

    Input shape:
        Any with a batch.

    Output shape:
        The same as the input shape.

    Raises:
        ValueError: If the rate is not in the range.

    Example:

    ```python
    depth = 12
    for block in range(depth):
        h = keras.layers.LayerNormalization()(x)
        h = keras.layers.Dense(256, activation="gelu")(h)
        h = keras.layers.Dense(64)(h)
        x = x + kregtools.layers.StochasticDepth(0.2 * (block + 1) / depth)(h)
    ```

    Reference:

    - [Huang et al., 2016](https://arxiv.org/abs/1603.09382)
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = share("rate", rate)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        if not training or not self.rate:
            return inputs
        of_each_sample = (None, *(1 for _ in inputs.shape[1:]))
        return keras.random.dropout(inputs, self.rate, noise_shape=of_each_sample, seed=self.seed_generator)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
