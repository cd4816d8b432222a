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
from kregtools.symptoms.evidence import layer_facts
from kregtools.symptoms.settling import SETTLED

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

    What to do: a lower momentum, at which an average forgets its start within an epoch of ten steps or more; or
    statistics taken anew before each validation, which changes nothing in training; where the weights change too fast,
    a learning rate that decays.

    Reference: Ioffe & Szegedy, 2015, for the averages; Wu & Johnson, 2021, "Rethinking 'Batch' in BatchNorm", for
    statistics taken anew.
    """

    name = "slow_moving_average"
    explains = ("moving_average_lag",)
    SICK: ClassVar = (_after(20), _after(60))
    HEALTHY: ClassVar = (example(logs={"loss": [1.0, 0.5]}, facts={"layers": [{"name": "dense", "class": "Dense"}]}),)

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        behind = symptoms["moving_average_lag"].layers
        momentum = max((layer_facts(record).get(name, {}).get("momentum") or 0.0 for name in behind), default=0.0)
        if not 0.0 < momentum < 1.0:
            return None
        steps, an_epoch = int(record.logs[-1]["step"]) + 1, steps_per_epoch(record) or 0
        why = (
            f"after {steps:,} steps {momentum**steps:.0%} of an average is still what it was before training"
            if steps < SETTLED / (1.0 - momentum)
            else f"after {steps:,} steps the weights still change faster than that"
        )
        return self.found(
            symptoms,
            0.9,
            f"A momentum of {momentum:.3g} remembers {1 / (1 - momentum):.0f} steps: {why}.",
            _remedy(list(behind), momentum, an_epoch),
        )


def _remedy(layers: list[str], momentum: float, steps: int) -> Remedy:
    anew = "callbacks=[kregtools.callbacks.RecalibrateBatchNorm(x_train), ...]"
    # The largest of two digits that has settled after an epoch.
    lower = min(MOST, math.floor(100 * (1.0 - SETTLED / max(steps, 1))) / 100)
    if not LEAST <= lower < momentum:
        return Remedy(
            "Take the statistics anew before each validation, which leaves training as it is: no momentum is fast "
            f"enough for epochs of {steps} steps. The validation loss should then follow the training loss.",
            f"model.fit(x_train, y_train, {anew})",
        )
    return Remedy(
        f"Give {joined(layers)} a momentum of {lower:g}, which forgets its start within an epoch; or leave the model "
        "as it is, and take the statistics anew before each validation. The validation loss should then follow the "
        "training loss.",
        f"x = keras.layers.BatchNormalization(momentum={lower:g})(x)\n# or: model.fit(..., {anew})",
    )
