"""The layers whose output is linear in one kernel, and where the channels stand in both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

layers = keras.layers
PLAIN = (layers.Dense, layers.Conv1D, layers.Conv2D, layers.Conv3D)
SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)


@dataclass(frozen=True)
class Kernel:
    """A layer's kernel: its output, before the activation, is linear in it.

    Attributes:
        layer: The layer.
        variable: The kernel.
        bias: The bias, if there is one for each channel.
        channel_axes: The axes of the kernel that tell the output's channels apart.
        output_axes: Where these stand in the output; one axis where the layer joins them into one.
    """

    layer: Any
    variable: Any
    bias: Any
    channel_axes: tuple[int, ...]
    output_axes: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.layer.path or self.layer.name

    @property
    def input_axes(self) -> tuple[int, ...]:
        return tuple(axis for axis in range(len(self.variable.shape)) if axis not in self.channel_axes)

    @property
    def channels(self) -> tuple[int, ...]:
        return tuple(self.variable.shape[axis] for axis in self.channel_axes)

    def by_channel(self, output: np.ndarray) -> np.ndarray:
        """The output as a table with a row for each position and a column for each channel."""
        last = range(-len(self.output_axes), 0)
        return np.moveaxis(output, self.output_axes, tuple(last)).reshape(-1, math.prod(self.channels))

    def along_inputs(self, values: np.ndarray) -> np.ndarray:
        """Values by channel in a shape that multiplies the kernel."""
        return np.expand_dims(values.reshape(self.channels), self.input_axes)


def kernel_of(layer: Any) -> Kernel | None:
    """The kernel of a layer that has one, and is known here."""
    if not layer.built:
        return None
    if isinstance(layer, layers.EinsumDense):
        return _einsum(layer)
    last = 1 if getattr(layer, "data_format", None) == "channels_first" else -1
    if isinstance(layer, PLAIN):
        return _kernel(layer, layer.kernel, (-1,), (last,))
    if isinstance(layer, SEPARABLE):
        return _kernel(layer, layer.pointwise_kernel, (-1,), (last,))
    if isinstance(layer, DEPTHWISE):
        return _kernel(layer, layer.kernel, (-2, -1), (last,))
    if isinstance(layer, TRANSPOSED):
        return _kernel(layer, layer.kernel, (-2,), (last,))
    return None


def _einsum(layer: Any) -> Kernel | None:
    _, kernel, output = layer.equation.replace("->", ",").replace(" ", "").split(",")
    axes = tuple(axis for axis, label in enumerate(kernel) if label in output)
    # With the ellipsis on the left, or none, axes count from the right.
    places = [output.index(kernel[axis]) for axis in axes]
    output_axes = tuple(places if output.endswith("...") else (place - len(output) for place in places))
    return _kernel(layer, layer.kernel, axes, output_axes)


def _kernel(layer: Any, kernel: Any, channel_axes: tuple[int, ...], output_axes: tuple[int, ...]) -> Kernel | None:
    # With LoRA, or quantized, what the layer calls its kernel is computed.
    if not isinstance(kernel, keras.Variable):
        return None
    channel_axes = tuple(axis % len(kernel.shape) for axis in channel_axes)
    bias = getattr(layer, "bias", None)
    channels = math.prod(kernel.shape[axis] for axis in channel_axes)
    fits = bias is not None and math.prod(bias.shape) == channels
    return Kernel(layer, kernel, bias if fits else None, channel_axes, output_axes)
