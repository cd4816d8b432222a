"""Convolutions that start as the identity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kregtools._numbers import integer
from kregtools.initializers.centre import at_centre
from kregtools.initializers.kernel_initializer import check_kernel_shape


@keras.saving.register_keras_serializable(package="kregtools")
class Dirac(keras.initializers.Initializer):
    """Initializer of convolutions that hand on their input: output channel i is input channel i.

    Where there are more filters than input channels, the others start at zero; where there are fewer, the last input
    channels are left out. The layer must use padding "same" and stride 1 to hand on the whole input.

    Args:
        groups: Positive integer. The `groups` of the convolution; each group hands on its own channels. Defaults to
            `1`.

    Raises:
        ValueError: If `groups` is not a positive integer that divides the filters, or a shape is not that of a
            convolution.

    Example:

    ```python
    keras.layers.Conv2D(64, 3, padding="same", kernel_initializer=kregtools.initializers.Dirac())
    ```

    Reference:

    - [Zagoruyko and Komodakis, 2017](https://arxiv.org/abs/1706.00388)
    """

    def __init__(self, groups: int = 1) -> None:
        self.groups = integer("groups", groups, expected="the groups of the convolution, a positive integer")

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        shape = check_kernel_shape("Dirac", shape, least=3)
        inputs, outputs = shape[-2:]
        if outputs % self.groups:
            raise ValueError(
                f"{outputs} filters are not {self.groups} groups of equal size. Received: shape={shape}, "
                f"groups={self.groups}. Expected the `groups` of the convolution."
            )
        matrix = np.tile(np.eye(inputs, outputs // self.groups), self.groups)
        return at_centre(shape, matrix, keras.backend.standardize_dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        return {"groups": self.groups}
