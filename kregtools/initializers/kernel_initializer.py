"""What the initializers of kernels have in common: inputs, outputs and orthogonal matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from kregtools._numbers import is_integer, refuse


@dataclass(frozen=True)
class KernelLayout:
    """The axes of a kernel: what is summed over, what that makes, and what stands side by side.

    A depthwise kernel, for one, is a stack of small matrices: each input channel has its own.
    """

    shape: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    fan_out: int

    @property
    def fan_in(self) -> int:
        return self.size(self.inputs)

    @property
    def units(self) -> tuple[int, ...]:
        return tuple(axis for axis in self.outputs if axis not in self.inputs)

    @property
    def stacked(self) -> tuple[int, ...]:
        return tuple(axis for axis in range(len(self.shape)) if axis not in (*self.inputs, *self.outputs))

    def size(self, axes: tuple[int, ...]) -> int:
        return math.prod(self.shape[axis] for axis in axes)

    def kernel(self, matrices: Any) -> Any:
        """The kernel that consists of these matrices, of shape `(stacked, inputs, units)`."""
        order = (*self.stacked, *self.inputs, *self.units)
        back = sorted(range(len(order)), key=order.__getitem__)
        return ops.transpose(ops.reshape(matrices, [self.shape[axis] for axis in order]), back)


class KernelInitializer(keras.initializers.VarianceScaling):
    """Base class of initializers that tell the inputs of a kernel from its outputs.

    It is a `VarianceScaling` because `EinsumDense`, and with it `MultiHeadAttention`, tells no other initializer
    which axes of its kernel are inputs.
    """

    def __init__(
        self,
        seed: int | keras.random.SeedGenerator | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed=seed)
        if (input_axes is None) != (output_axes is None):
            raise ValueError(
                "`input_axes` and `output_axes` go together. Received: "
                f"input_axes={input_axes}, output_axes={output_axes}. Expected both, or neither."
            )
        for name, axes in (("input_axes", input_axes), ("output_axes", output_axes)):
            if axes is not None and not (isinstance(axes, (tuple, list)) and all(map(is_integer, axes))):
                refuse(name, axes, "a sequence of integers, such as (0, 1)")
        self.input_axes = input_axes
        self.output_axes = output_axes

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        dtype = keras.backend.standardize_dtype(dtype)
        values = self.values(self.layout(shape), "float64" if dtype == "float64" else "float32")
        return ops.cast(values, dtype)

    def values(self, layout: KernelLayout, dtype: str) -> Any:
        """The kernel's values."""
        raise NotImplementedError

    def layout(self, shape: Sequence[int]) -> KernelLayout:
        """Which axes of a kernel of this shape are inputs, and which are outputs."""
        shape = check_kernel_shape(type(self).__name__, shape)
        if self.input_axes is None or self.output_axes is None:
            last = len(shape) - 1
            outputs = (*range(last - 1), last)
            return KernelLayout(shape, tuple(range(last)), outputs, math.prod(shape[axis] for axis in outputs))
        inputs, outputs = (self._axes(name, shape) for name in ("input_axes", "output_axes"))
        return KernelLayout(shape, inputs, outputs, math.prod(shape[axis] for axis in outputs))

    def orthogonal(self, layout: KernelLayout, dtype: str) -> Any:
        """Matrices of shape `(stacked, inputs, units)` with orthonormal columns, or rows where these are fewer."""
        rows, columns = layout.fan_in, layout.size(layout.units)
        shape = (layout.size(layout.stacked), max(rows, columns), min(rows, columns))
        factors: Any = ops.qr(keras.random.normal(shape, seed=self.seed, dtype=dtype))
        q, r = factors
        # With the signs of r's diagonal every orthogonal matrix is as probable as any other.
        q = q * ops.expand_dims(ops.sign(ops.diagonal(r, axis1=-2, axis2=-1)), -2)
        return q if rows >= columns else ops.transpose(q, (0, 2, 1))

    def get_config(self) -> dict[str, Any]:
        # Not those of `VarianceScaling`: its scale and its mode are not ours.
        seed = super(keras.initializers.VarianceScaling, self).get_config()
        return {**seed, "input_axes": self.input_axes, "output_axes": self.output_axes}

    def _axes(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        given = getattr(self, name)
        axes = tuple(axis + len(shape) if axis < 0 else axis for axis in given)
        if not axes or len(set(axes)) < len(axes) or not all(0 <= axis < len(shape) for axis in axes):
            raise ValueError(
                f"`{name}` does not fit the kernel. Received: {name}={given} for shape={shape}. "
                f"Expected different axes from 0 to {len(shape) - 1}."
            )
        return axes


def check_kernel_shape(name: str, shape: Sequence[int], least: int = 2) -> tuple[int, ...]:
    """The shape as a tuple, if it is that of a kernel."""
    shape = tuple(int(size) if is_integer(size) else size for size in shape)
    if len(shape) < least or not all(is_integer(size) and size > 0 for size in shape):
        what = "kernels" if least == 2 else "kernels of convolutions"
        raise ValueError(
            f"{name} initializes {what}. Received: shape={shape}. Expected at least {_NUMBER[least]} axes, the "
            "outputs on the last, and sizes above 0; use 'zeros' for a bias."
        )
    return shape


_NUMBER = {2: "two", 3: "three"}
