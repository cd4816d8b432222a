"""What the kernel of a layer is multiplied with."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kregtools.initializers.kernels import Kernel

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
MOST_ROWS = 20_000


def patches(kernel: Kernel, inputs: Any, rng: np.random.Generator) -> np.ndarray | None:
    """Rows of inputs as the kernel sees them, in the order of its weights; `None` if that is not known of the layer.

    Of a convolution these are windows inside the picture, without its padding and at any stride.
    """
    x = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(inputs, "float32")), "float64")
    if isinstance(kernel.layer, keras.layers.Dense):
        return _some(x.reshape(-1, x.shape[-1]), rng)
    if isinstance(kernel.layer, CONVOLUTIONS) and kernel.layer.groups == 1:
        return _some(_windows(kernel.layer, x, rng), rng)
    return None


def _windows(layer: Any, x: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    if layer.data_format == "channels_first":
        x = np.moveaxis(x, 1, -1)
    spans = [(size - 1) * rate + 1 for size, rate in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    axes = tuple(range(1, x.ndim - 1))
    if any(x.shape[axis] < span for axis, span in zip(axes, spans, strict=True)):
        return None
    # Shape (row, position…, channel, tap…): a view, of which a few positions are taken.
    windows = np.lib.stride_tricks.sliding_window_view(x, spans, axis=axes)
    windows = windows[(..., *(slice(None, None, rate) for rate in layer.dilation_rate))]
    where = windows.shape[: x.ndim - 1]
    chosen = np.unravel_index(rng.integers(0, np.prod(where), min(MOST_ROWS, int(np.prod(where)))), where)
    return np.moveaxis(windows[chosen], 1, -1).reshape(len(chosen[0]), -1)


def _some(rows: np.ndarray | None, rng: np.random.Generator) -> np.ndarray | None:
    if rows is None or len(rows) <= MOST_ROWS:
        return rows
    return rows[rng.choice(len(rows), MOST_ROWS, replace=False)]


def principal_axes(rows: np.ndarray, count: int) -> np.ndarray:
    """The `count` directions in which the rows vary most, or as many as they vary in, as columns."""
    covariance = np.cov(rows, rowvar=False).reshape(rows.shape[1], -1)
    values, vectors = np.linalg.eigh(covariance)
    varying = int((values > 1e-6 * values.max()).sum())
    return vectors[:, ::-1][:, : min(count, varying)]
