"""Convolutions that start as one orthogonal matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from kregtools._numbers import positive_number
from kregtools.initializers.centre import at_centre
from kregtools.initializers.kernel_initializer import KernelInitializer, KernelLayout, check_kernel_shape


@keras.saving.register_keras_serializable(package="kregtools")
class DeltaOrthogonal(KernelInitializer):
    """Initializer of convolutions: an orthogonal matrix at the kernel's centre, zeros around it.

    The convolution starts as the same rotation at every position, so that a signal keeps its norm however deep the
    network is; with it plain networks of thousands of tanh layers were trained. A layer that widens spreads the norm
    over more channels; one that narrows would lose some of it, and is refused.

    Args:
        gain: Positive float. The factor on the norm of a signal; `kregtools.initializers.gain("relu")` makes up for
            a relu before the kernel. Defaults to `1.0`.
        seed: Integer, `keras.random.SeedGenerator` or `None`. As for Keras' own initializers. Defaults to `None`.

    Raises:
        ValueError: If `gain` is not above 0, or a shape is not that of a convolution with at least as many outputs as
            inputs.

    Example:

    ```python
    keras.layers.Conv2D(64, 3, padding="same", activation="tanh", kernel_initializer="kregtools>DeltaOrthogonal")
    ```

    Reference:

    - [Xiao et al., 2018](https://arxiv.org/abs/1806.05393)
    """

    def __init__(self, gain: float = 1.0, seed: int | keras.random.SeedGenerator | None = None) -> None:
        super().__init__(seed)
        self.gain = positive_number("gain", gain)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        shape = check_kernel_shape("DeltaOrthogonal", shape, least=3)
        inputs, outputs = shape[-2:]
        if outputs < inputs:
            raise ValueError(
                f"DeltaOrthogonal keeps the norm of {inputs} channels, and {outputs} have no room for it. Received: "
                f"shape={shape}. Expected at least as many filters as input channels; use SemiOrthogonal where a "
                "layer narrows."
            )
        return super().__call__(shape, dtype)

    def values(self, layout: KernelLayout, dtype: str) -> Any:
        matrix = self.orthogonal(KernelLayout(layout.shape[-2:], (0,), (1,), layout.shape[-1]), dtype)[0]
        return at_centre(layout.shape, matrix * self.gain, dtype)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DeltaOrthogonal:
        # `EinsumDense` makes its initializer anew, and says which axes of the kernel are which.
        if "input_axes" in config:
            raise ValueError(
                "DeltaOrthogonal initializes kernels of convolutions. Received: the kernel of an EinsumDense, with "
                f"input_axes={config['input_axes']}. Use SemiOrthogonal there, and in MultiHeadAttention."
            )
        return cls(**config)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, "seed": super().get_config()["seed"]}
