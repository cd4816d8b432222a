"""What explains symptoms, each with its remedy. A new cause is one file here and one line in `CAUSES`."""

from kregtools.causes.bad_init import BadInit
from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.class_imbalance import ClassImbalance
from kregtools.causes.clipping_too_tight import ClippingTooTight
from kregtools.causes.dropout_before_batchnorm import DropoutBeforeBatchnorm
from kregtools.causes.frozen_layers import FrozenLayers
from kregtools.causes.insufficient_capacity import InsufficientCapacity
from kregtools.causes.insufficient_data import InsufficientData
from kregtools.causes.label_noise import LabelNoise
from kregtools.causes.lr_too_high import LrTooHigh
from kregtools.causes.lr_too_low import LrTooLow
from kregtools.causes.missing_nonlinearity import MissingNonlinearity
from kregtools.causes.missing_normalization_layer import MissingNormalizationLayer
from kregtools.causes.missing_regularization import MissingRegularization
from kregtools.causes.negative_lr import NegativeLr
from kregtools.causes.over_regularization import OverRegularization
from kregtools.causes.schedule_too_short import ScheduleTooShort
from kregtools.causes.slow_moving_average import SlowMovingAverage
from kregtools.causes.split_mismatch import SplitMismatch
from kregtools.causes.too_deep_for_width import TooDeepForWidth
from kregtools.causes.too_few_epochs import TooFewEpochs
from kregtools.causes.unnormalized_input import UnnormalizedInput
from kregtools.causes.unnormalized_target import UnnormalizedTarget
from kregtools.causes.unsafe_numerics import UnsafeNumerics
from kregtools.causes.wrong_batch_size import WrongBatchSize
from kregtools.causes.wrong_hidden_activation import WrongHiddenActivation
from kregtools.causes.wrong_labels import WrongLabels
from kregtools.causes.wrong_loss import WrongLoss
from kregtools.causes.wrong_optimizer import WrongOptimizer
from kregtools.causes.wrong_output_activation import WrongOutputActivation
from kregtools.causes.wrong_output_units import WrongOutputUnits

CAUSES: tuple[CauseRule, ...] = (
    UnnormalizedInput(),
    UnnormalizedTarget(),
    WrongLoss(),
    WrongOutputActivation(),
    WrongOutputUnits(),
    WrongHiddenActivation(),
    MissingNonlinearity(),
    MissingNormalizationLayer(),
    TooDeepForWidth(),
    ClassImbalance(),
    WrongOptimizer(),
    FrozenLayers(),
    DropoutBeforeBatchnorm(),
    SlowMovingAverage(),
    UnsafeNumerics(),
    LrTooHigh(),
    BadInit(),
    MissingRegularization(),
    InsufficientCapacity(),
    NegativeLr(),
    LrTooLow(),
    TooFewEpochs(),
    ScheduleTooShort(),
    ClippingTooTight(),
    OverRegularization(),
    InsufficientData(),
    LabelNoise(),
    WrongLabels(),
    SplitMismatch(),
    WrongBatchSize(),
)

__all__ = ["CAUSES", "Cause", "CauseRule", "Remedy"]
