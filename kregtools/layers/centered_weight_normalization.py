"""Kernels with centered columns of a fixed norm."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from kregtools._intact import replaced
from kregtools._numbers import positive_number
from kregtools.initializers.kernels import Kernel, kernel_of
from kregtools.layers.replaced_values import call_with


@keras.saving.register_keras_serializable(package="kregtools")
class CenteredWeightNormalization(keras.layers.Wrapper):
    r"""Gives the weights into each unit of a layer mean zero and a fixed norm.

    The layer inside uses

    $$w = g \frac{v - \bar v}{\lVert v - \bar v \rVert}$$

    for each output unit, where v is the kernel that is trained, and the mean and the norm are taken over the unit's
    inputs. The gradient goes through this, so that a step cannot change the norm or the mean, and inputs with a
    common mean, as after a relu, do not reach the units. It takes part of the work of BatchNormalization, with no
    statistics of batches, and no difference between training and inference.

    A regularizer of the layer's kernel acts on v, whose length has no effect: leave L2 out.

    Args:
        layer: A `Dense`, `EinsumDense` or convolution layer.
        gain: Positive float. The norm g of the weights into a unit, at the start; $\sqrt 2$ makes up for a relu.
            Defaults to $\sqrt 2$.
        trainable_gain: Boolean. Whether to train g, one for each unit. Defaults to `False`.
        epsilon: Positive float. The norm of $v - \bar v$ is taken to be at least this. Defaults to `1e-5`.
        **kwargs: As for `keras.layers.Wrapper`.

    Input shape:
        As for the layer.

    Output shape:
        As for the layer.

    Raises:
        ValueError: If the layer has no such kernel, or only one input for each unit.

    Example:

    ```python
    model = keras.Sequential([
        kregtools.layers.CenteredWeightNormalization(keras.layers.Dense(128, activation="relu")),
        keras.layers.Dense(10),
    ])
    ```

    Reference:

    - [Huang et al., 2017](https://openaccess.thecvf.com/content_ICCV_2017/papers/Huang_Centered_Weight_Normalization_ICCV_2017_paper.pdf)
    """

    def __init__(
        self,
        layer: keras.Layer,
        gain: float = math.sqrt(2),
        trainable_gain: bool = False,
        epsilon: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(layer, **kwargs)
        self.gain = positive_number("gain", gain)
        self.trainable_gain = trainable_gain
        self.epsilon = positive_number("epsilon", epsilon)
        self.supports_masking = layer.supports_masking

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        kernel = self._kernel()
        inputs = math.prod(kernel.variable.shape[axis] for axis in kernel.input_axes)
        if inputs < 2:
            raise ValueError(
                f"Weights that are centered need company: each unit of '{self.layer.name}' has one input. Received: a "
                f"kernel of shape {tuple(kernel.variable.shape)}. Expected at least two inputs."
            )
        self.scale = self.add_weight(
            shape=kernel.channels,
            initializer=keras.initializers.Constant(self.gain),
            trainable=self.trainable_gain,
            name="gain",
        )

    def call(self, inputs: Any, **kwargs: Any) -> Any:
        return call_with(self.layer, {id(self._kernel().variable): self.normalized_kernel()}, inputs, **kwargs)

    def normalized_kernel(self) -> Any:
        """The kernel that the layer uses."""
        kernel = self._kernel()
        axes = kernel.input_axes
        # Read in half precision, a kernel may overflow.
        with replaced(kernel.variable, "_autocast", False):
            values: Any = ops.cast(kernel.variable.value, "float32")
        centered = values - ops.mean(values, axis=axes, keepdims=True)
        squares = ops.sum(ops.square(centered), axis=axes, keepdims=True)
        scale = ops.expand_dims(ops.cast(self.scale.value, "float32"), axes)
        normalized = scale * centered * ops.rsqrt(ops.maximum(squares, self.epsilon**2))
        return ops.cast(normalized, kernel.variable.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return self.layer.compute_mask(inputs, previous_mask)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "gain": self.gain,
            "trainable_gain": self.trainable_gain,
            "epsilon": self.epsilon,
        }

    def _kernel(self) -> Kernel:
        kernel = kernel_of(self.layer)
        if kernel is None:
            raise ValueError(
                f"The layer '{self.layer.name}' has no kernel that can be normalized. Received: a "
                f"{type(self.layer).__name__}. Expected a Dense, EinsumDense or convolution layer."
            )
        return kernel
