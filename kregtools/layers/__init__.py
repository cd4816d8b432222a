"""Layers that Keras lacks."""

from kregtools.layers.dropout_aware_batch_normalization import DropoutAwareBatchNormalization

__all__ = ["DropoutAwareBatchNormalization"]
