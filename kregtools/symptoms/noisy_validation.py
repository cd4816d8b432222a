"""A validation loss that jumps while the training loss is smooth."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.curves import noise, turns
from kregtools.symptoms.evidence import data_loss, require_epochs, validation_loss
from kregtools.symptoms.symptom import CannotCheckError, Symptom, SymptomRule
from kregtools.symptoms.yardstick import yardstick

LEAST_EPOCHS = 5
NOISE = 0.10
SMOOTH = 0.3
SHARE = 0.3
LITTLE = 0.05
BINARY = {"losses": [{"name": "binary_crossentropy"}]}
SMOOTHLY = [0.6, 0.5, 0.43, 0.38, 0.34, 0.31, 0.29, 0.27, 0.26, 0.25]
JUMPING = [0.55, 0.44, 0.62, 0.36, 0.58, 0.33, 0.49, 0.30, 0.52, 0.34]


class NoisyValidation(SymptomRule):
    """The validation loss jumps from epoch to epoch.

    How it is detected: over the second half of the run, the std of its jumps (from second differences, so that
    neither a slope nor a single spike counts) is above 10 % of its median and more than three times what the
    training loss shows, and in at least 30 % of the epochs it turns, by 10 % as well. Neither a loss below 5 % of
    the best constant prediction's matters, less what soft targets cost a perfect one, nor jumps that are smaller than
    that: a network that is nearly right has small losses, of which a few rows are a large share.

    Why it matters: the best epoch is then the luckiest one. Differences between runs that are no larger than the
    jumps say nothing.

    What to do: see the cause; more validation rows, or a learning rate that decays.

    Threshold: 10 % is judgement: the rise at which overfit is reported; 5 % is what overfit takes for harmless.
    """

    name = "noisy_validation"
    SICK: ClassVar = (
        example(logs={"loss": SMOOTHLY, "val_loss": JUMPING}, facts=BINARY),
        example(logs={"loss": [value * 100 for value in SMOOTHLY], "val_loss": [value * 100 for value in JUMPING]}),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": SMOOTHLY, "val_loss": [0.55, 0.47, 0.41, 0.40, 0.36, 0.37, 0.33, 0.34, 0.31, 0.32]}),
        example(logs={"loss": SMOOTHLY, "val_loss": [0.5, 0.4, 0.38, 0.37, 0.40, 0.46, 0.54, 0.63, 0.74, 0.86]}),
        example(logs={"loss": SMOOTHLY, "val_loss": [0.5, 0.45, 0.42, 0.38, 0.36, 0.95, 0.34, 0.33, 0.32, 0.31]}),
        example(logs={"loss": JUMPING, "val_loss": JUMPING}),
        example(logs={"loss": [0.02] * 10, "val_loss": [value / 50 for value in JUMPING]}, facts=BINARY),
        example(logs={"loss": [0.02] * 10, "val_loss": [value / 8 for value in JUMPING]}, facts=BINARY),
    )

    def check(self, record: Record) -> Symptom | None:
        validation = validation_loss(record)
        known = np.flatnonzero(np.isfinite(validation))
        if len(known) < LEAST_EPOCHS:
            require_epochs(record, LEAST_EPOCHS)
            raise CannotCheckError(f"{len(known)} epochs have a validation loss and {LEAST_EPOCHS} are needed")
        late = known[len(known) // 2 - 1 :]
        validation, training = validation[late], data_loss(record)[late]
        level, jumps = float(np.median(validation)), noise(validation)
        judged = yardstick(record)
        little = judged is not None and min(level, judged.at(0.0) + jumps) <= judged.at(LITTLE)
        if level <= 0 or little or not np.isfinite(training).all():
            return None
        own, count = noise(training), turns(validation, NOISE * level)
        noisy = jumps > NOISE * level and own < SMOOTH * jumps and count >= math.ceil(SHARE * (len(late) - 2))
        if not noisy:
            return None
        return Symptom(
            self.name,
            "info",
            f"The validation loss jumps by {jumps / level:.0%} of its value ({jumps:.2g} of {level:.3g}) from epoch to "
            f"epoch, the training loss by {own:.2g}; below {NOISE:.0%} is quiet. What is smaller than that is chance.",
            (),
            None,
            {"noise": jumps, "noise_share": jumps / level, "training_noise": own, "threshold": NOISE},
        )
