"""Layers that Keras lacks."""

from kregtools.layers.centered_weight_normalization import CenteredWeightNormalization
from kregtools.layers.conversion import convert
from kregtools.layers.dropout_aware_batch_normalization import DropoutAwareBatchNormalization
from kregtools.layers.dropout_free_statistics import DropoutFreeStatistics
from kregtools.layers.residual_scale import ResidualScale
from kregtools.layers.shift_and_flip import ShiftAndFlip

__all__ = [
    "CenteredWeightNormalization",
    "DropoutAwareBatchNormalization",
    "DropoutFreeStatistics",
    "ResidualScale",
    "ShiftAndFlip",
    "convert",
]
