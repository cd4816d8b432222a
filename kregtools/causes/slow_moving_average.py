"""Moving averages that are too slow for the run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import joined
from kregtools.causes.steps import steps_per_epoch
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.settling import SETTLED, steps_to_settle

LEAST, MOST = 0.5, 0.95
NORM = {"name": "norm", "class": "BatchNormalization", "momentum": 0.99}


def _after(epochs: int) -> Record:
    nan = [float("nan")] * (10 * epochs - 1)
    return example(
        logs={"loss": [1.0] * epochs},
        facts={"layers": [NORM], "fit": {"epochs": epochs, "steps": 10}},
        series={("norm", "moving_variance", "lag"): [*nan, 2.0], ("norm", "moving_mean", "lag"): [*nan, 0.1]},
    )


class SlowMovingAverage(CauseRule):
    """The momentum of a BatchNormalization is too high for so few steps, or for weights that change so fast.

    How it is told: moving averages are behind, and a momentum of m remembers 1 / (1 - m) steps: after n of them mⁿ of
    an average is still what it was before training, a mean of 0 and a variance of 1. Keras' default of 0.99 takes 500
    steps to forget 99 % of that. Where there were as many steps, the weights change faster than it follows.

    What to do: a lower momentum, at which an average forgets its start within an epoch; or statistics taken anew before
    each validation, which changes nothing in training; where the weights change too fast, a learning rate that decays.

    Reference: Ioffe & Szegedy, 2015, for the averages; Wu & Johnson, 2021, "Rethinking 'Batch' in BatchNorm", for
    statistics taken anew.
    """

    name = "slow_moving_average"
    explains = ("moving_average_lag",)
    SICK: ClassVar = (_after(20), _after(60))
    HEALTHY: ClassVar = (example(logs={"loss": [1.0, 0.5]}, facts={"layers": [{"name": "dense", "class": "Dense"}]}),)

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        need = steps_to_settle(record)
        if not need:
            return None
        steps, momentum = int(record.logs[-1]["step"]) + 1, 1.0 - SETTLED / need
        rest = momentum**steps
        why = (
            f"after {steps:,} steps {rest:.0%} of an average is still what it was before training"
            if steps < need
            else f"after {steps:,} steps the weights still change faster than that"
        )
        lower = _momentum(steps_per_epoch(record) or steps / max(1, len(record.logs)))
        return self.found(
            symptoms,
            0.9,
            f"A momentum of {momentum:.3g} remembers {1 / (1 - momentum):.0f} steps: {why}.",
            Remedy(
                f"Give {joined(list(symptoms['moving_average_lag'].layers))} a momentum of {lower:g}, which forgets "
                "its start within an epoch; or leave the model as it is, and take the statistics anew before each "
                "validation. The validation loss should then follow the training loss.",
                f"x = keras.layers.BatchNormalization(momentum={lower:g})(x)\n"
                "# or: model.fit(..., callbacks=[kregtools.callbacks.RecalibrateBatchNorm(x_train), ...])",
            ),
        )


def _momentum(steps: float) -> float:
    """The largest of two digits that has settled after so many steps, within what is usual."""
    return min(MOST, max(LEAST, math.floor(100 * (1.0 - SETTLED / max(steps, 1.0))) / 100))
