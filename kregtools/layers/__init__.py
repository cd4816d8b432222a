"""Layers that Keras lacks."""

from kregtools.layers.centered_weight_normalization import CenteredWeightNormalization
from kregtools.layers.conversion import convert
from kregtools.layers.drop_connect import DropConnect
from kregtools.layers.dropout_aware_batch_normalization import DropoutAwareBatchNormalization
from kregtools.layers.dropout_free_statistics import DropoutFreeStatistics
from kregtools.layers.fractional_max_pooling_2d import FractionalMaxPooling2D
from kregtools.layers.legendre_polynomials import LegendrePolynomials
from kregtools.layers.position_embedding import PositionEmbedding
from kregtools.layers.random_gain import RandomGain
from kregtools.layers.random_noise import RandomNoise
from kregtools.layers.random_pitch_shift import RandomPitchShift
from kregtools.layers.random_shift import RandomShift
from kregtools.layers.random_synonym_replacement import RandomSynonymReplacement
from kregtools.layers.random_time_stretch import RandomTimeStretch
from kregtools.layers.random_token_deletion import RandomTokenDeletion
from kregtools.layers.random_token_insertion import RandomTokenInsertion
from kregtools.layers.random_token_swap import RandomTokenSwap
from kregtools.layers.residual_scale import ResidualScale
from kregtools.layers.shift_and_flip import ShiftAndFlip
from kregtools.layers.stochastic_depth import StochasticDepth

__all__ = [
    "CenteredWeightNormalization",
    "DropConnect",
    "DropoutAwareBatchNormalization",
    "DropoutFreeStatistics",
    "FractionalMaxPooling2D",
    "LegendrePolynomials",
    "PositionEmbedding",
    "RandomGain",
    "RandomNoise",
    "RandomPitchShift",
    "RandomShift",
    "RandomSynonymReplacement",
    "RandomTimeStretch",
    "RandomTokenDeletion",
    "RandomTokenInsertion",
    "RandomTokenSwap",
    "ResidualScale",
    "ShiftAndFlip",
    "StochasticDepth",
    "convert",
]
