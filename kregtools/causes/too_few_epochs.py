"""A run that ends while it still learns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.steps import decays, steps_of, typical_update
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.curves import paces
from kregtools.symptoms.evidence import data_loss

MOVING = 1e-4
SHARE = 0.1
FEW_STEPS = 500
MOST = 20
SLOW = {"loss": [0.690, 0.685, 0.680, 0.675, 0.670, 0.665], "val_loss": [0.69, 0.686, 0.681, 0.677, 0.672, 0.668]}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


class TooFewEpochs(CauseRule):
    """The run stopped before the network had learned what it can.

    How it is told: the last fifth of the run still brought a tenth of the whole fall of the training loss or more,
    and the validation loss is not above its lowest value by more than the training loss fell since. Fewer than 500
    steps in all speak for it; steps of less than 1/10,000 of the weights, and a learning rate that has decayed,
    against it. A higher learning rate does the same.

    What to do: more epochs, with `EarlyStopping` so that their number need not be known.
    """

    name = "too_few_epochs"
    explains = ("slow_convergence", "underfit", "no_learning")
    SICK: ClassVar = (
        example(logs=SLOW, facts=BINARY),
        example(logs=SLOW, series={("dense", "kernel", "update_ratio"): [1e-3, 2e-3, 1e-3]}, facts=BINARY),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.70, 0.66, 0.65, 0.65, 0.65, 0.65], "val_loss": [0.66] * 6}, facts=BINARY),
        example(logs=SLOW, series={("dense", "kernel", "update_ratio"): [1e-7, 1e-7, 1e-7]}, facts=BINARY),
        example(logs={**SLOW, "val_loss": [0.69, 0.70, 0.71, 0.72, 0.73, 0.74]}, facts=BINARY),
        example(logs=SLOW, facts={**BINARY, "optimizer": {"schedule": {"class": "CosineDecay", "decay_steps": 10}}}),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        losses, validation = data_loss(record), record.log("val_loss")
        losses = losses[np.isfinite(losses)]
        if len(losses) < 3 or decays(record) or typical_update(record) < MOVING or {"diverging_loss"} & symptoms.keys():
            return None
        (last, average), epochs = paces(losses), len(losses) - 1
        fifth = math.ceil(epochs / 5)
        known = validation[np.isfinite(validation)]
        rising = len(known) > 1 and known[-1] - known.min() > last * fifth
        if average <= 0 or last * fifth < SHARE * average * epochs or (np.diff(losses) < 0).mean() < 0.8 or rising:
            return None
        return self.found(
            symptoms,
            0.55 if steps_of(record) < FEW_STEPS else 0.4,
            f"The training loss still falls by {last:.2g} an epoch, {last * fifth / (average * epochs):.0%} of its "
            f"whole fall in the last {fifth / epochs:.0%} of the run.",
            _remedy(symptoms, len(losses), validated=len(known) > 0),
        )


def _remedy(symptoms: Mapping[str, Symptom], epochs: int, validated: bool) -> Remedy:
    slow = symptoms.get("slow_convergence")
    needed = 2.0 * (slow.evidence["epochs_to_go"] if slow else epochs)  # the loss falls ever more slowly
    more = int(min(MOST * epochs, epochs + needed))
    stop = "where the validation loss rises" if validated else "where the loss falls no more"
    watched, data = ("val_loss", ", validation_data=(x_val, y_val)") if validated else ("loss", "")
    return Remedy(
        f"Train for {more:,} epochs in place of {epochs}, and stop {stop}. The training loss "
        "should go on falling; a learning rate 3 times as high would do the same in fewer epochs.",
        f'stop = keras.callbacks.EarlyStopping("{watched}", patience=5, restore_best_weights=True)\n'
        f"model.fit(x, y, epochs={more}{data}, callbacks=[stop])",
    )
