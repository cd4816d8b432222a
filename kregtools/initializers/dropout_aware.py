"""The initializer of Hendrycks and Gimpel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from kregtools._numbers import share
from kregtools.initializers.kernel_initializer import KernelInitializer, KernelLayout
from kregtools.initializers.moments import moments

MODES = ("forward", "backward", "average", "sum")
DISTRIBUTIONS = ("hypersphere", "orthogonal", "truncated_normal", "uniform")
# The standard deviation of a normal distribution cut off at two standard deviations.
TRUNCATED = 0.87962566103423978
RATE = "the rate of the dropout before the kernel, a number from 0 to below 1: what is dropped, not what is kept"


@keras.saving.register_keras_serializable(package="kregtools")
class DropoutAware(KernelInitializer):
    r"""Initializer that keeps the variance of a signal through an activation and dropout.

    A kernel's input is the output of an activation f, of which dropout keeps the share p and divides it by p. With
    f = relu and p = 0.5, an initializer that ignores the dropout lets the variance double in every layer. This one
    draws weights with the variance

    - `mode="forward"`: $1 / (n_{in} E[f^2]/p)$, which keeps the variance of the activations;
    - `mode="backward"`: $1 / (n_{out} E[f'^2]/p)$, which keeps that of the gradients;
    - `mode="average"`: $2 / (n_{in} E[f^2]/p + n_{out} E[f'^2]/p)$, between the two;
    - `mode="sum"`: half of that, the paper's own form; the variance of the activations shrinks from layer to layer,
      to half of it for relu.

    The paper's backward term has $p$ in place of $1/p$; with dropout that divides by p in training, as Keras' does,
    the mask scales the gradient as well, and $1/p$ is right.

    `activation` and `rate` describe what stands *before* the kernel. The first layer's input is data, not an
    activation: use `DropoutAware("linear", rate=0)` there, on data with unit variance, or leave Keras' default.

    The kernels of `Dense` and of the convolutions `Conv1D` to `Conv3D` have their inputs before the last axis, which
    is expected here. `EinsumDense`, and so `MultiHeadAttention`, says by itself which axes are which (Keras 3.15 and
    later). For other layers say so:

    | layer | `input_axes` | `output_axes` |
    |---|---|---|
    | `DepthwiseConv2D`, and `SeparableConv2D`'s `depthwise_initializer` | `(0, 1)` | `(0, 1, 3)` |
    | `Conv2DTranspose` | `(0, 1, 3)` | `(0, 1, 2)` |
    | `MultiHeadAttention`: query, key, value | `(0,)` | `(1, 2)` |
    | `MultiHeadAttention`: output | `(0, 1)` | `(2,)` |

    A transposed convolution with strides reaches each output from fewer inputs than its kernel has; `kregtools.lsuv`
    measures what is right there.

    Args:
        activation: String, callable or `None`. The activation before the kernel: the name of a Keras activation, an
            element-wise function, or `None` for the identity. Defaults to `"relu"`.
        rate: Float, at least 0 and below 1. The rate of the dropout before the kernel. Defaults to `0.5`.
        mode: String. What is to keep its variance: `"forward"`, `"backward"`, `"average"` or `"sum"`. Defaults to
            `"forward"`, by `python benchmarks/initializers.py training` (Fashion-MNIST, 8,192 rows, 8 epochs, n = 5, 2
            shared CPU cores, 2026-11-21 and 2026-11-22): 50 relu layers of 96 units without dropout came to a training
            loss of .72 (sd .08) with it, of .65 (.06) with `"backward"` and .75 (.10) with `"average"`, but with
            `"sum"` none left 2.30. With dropout `"forward"` is not the best: 7 layers of 128 units at rate .5 came to
            1.58 (sd .08) with it and to 1.08 (.13) with `"sum"`; at 50 layers nothing learned. A small VGG with
            dropout began to learn with it in 3 of 5 runs (Nesterov) and 2 of 5 (Adam), with `"sum"` in none, and with
            He's in all.
        distribution: String. `"orthogonal"` (columns that are orthogonal to each other, or rows where there are more
            columns than rows), `"hypersphere"` (columns of equal norm), `"truncated_normal"` or `"uniform"`.
            Defaults to `"orthogonal"`, whose draws vary least in what they do to the std over many layers.
        seed: Integer, `keras.random.SeedGenerator` or `None`. As for Keras' own initializers: an instance with an
            integer or `None` gives the same values at every call. Defaults to `None`.
        input_axes: Sequence of integers or `None`. The axes of the kernel that a sum over inputs runs over. Defaults
            to all but the last.
        output_axes: Sequence of integers or `None`. The axes that a sum over outputs runs over. Defaults to all but
            the last but one.

    Raises:
        ValueError: If an argument is not one of the above, or a shape is not that of a kernel.

    Example:

    ```python
    model = keras.Sequential([
        keras.layers.Dense(256, activation="relu"),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(256, activation="relu", kernel_initializer=DropoutAware("relu", rate=0.5)),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(10, kernel_initializer=DropoutAware("relu", rate=0.5)),
    ])
    ```

    As a string it is `"kregtools>DropoutAware"`, once kregtools has been imported.

    Reference:

    - [Hendrycks and Gimpel, 2016](https://arxiv.org/abs/1607.02488)
    """

    def __init__(
        self,
        activation: str | Callable[..., Any] | None = "relu",
        rate: float = 0.5,
        mode: str = "forward",
        distribution: str = "orthogonal",
        seed: int | keras.random.SeedGenerator | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        if isinstance(activation, dict):
            activation = keras.saving.deserialize_keras_object(activation)
        _check_choice("mode", mode, MODES)
        _check_choice("distribution", distribution, DISTRIBUTIONS)
        super().__init__(seed, input_axes, output_axes)
        self.activation = activation
        self.rate = share("rate", rate, RATE)
        self.mode = mode
        self.distribution = distribution
        self._moments = moments(activation)

    def values(self, layout: KernelLayout, dtype: str) -> Any:
        std = math.sqrt(self.variance(layout.fan_in, layout.fan_out))
        return layout.kernel(self._unit_variance(layout, dtype) * std)

    def _unit_variance(self, layout: KernelLayout, dtype: str) -> Any:
        rows, columns = layout.fan_in, layout.size(layout.units)
        if self.distribution == "orthogonal":
            return self.orthogonal(layout, dtype) * math.sqrt(max(rows, columns))
        shape = (layout.size(layout.stacked), rows, columns)
        if self.distribution == "truncated_normal":
            return keras.random.truncated_normal(shape, stddev=1 / TRUNCATED, seed=self.seed, dtype=dtype)
        if self.distribution == "uniform":
            return keras.random.uniform(shape, -math.sqrt(3), math.sqrt(3), seed=self.seed, dtype=dtype)
        drawn = keras.random.normal(shape, seed=self.seed, dtype=dtype)
        return drawn / ops.sqrt(ops.mean(ops.square(drawn), axis=1, keepdims=True))

    def variance(self, fan_in: int, fan_out: int) -> float:
        """The variance of the weights of a kernel with so many inputs and outputs."""
        keep = 1.0 - self.rate
        forward, backward = fan_in * self._moments.square / keep, fan_out * self._moments.slope_square / keep
        together = forward + backward
        return 1.0 / {"forward": forward, "backward": backward, "average": together / 2, "sum": together}[self.mode]

    def get_config(self) -> dict[str, Any]:
        return {
            "activation": _serialized(self.activation),
            "rate": self.rate,
            "mode": self.mode,
            "distribution": self.distribution,
            **super().get_config(),
        }


def _serialized(activation: Any) -> Any:
    if activation is None or isinstance(activation, str):
        return activation
    if getattr(activation, "__name__", "") == "<lambda>":
        raise ValueError(
            f"A lambda cannot be saved. Received: activation={activation!r}. Expected the name of a Keras activation, "
            "or a function with a name, under `@keras.saving.register_keras_serializable()`."
        )
    return keras.activations.serialize(activation)


def _check_choice(argument: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(
            f"Invalid value for argument `{argument}`. Received: {argument}={value!r}. "
            f"Expected one of: {', '.join(choices)}."
        )
