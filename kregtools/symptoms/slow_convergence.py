"""The loss falls, but so slowly that it would take many more epochs."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.curves import (
    lowest,
    paces,
    require_seen_penalty,
    steadily_falling,
    validation_data_loss,
    will_reach,
)
from kregtools.symptoms.evidence import data_loss, require_epochs
from kregtools.symptoms.symptom import Symptom, SymptomRule
from kregtools.symptoms.yardstick import require_yardstick

LEVEL = 0.4
LEAST_EPOCHS = 5
SHARE = 0.1
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


class SlowConvergence(SymptomRule):
    """The loss falls steadily and is far from its end.

    How it is detected: the training loss and the validation loss, penalties left out, are above 40 % of what the best
    constant prediction costs, or of the way there from a perfect prediction, where soft targets or smoothed labels make
    that cost something; a weighted loss is not judged. The lower of the two fell in four of five epochs; the last fifth
    of the run still fell at half of the average pace (80 % in runs below ten epochs); and as many epochs again would
    not bring it to the 40 %. A loss above the constant's is slow if its last fifth took a tenth off it. Neither a short
    run that learns well nor one that bends towards a floor is slow.

    Why it matters: the run stops before the network has learned what it can.

    What to do: see the cause; a higher learning rate first, then more epochs.

    Threshold: 40 % and the paces are judgement. A loss that bends falls ever more slowly; one whose steps are too
    small falls in a straight line.
    """

    name = "slow_convergence"
    SICK: ClassVar = (
        example(logs={"loss": [0.690, 0.685, 0.680, 0.675, 0.670, 0.665]}, facts=BINARY),
        example(logs={"loss": list(np.linspace(0.69, 0.60, 20))}, facts=BINARY),
        example(logs={"loss": [9.0, 8.0, 7.1, 6.3, 5.6, 4.9]}, facts=BINARY),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.68, 0.62, 0.56, 0.51, 0.46]}, facts=BINARY),
        example(logs={"loss": [0.66, 0.62, 0.60, 0.59, 0.583, 0.58]}, facts=BINARY),
        example(logs={"loss": [0.69, 0.688, 0.68, 0.65, 0.58, 0.46]}, facts=BINARY),
        example(logs={"loss": [0.69, 0.66, 0.63], "val_loss": [0.68, 0.64, 0.62]}, facts=BINARY),
        example(logs={"loss": [0.75, 0.72, 0.70, 0.67], "val_loss": [0.5, 0.4, 0.3, 0.25]}, facts=BINARY),
        example(logs={"loss": [0.6 + 0.09 * 0.7**epoch for epoch in range(15)]}, facts=BINARY),
    )

    def check(self, record: Record) -> Symptom | None:
        require_epochs(record, LEAST_EPOCHS)
        yardstick = require_yardstick(record)
        training, validation = data_loss(record), validation_data_loss(record)
        if not np.isfinite(training).all():
            return None
        # Dropout lifts the training loss: the validation loss then tells more of what was learned.
        curve = validation if np.isfinite(validation).all() and validation[-1] < training[-1] else training
        best, level = lowest(training, validation), yardstick.at(LEVEL)
        slow = best > level and not will_reach(curve, level) and _slow(curve, best, yardstick.constant)
        if not slow or not yardstick.above(best, LEVEL):
            return None
        require_seen_penalty(record)
        last, end = paces(curve)[0], float(curve[-1])
        epochs = math.ceil((end - level) / last)
        return Symptom(
            self.name,
            "warning" if best > yardstick.at(0.9) else "info",
            f"The {'training' if curve is training else 'validation'} loss falls by {last:.2g} an epoch and ends at "
            f"{end:.3g}, {yardstick.told(end)}; at that pace it takes "
            f"{epochs:,} more epochs to {LEVEL:.0%}, where no more than {len(curve)} would be sound.",
            (),
            None,
            {
                "loss": end,
                **yardstick.evidence,
                "pace": last,
                "epochs_to_go": float(epochs),
                "threshold": LEVEL,
            },
        )


def _slow(curve: np.ndarray, best: float, constant: float) -> bool:
    if best <= constant:
        return steadily_falling(curve)
    fifth = math.ceil((len(curve) - 1) / 5)
    return bool(curve[-1] < (1 - SHARE) * curve[-1 - fifth] and (np.diff(curve) < 0).mean() >= 0.8)
