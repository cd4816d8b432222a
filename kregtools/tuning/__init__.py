"""Search of regularization and learning rate with KerasTuner."""

from __future__ import annotations

from kregtools.tuning.oracle import DefaultsFirstOracle
from kregtools.tuning.result import TuningResult
from kregtools.tuning.search import tune
from kregtools.tuning.tuner import Tuner

__all__ = ["DefaultsFirstOracle", "Tuner", "TuningResult", "tune"]
