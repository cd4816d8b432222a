"""Tensors to statistics, in the step itself: float32, nothing kept.

A pass over a tensor costs what the step's own operations cost, and one that leaves a tensor of the same size behind
costs twice that. So each statistic is a reduction without an intermediate where there is one, and what is only of
interest in a broken step (how many values are not finite) is counted only there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops as _ops

DECADES = tuple(range(-9, 3))
MAGNITUDES = ("magnitude_below_1e-9", *(f"magnitude_1e{decade}" for decade in DECADES))
SKETCHED = 16_384
# What these return, Keras types as one backend's tensor or nothing.
ops: Any = _ops

# From here on, the rows of a tensor are long enough to be summed one by one.
LONG_ROW = 16
SMALL = 4096

# Where an activation is saturated: sigmoid beyond 0.01 and 0.99, tanh beyond 0.99 either way, softmax in rows whose
# largest value exceeds 0.99, the hard ones at their bounds.
saturation: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda x: ops.abs(x - 0.5) > 0.49,
    "tanh": lambda x: ops.abs(x) > 0.99,
    "softmax": lambda x: ops.max(x, axis=-1) > 0.99,
    "hard_sigmoid": lambda x: ops.abs(x - 0.5) >= 0.5,
    "hard_tanh": lambda x: ops.abs(x) >= 1.0,
    "relu6": lambda x: x >= 6.0,
}


def activation(x: Any, saturated: str | None = None, mask: Any = None) -> dict[str, Any]:
    """Mean, std, rms, extremes, share of zeros, count of non-finite values and of all values of a layer's output.

    Where a value is NaN, so are the mean, the std, the rms and the share of zeros. The std is exact to 1e-5 where it is
    at least a tenth of the mean, to 2e-5 in a single row of fewer than a hundred values.

    Args:
        x: The output.
        saturated: Name of an activation in `saturation`; adds the share of values (softmax: rows) that are saturated.
        mask: Booleans along the leading axes of `x`; what is false there is not counted.
    """
    x = ops.cast(x, "float32")
    mask = None if mask is None else _along(mask, x)
    count = _size(x) if mask is None else ops.sum(ops.cast(mask, "float32")) * (_size(x) / _size(mask))
    mean, variance, squares = _moments(x, mask, count)
    found = {
        "mean": mean,
        "std": ops.sqrt(variance),
        "rms": ops.sqrt(squares / count),
        "min": ops.min(_where(mask, x, math.inf)),
        "max": ops.max(_where(mask, x, -math.inf)),
        "zero_fraction": (count - _nonzero(_where(mask, x, 0.0))) / count,
        "nonfinite": _nonfinite_if_any(_where(mask, x, 0.0), squares),
        "count": count,
    }
    if saturated is not None:
        found["saturated_fraction"] = _share(saturation[saturated](x), mask)
    return found


def firing(x: Any, mask: Any = None, axis: int = -1) -> Any:
    """Which units, along an axis, are positive anywhere in the batch: booleans of shape `(units,)`."""
    x = x if mask is None else _where(_along(mask, x), x, 0)
    axes = range(len(x.shape))
    return ops.max(x, axis=tuple(each for each in axes if each != axes[axis])) > 0


def gradient(g: Any) -> dict[str, Any]:
    """Norm, rms, share of zeros and count of non-finite values of a variable's gradient."""
    g = ops.cast(g, "float32")
    squares, size = _sum_of_squares(g), _size(g)
    return {
        "gradient_norm": ops.sqrt(squares),
        "gradient_rms": ops.sqrt(squares / size),
        "gradient_zero_fraction": (size - _nonzero(g)) / size,
        "gradient_nonfinite": _nonfinite_if_any(g, squares),
    }


def update(before: Any, after: Any) -> dict[str, Any]:
    """Norms of a variable before the step and of the step itself, their ratio, and what is not finite after it.

    Of a kernel also `unit_spread`: how far its units, along the last axis, are from their mean, as a share of its rms:
    0 where all are the same, 1 where they have nothing in common.
    """
    before, after = ops.cast(before, "float32"), ops.cast(after, "float32")
    change, weights = _sum_of_squares(after - before), _sum_of_squares(before)
    weight_norm, update_norm = ops.sqrt(weights), ops.sqrt(change)
    found = {
        "weight_norm": weight_norm,
        "update_norm": update_norm,
        "update_ratio": update_norm / weight_norm,
        "weight_nonfinite": _nonfinite_if_any(after, change),
    }
    if len(before.shape) > 1 and before.shape[-1] > 1:
        apart = _sum_of_squares(before - ops.mean(before, axis=-1, keepdims=True))
        found["unit_spread"] = ops.sqrt(apart / weights)
    return found


def loss(value: Any) -> dict[str, Any]:
    """The loss as Keras logs it, the mean where it is one value a row, and its count of non-finite values."""
    return {"value": ops.mean(ops.cast(value, "float32")), "nonfinite": nonfinite(value)}


def penalty(*terms: Any) -> dict[str, Any]:
    """What regularizers and `add_loss` contribute; Keras sums the terms that are not scalars."""
    total: Any = ops.zeros(())
    for term in terms:
        total = total + ops.sum(ops.cast(term, "float32"))
    return {"penalty": total}


def magnitudes(x: Any, mask: Any = None) -> dict[tuple[str, ...], Any]:
    """Shares of the values by decade of their magnitude, from "below 1e-9", zeros included, to "1e2 and above".

    Of a large tensor it takes at most 16,384 values, evenly spaced. The interval is odd, so that it does not fall on
    the same few units again and again. What is not finite, or false in `mask`, has no share.
    """
    flat = ops.reshape(x, (-1,))
    valid = None if mask is None else ops.reshape(ops.broadcast_to(_along(mask, x), ops.shape(x)), (-1,))
    interval: Any = -(-_length(flat) // SKETCHED)
    interval = interval + 1 - interval % 2
    sample = ops.abs(ops.cast(flat[::interval], "float32"))
    finite = ops.isfinite(sample)
    counted = finite if valid is None else ops.logical_and(finite, valid[::interval])
    classes = ops.digitize(ops.where(counted, sample, 0.0), [10.0**decade for decade in DECADES])
    # TensorFlow forgets that this has one axis where its length is not known.
    counts = ops.segment_sum(ops.cast(counted, "float32"), ops.reshape(classes, (-1,)), len(MAGNITUDES))
    return {MAGNITUDES: counts / ops.sum(counts)}


def nonfinite(x: Any) -> Any:
    """How many values are NaN or infinite."""
    return ops.sum(ops.cast(ops.logical_not(ops.isfinite(x)), "float32"))


# ---- private


def _moments(x: Any, mask: Any, count: Any) -> tuple[Any, Any, Any]:
    """Mean, variance and sum of squares; the variance is not a difference of two large numbers."""
    if mask is None and _tensorflow_kernels() and len(x.shape) > 1 and (x.shape[-1] or 0) >= LONG_ROW:
        return _moments_by_row(x)
    squares = _sum_of_squares(_where(mask, x, 0.0))
    mean = ops.sum(_where(mask, x, 0.0)) / count
    return mean, _sum_of_squares(_where(mask, x - mean, 0.0)) / count, squares


def _moments_by_row(x: Any) -> tuple[Any, Any, Any]:
    # The variance within rows plus that between them. Within a row it is a difference, whose rounding errors are small
    # in the mean over many rows; taking the mean off the whole tensor would cost another tensor.
    import tensorflow as tf

    means = tf.reduce_mean(x, axis=-1)
    squares = tf.square(tf.math.reduce_euclidean_norm(x, axis=-1))
    mean = tf.reduce_mean(means)
    within = tf.reduce_mean(squares / x.shape[-1] - tf.square(means))
    between = tf.reduce_mean(tf.math.squared_difference(means, mean))
    return mean, tf.maximum(within, 0.0) + between, tf.reduce_sum(squares)


def total(x: Any) -> Any:
    """The sum of all values."""
    if _xla_on_cpu() and len(x.shape) > 1 and (x.shape[-1] or 0) >= LONG_ROW:
        # There XLA adds one value after the other, but uses all lanes for a product with a vector.
        x = ops.matmul(ops.reshape(x, (-1, x.shape[-1])), ops.ones((x.shape[-1], 1)))
    return ops.sum(x)


def half_sum_of_squares(x: Any) -> Any:
    """Half the sum of the squares, in one pass where the backend has it."""
    if _tensorflow_kernels():
        import tensorflow as tf

        return tf.nn.l2_loss(x)
    return 0.5 * total(ops.square(x))


def _sum_of_squares(x: Any) -> Any:
    return 2.0 * half_sum_of_squares(x)


def _nonzero(x: Any) -> Any:
    """How many values are not zero; NaN where one is NaN."""
    return _sum_of_squares(ops.sign(x))


def _nonfinite_if_any(x: Any, squares: Any) -> Any:
    """How many values are not finite, given their sum of squares, which tells whether any are."""
    if not _tensorflow_kernels() or (None not in x.shape and math.prod(x.shape) <= SMALL):
        return nonfinite(x)
    import tensorflow as tf

    size = tf.where(tf.math.is_finite(squares), 0, tf.size(x))
    return nonfinite(tf.reshape(x, (-1,))[:size])


def _along(mask: Any, x: Any) -> Any:
    """A mask of as many axes as `x`."""
    missing = len(x.shape) - len(mask.shape)
    return ops.reshape(ops.cast(mask, "bool"), (*ops.shape(mask), *(1,) * missing))


def _where(mask: Any, x: Any, otherwise: float) -> Any:
    return x if mask is None else ops.where(mask, x, ops.cast(otherwise, x.dtype))


def _share(condition: Any, mask: Any) -> Any:
    """The share of true values among those the mask lets through."""
    hits = ops.cast(condition, "float32")
    if mask is None:
        return ops.mean(hits)
    if len(hits.shape) < len(mask.shape):  # one value a row
        mask = ops.squeeze(mask, axis=-1)
    weights = ops.broadcast_to(ops.cast(mask, "float32"), ops.shape(hits))
    return ops.sum(hits * weights) / ops.sum(weights)


def _size(x: Any) -> Any:
    return ops.cast(_length(ops.reshape(x, (-1,))), "float32")


def _length(flat: Any) -> Any:
    return ops.shape(flat)[0]


def _tensorflow_kernels() -> bool:
    """Whether each operation runs by itself, in TensorFlow; XLA makes one pass of many, and lacks some operations."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    return not control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def _xla_on_cpu() -> bool:
    if keras.backend.backend() != "tensorflow" or _tensorflow_kernels():
        return False
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")
