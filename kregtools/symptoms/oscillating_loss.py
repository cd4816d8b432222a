"""A training loss that goes up and down."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kregtools.record import Record, constant_loss, example
from kregtools.symptoms.curves import turns
from kregtools.symptoms.evidence import data_loss, require_epochs
from kregtools.symptoms.symptom import Symptom, SymptomRule

LEAST_EPOCHS = 5
SWING = 0.05
SHARE = 0.3
LEAST_TURNS = 3
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


class OscillatingLoss(SymptomRule):
    """The training loss goes up and down from epoch to epoch.

    How it is detected: the training loss rises in at least 30 % of the epochs, and turns in as many, three times at
    least. Changes smaller than 5 % of what the best constant prediction costs (of the first epoch's loss, where that
    is not known), or of the run's median loss if that is more, do not count. A single spike does not count, and neither
    does a learning rate that restarts now and then.

    Why it matters: the steps jump across the minimum instead of going down into it; where the run ends is chance.

    What to do: see the cause; a lower learning rate, or larger batches.

    Threshold: AutoTrainer (Zhang et al., ICSE 2021) asks for turns in 20 % of the epochs, of 3 points of accuracy;
    30 % and 5 % of the loss are judgement.
    """

    name = "oscillating_loss"
    SICK: ClassVar = (
        example(logs={"loss": [0.69, 0.45, 0.66, 0.41, 0.70, 0.43, 0.64, 0.48]}, facts=BINARY),
        example(logs={"loss": [3.0, 1.0, 4.0, 1.5, 5.0, 0.9, 3.7]}),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.69, 0.45, 0.30, 0.24, 0.25, 0.24, 0.25, 0.24]}, facts=BINARY),
        example(logs={"loss": [0.69, 0.45, 0.30, 0.66, 0.30, 0.24, 0.20, 0.18, 0.15, 0.14]}, facts=BINARY),
        example(logs={"loss": [0.69, 0.2, 0.06, 0.03, 0.05, 0.03, 0.06, 0.04, 0.02, 0.04]}),
        example(logs={"loss": [0.01, 0.002, 0.012, 0.001, 0.009, 0.002, 0.014, 0.001]}, facts=BINARY),
        example(logs={"loss": [0.6, 0.4, 0.3, 0.25, 0.5, 0.35, 0.25, 0.2, 0.4, 0.28, 0.2, 0.17]}, facts=BINARY),
    )

    def check(self, record: Record) -> Symptom | None:
        require_epochs(record, LEAST_EPOCHS)
        losses = data_loss(record)
        if not np.isfinite(losses).all():
            return None
        scale = max(constant_loss(record) or abs(losses[0]), float(np.median(np.abs(losses))))
        count, epochs = turns(losses, SWING * scale), len(losses)
        changes = np.diff(losses)
        rises = (changes > SWING * scale).mean()
        if scale == 0 or rises < SHARE or count < max(LEAST_TURNS, SHARE * (epochs - 2)):
            return None
        swing = float(np.median(np.abs(changes)[np.abs(changes) > SWING * scale]))
        return Symptom(
            self.name,
            "warning",
            f"The training loss turns {count} times in {epochs} epochs, by {swing:.3g} at a time, {swing / scale:.0%} "
            f"of its scale; healthy are changes below {SWING:.0%}, or turns in fewer than {SHARE:.0%} of the epochs.",
            (),
            int(record.logs[int(np.argmax(changes > SWING * scale)) + 1]["step"]),
            {"turns": float(count), "swing": swing, "swing_share": swing / scale, "threshold": SWING},
        )
