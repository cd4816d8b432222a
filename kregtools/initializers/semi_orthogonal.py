"""Orthogonal matrices that lose no signal where a layer widens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from kregtools._numbers import positive_number
from kregtools.initializers.kernel_initializer import KernelInitializer, KernelLayout


@keras.saving.register_keras_serializable(package="kregtools")
class SemiOrthogonal(KernelInitializer):
    r"""Initializer of orthogonal kernels whose outputs have the variance of the inputs, whatever the shape.

    `keras.initializers.Orthogonal` makes columns of norm 1 where a layer narrows, and rows of norm 1 where it widens:
    there each output has only the share $n_{in}/n_{out}$ of the variance. Here the columns have the norm `gain`, as
    the root of their mean square where a layer widens:

    $$W = g \max(1, \sqrt{n_{out}/n_{in}})\; Q$$

    with Q orthogonal, so that unit variance at the inputs is the variance $g^2$ at the outputs; where a layer widens,
    in the mean over them.

    Use it where `Orthogonal` is used. With `gain=kregtools.initializers.gain("relu")` it makes up for a relu before
    the kernel; `DropoutAware` does that, and makes up for dropout.

    Args:
        gain: Positive float. The norm of the columns. Defaults to `1.0`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. As for Keras' own initializers. Defaults to `None`.
        input_axes: See `DropoutAware`.
        output_axes: See `DropoutAware`.

    Raises:
        ValueError: If `gain` is not above 0, or a shape is not that of a kernel.

    Example:

    ```python
    initializers = kregtools.initializers
    keras.layers.Dense(256, kernel_initializer=initializers.SemiOrthogonal(initializers.gain("relu")))
    ```

    Reference:

    - [Saxe et al., 2014](https://arxiv.org/abs/1312.6120)
    """

    def __init__(
        self,
        gain: float = 1.0,
        seed: int | keras.random.SeedGenerator | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed, input_axes, output_axes)
        self.gain = positive_number("gain", gain)

    def values(self, layout: KernelLayout, dtype: str) -> Any:
        widening = layout.size(layout.units) / layout.fan_in
        return layout.kernel(self.orthogonal(layout, dtype) * self.gain * math.sqrt(max(1.0, widening)))

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, **super().get_config()}
