"""What is added to `model.fit(callbacks=[...])`."""

from kregtools.callbacks.fit_diagnosis import FitDiagnosis
from kregtools.callbacks.health_monitor import HealthMonitor
from kregtools.callbacks.recalibrate_batch_norm import RecalibrateBatchNorm

__all__ = ["FitDiagnosis", "HealthMonitor", "RecalibrateBatchNorm"]
