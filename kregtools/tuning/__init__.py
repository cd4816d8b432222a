"""Search of regularization and learning rate with KerasTuner, steered by the diagnosis of each trial."""

from __future__ import annotations

from kregtools.tuning.oracle import GuidedOracle
from kregtools.tuning.result import TuningResult
from kregtools.tuning.search import tune
from kregtools.tuning.tuner import Tuner

__all__ = ["GuidedOracle", "Tuner", "TuningResult", "tune"]
