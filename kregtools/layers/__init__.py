"""Layers that Keras lacks."""

from kregtools.layers.centered_weight_normalization import CenteredWeightNormalization
from kregtools.layers.conversion import convert
from kregtools.layers.drop_connect import DropConnect
from kregtools.layers.dropout_aware_batch_normalization import DropoutAwareBatchNormalization
from kregtools.layers.dropout_free_statistics import DropoutFreeStatistics
from kregtools.layers.fractional_max_pooling_2d import FractionalMaxPooling2D
from kregtools.layers.residual_scale import ResidualScale
from kregtools.layers.shift_and_flip import ShiftAndFlip
from kregtools.layers.stochastic_depth import StochasticDepth

__all__ = [
    "CenteredWeightNormalization",
    "DropConnect",
    "DropoutAwareBatchNormalization",
    "DropoutFreeStatistics",
    "FractionalMaxPooling2D",
    "ResidualScale",
    "ShiftAndFlip",
    "StochasticDepth",
    "convert",
]
