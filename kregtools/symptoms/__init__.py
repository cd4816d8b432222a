"""What a record can show. A new symptom is one file here and one line in `SYMPTOMS`."""

from kregtools.symptoms.dead_relu import DeadRelu
from kregtools.symptoms.exploding_gradient import ExplodingGradient
from kregtools.symptoms.nonfinite import Nonfinite
from kregtools.symptoms.overfit import Overfit
from kregtools.symptoms.symptom import CannotCheckError, Severity, Symptom, SymptomRule
from kregtools.symptoms.underfit import Underfit
from kregtools.symptoms.vanishing_gradient import VanishingGradient

SYMPTOMS: tuple[SymptomRule, ...] = (
    Nonfinite(),
    ExplodingGradient(),
    VanishingGradient(),
    DeadRelu(),
    Overfit(),
    Underfit(),
)

__all__ = ["SYMPTOMS", "CannotCheckError", "Severity", "Symptom", "SymptomRule"]
