"""An initializer of zeros and ones that draws nothing at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kregtools.initializers.centre import at_centre
from kregtools.initializers.kernel_initializer import check_kernel_shape


@keras.saving.register_keras_serializable(package="kregtools")
class ZerO(keras.initializers.Initializer):
    r"""Initializer that is the identity, or a Hadamard matrix where a layer widens. It draws nothing at random.

    A layer with m inputs and n outputs starts as

    - the identity, where $m = n$, and the first n inputs, where $m > n$;
    - $I_{m,p}\, H_p\, I_{p,n} / \sqrt{p}$, where $m < n$, with $H_p$ the Hadamard matrix of size
      $p = 2^{\lceil \log_2 n \rceil}$: with a partial identity, the new units would start at zero and the rank of the
      kernels would stay limited. Where n is far above m, some units start equal, and the next layer has to tell
      them apart.

    The kernel of a convolution has this matrix at its centre, and zeros around it. Use it in residual networks, the
    last layer of each residual branch with `"zeros"`; two runs then differ only by the order of the data and by
    dropout.

    Raises:
        ValueError: If a shape is not that of a kernel.

    Example:

    ```python
    x = x + keras.layers.Dense(64, kernel_initializer="zeros")(
        keras.layers.Dense(64, activation="relu", kernel_initializer=kregtools.initializers.ZerO())(x)
    )
    ```

    Reference:

    - [Zhao et al., 2022](https://arxiv.org/abs/2110.12661); the factor is that of the authors' code.
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        shape = check_kernel_shape("ZerO", shape)
        inputs, outputs = shape[-2:]
        matrix = np.eye(inputs, outputs) if inputs >= outputs else _hadamard(inputs, outputs)
        return at_centre(shape, matrix, keras.backend.standardize_dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        return {}


def _hadamard(inputs: int, outputs: int) -> np.ndarray:
    """The first rows and columns of the orthonormal Hadamard matrix that is the smallest with so many columns."""
    # By Sylvester's construction the sign is that of how many bits the indices have in common.
    bits = np.arange(inputs)[:, None] & np.arange(outputs)
    for shift in (16, 8, 4, 2, 1):
        bits ^= bits >> shift
    return (1.0 - 2.0 * (bits & 1)) / math.sqrt(2 ** math.ceil(math.log2(outputs)))
