"""Few connections for each unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kregtools._numbers import positive_number, share
from kregtools.initializers.kernel_initializer import KernelInitializer, KernelLayout


@keras.saving.register_keras_serializable(package="kregtools")
class Sparse(KernelInitializer):
    r"""Initializer that connects each unit to a few inputs only, chosen at random.

    Every output has the same number of weights that are not zero, $k = n_{in} - \lceil s\, n_{in} \rceil$ and at
    least one, drawn from a normal distribution. Units then differ more from each other than with many small weights,
    and the sum into a unit does not depend on the width of the layer before.

    Args:
        sparsity: Float, at least 0 and below 1. The share s of the weights into each unit that is zero. Defaults to
            `0.9`.
        stddev: Positive float or `None`. The standard deviation of the others. Defaults to `None`:
            $1/\sqrt{k}$, which keeps the variance of the inputs.
        seed: Integer, `keras.random.SeedGenerator` or `None`. As for Keras' own initializers. Defaults to `None`.
        input_axes: See `DropoutAware`.
        output_axes: See `DropoutAware`.

    Raises:
        ValueError: If an argument is not one of the above, or a shape is not that of a kernel.

    Example:

    ```python
    keras.layers.Dense(256, activation="tanh", kernel_initializer=kregtools.initializers.Sparse(0.9))
    ```

    Reference:

    - [Martens, 2010](https://www.cs.toronto.edu/~jmartens/docs/Deep_HessianFree.pdf), section 5
    """

    def __init__(
        self,
        sparsity: float = 0.9,
        stddev: float | None = None,
        seed: int | keras.random.SeedGenerator | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed, input_axes, output_axes)
        self.sparsity = share("sparsity", sparsity, "the share of zeros, a number from 0 to below 1")
        self.stddev = (
            None
            if stddev is None
            else positive_number("stddev", stddev, "a number above 0, or None to keep the variance")
        )

    def values(self, layout: KernelLayout, dtype: str) -> Any:
        kept = max(1, layout.fan_in - math.ceil(self.sparsity * layout.fan_in))
        std = self.stddev or 1 / math.sqrt(kept)
        shape = (layout.size(layout.stacked), layout.fan_in, layout.size(layout.units))
        # One draw for both: a second one from the same integer seed would repeat the first.
        drawn = keras.random.normal((2, *shape), seed=self.seed, dtype=dtype)
        rank: Any = ops.argsort(ops.argsort(drawn[0], axis=1), axis=1)
        return layout.kernel(ops.where(rank < kept, drawn[1] * std, ops.zeros_like(drawn[1])))

    def get_config(self) -> dict[str, Any]:
        return {"sparsity": self.sparsity, "stddev": self.stddev, **super().get_config()}
