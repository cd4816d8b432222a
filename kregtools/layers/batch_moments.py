"""Moments of a batch, as a BatchNormalization layer would take them."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops


class BatchMoments(NamedTuple):
    """Count, mean and (biased) variance of a batch, by channel; masked positions are left out."""

    count: Any
    mean: Any
    variance: Any


def normalize_by_batch(
    layer: keras.layers.BatchNormalization, inputs: Any, mask: Any = None
) -> tuple[Any, BatchMoments]:
    """What `layer` would put out if it normalized `inputs` by their own moments, and those moments.

    Nothing in the layer changes.
    """
    dtype = keras.backend.result_type(layer.compute_dtype, "float32")
    x = ops.cast(inputs, dtype)
    moments = batch_moments(x, layer.axis, mask)
    outputs = ops.batch_normalization(
        x,
        mean=moments.mean,
        variance=moments.variance,
        axis=layer.axis,
        offset=ops.cast(layer.beta, dtype) if layer.center else None,
        scale=ops.cast(layer.gamma, dtype) if layer.scale else None,
        epsilon=layer.epsilon,
    )
    return ops.cast(outputs, layer.compute_dtype), moments


def batch_moments(x: Any, axis: int, mask: Any = None) -> BatchMoments:
    """The moments of `x` over all axes but `axis`.

    Args:
        x: Tensor.
        axis: Integer. The axis of the channels.
        mask: Boolean tensor of the shape of `x` without its last axis; positions that are `False` do not count.
    """
    axes = [index for index in range(len(x.shape)) if index != axis % len(x.shape)]
    weights: Any = ops.ones_like(x)
    if mask is not None:
        weights = weights * ops.cast(ops.expand_dims(mask, -1), x.dtype)
    count: Any = ops.sum(weights, axis=axes)
    total: Any = ops.maximum(count, 1.0)
    mean = ops.sum(x * weights, axis=axes) / total
    shape = [1] * len(x.shape)
    shape[axis] = -1
    deviation = (x - ops.reshape(mean, shape)) * weights
    return BatchMoments(count, mean, ops.sum(ops.square(deviation), axis=axes) / total)
