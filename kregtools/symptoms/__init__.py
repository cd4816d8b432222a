"""What a record can show. A new symptom is one file here and one line in `SYMPTOMS`."""

from kregtools.symptoms.constant_output import ConstantOutput
from kregtools.symptoms.dead_relu import DeadRelu
from kregtools.symptoms.diverging_loss import DivergingLoss
from kregtools.symptoms.exploding_gradient import ExplodingGradient
from kregtools.symptoms.large_update import LargeUpdate
from kregtools.symptoms.loss_metric_mismatch import LossMetricMismatch
from kregtools.symptoms.moving_average_lag import MovingAverageLag
from kregtools.symptoms.negative_loss import NegativeLoss
from kregtools.symptoms.no_generalization import NoGeneralization
from kregtools.symptoms.no_learning import NoLearning
from kregtools.symptoms.noisy_validation import NoisyValidation
from kregtools.symptoms.nonfinite import Nonfinite
from kregtools.symptoms.oscillating_loss import OscillatingLoss
from kregtools.symptoms.overfit import Overfit
from kregtools.symptoms.saturated_activation import SaturatedActivation
from kregtools.symptoms.slow_convergence import SlowConvergence
from kregtools.symptoms.symmetric_units import SymmetricUnits
from kregtools.symptoms.symptom import CannotCheckError, Severity, Shown, Symptom, SymptomRule
from kregtools.symptoms.train_val_mismatch import TrainValMismatch
from kregtools.symptoms.underfit import Underfit
from kregtools.symptoms.vanishing_gradient import VanishingGradient
from kregtools.symptoms.variance_shift import VarianceShift

SYMPTOMS: tuple[SymptomRule, ...] = (
    Nonfinite(),
    ExplodingGradient(),
    VanishingGradient(),
    DeadRelu(),
    SymmetricUnits(),
    SaturatedActivation(),
    LargeUpdate(),
    ConstantOutput(),
    NegativeLoss(),
    DivergingLoss(),
    OscillatingLoss(),
    NoLearning(),
    SlowConvergence(),
    LossMetricMismatch(),
    NoGeneralization(),
    TrainValMismatch(),
    NoisyValidation(),
    VarianceShift(),
    MovingAverageLag(),
    Overfit(),
    Underfit(),
)

__all__ = ["SYMPTOMS", "CannotCheckError", "Severity", "Shown", "Symptom", "SymptomRule"]
