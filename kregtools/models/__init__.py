"""Model builders for KerasTuner: sane defaults, and the part each hyperparameter plays."""

from __future__ import annotations

from kregtools.models.digits_dense import DigitsDense
from kregtools.models.imdb_bow import ImdbBow

__all__ = ["DigitsDense", "ImdbBow"]
