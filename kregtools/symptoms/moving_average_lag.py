"""Moving averages of BatchNormalization that are not what its batches have."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.settling import (
    FACTOR,
    SHIFT,
    WORSE,
    lag_at_the_end,
    lags,
    last_known,
    settled,
    steps_to_settle,
)
from kregtools.symptoms.symptom import Shown, Symptom, SymptomRule

NORM = {"name": "norm", "class": "BatchNormalization", "momentum": 0.99}
STEPS = 10


def _run(
    factors: list[float], validation: list[float], shift: float = 0.1, recalibrated: float = 0.0, epochs: int = 0
) -> dict[str, Any]:
    """Epochs at whose ends the variance is off by these factors."""
    at_ends = {
        ("norm", "moving_variance", "lag"): factors,
        ("norm", "moving_mean", "lag"): [shift] * len(factors),
        ("norm", "moving_variance", "recalibrated"): [recalibrated] * len(factors),
    }
    unmeasured = [float("nan")] * (STEPS - 1)
    return {
        "logs": {"loss": [1.6 * 0.7**epoch for epoch in range(len(factors))], "val_loss": validation},
        "series": {key: [each for value in values for each in (*unmeasured, value)] for key, values in at_ends.items()},
        "facts": {"layers": [NORM], "fit": {"epochs": epochs or len(factors), "steps": STEPS}},
    }


class MovingAverageLag(SymptomRule):
    """Inference normalizes by averages that are far behind what the batches have.

    How it is detected: `HealthMonitor` reads the moving averages v of each BatchNormalization at the ends of an epoch
    of n batches. With a momentum of m, v1 = mⁿ v0 + (1 - mⁿ) b, which gives the statistics b that the batches had. The
    median over the channels is off by a factor of more than 1.5 in the variance, or by more than half a standard
    deviation in the mean, at the end of the last epoch. It is an alarm where the validation loss is more than 1.5 times
    the training loss, else it is mentioned; nothing is said while the averages will have forgotten their start within
    the epochs that `fit` was asked for, nor where `RecalibrateBatchNorm` stands in for them. Epochs that are far longer
    than the 1 / (1 - m) steps that an average remembers show no lag.

    Why it matters: in training the layer normalizes by the batch, and the loss falls. In validation, and for whoever
    uses the model, every such layer scales wrongly, one upon the other: a validation accuracy of chance says nothing
    of the weights.

    What to do: see the cause; `kregtools.recalibrate(model, x_train)` mends a model that is trained already.

    Threshold: in `benchmarks/batchnorm_lag.py` (five nets, three seeds, every epoch) the validation loss is 1.2 times
    that after recalibration in the median, as long as the factor is below 1.5, and 1.5 to 1.8 times above; the half of
    a standard deviation is judgement. The 1.5 of the losses is that of `train_val_mismatch`.
    """

    name = "moving_average_lag"
    shown = Shown("moving_variance", "lag", "variance off by")
    SICK: ClassVar = (
        example(**_run([65.0, 49.0, 41.0, 32.0, 22.0, 16.0], [2.3, 2.6, 3.2, 3.8, 4.7, 5.3])),
        example(**_run([1.2] * 4, [2.3, 2.6, 3.2, 3.8], shift=0.8)),
        example(**_run([9.0] * 4, [1.5, 1.1, 0.7, 0.5])),
    )
    HEALTHY: ClassVar = (
        example(**_run([65.0, 8.0, 2.0, 1.4, 1.1, 1.1], [2.3, 2.6, 1.2, 0.8, 0.6, 0.5])),
        example(**_run([65.0, 49.0, 41.0], [2.3, 2.6, 3.2], epochs=60)),
        example(**_run([9.0] * 4, [2.3, 2.6, 3.2, 3.8], recalibrated=1.0)),
    )

    def check(self, record: Record) -> Symptom | None:
        behind = lag_at_the_end(record)
        if behind is None or self._will_settle(record):
            return None
        layers, factors, shifts = lags(record)
        far = (factors[-1] > FACTOR) | (shifts[-1] > SHIFT)
        training, validation = record.log("loss")[-1], last_known(record.log("val_loss"))
        worse = 0 < WORSE * training < validation
        harm = f" The validation loss is {validation:.3g}, the training loss {training:.3g}." if worse else ""
        return Symptom(
            self.name,
            "warning" if worse else "info",
            f"The moving averages of {behind.layer}, by which inference normalizes, are off by {behind.told}; healthy "
            f"is up to a factor of {FACTOR:g}, and {SHIFT:g} standard deviations in the mean.{harm}",
            tuple(name for name, shown in zip(layers, far, strict=True) if shown),
            int(record.logs[int(np.argmin(settled(record)))]["step"]),
            {"variance_factor": behind.factor, "mean_shift": behind.shift, "threshold": FACTOR},
        )

    def _will_settle(self, record: Record) -> bool:
        """Whether the averages have not forgotten their start yet, and the fit goes on until they have."""
        ends, need = record.log("step"), steps_to_settle(record)
        if "cost" in record.facts or len(ends) < 2 or ends[-1] >= need:  # the cost is known when a fit has ended
            return False
        to_come = ((record.facts.get("fit") or {}).get("epochs") or 0) - 1 - record.epochs[-1]
        return bool(ends[-1] + to_come * (ends[-1] - ends[-2]) >= need)
