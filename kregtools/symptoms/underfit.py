"""The loss has stopped falling far above what would be possible."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kregtools.record import Record, constant_loss, example
from kregtools.symptoms.evidence import data_loss, require_epochs
from kregtools.symptoms.symptom import CannotCheckError, Symptom, SymptomRule

LEVEL = 0.6
PLATEAU = 0.15
LEAST_EPOCHS = 5
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


class Underfit(SymptomRule):
    """The network cannot even fit the training data.

    How it is detected: the training loss, penalties left out, has come to rest (its last fifth brought less than
    15 % of the whole fall) above 60 % of what the best constant prediction costs, and the validation loss, measured
    without dropout, is above it, too. A loss that is still falling is no underfit yet.

    Why it matters: no amount of data and no regularization mends a network that cannot represent the training set.

    What to do: see the cause; a wider or deeper network, less regularization, better inputs. Where the labels are
    noise to that extent, there is nothing to mend: this rule cannot tell the two apart.

    Threshold: 60 % of the entropy of the labels (crossentropy) or of their variance (squared error), which makes it
    independent of the problem's scale.
    """

    name = "underfit"
    SICK: ClassVar = (
        example(logs={"loss": [0.70, 0.66, 0.65, 0.65, 0.65, 0.65]}, facts=BINARY),
        example(logs={"loss": [0.7] * 6, "val_loss": [0.69] * 6}, facts=BINARY),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.70, 0.4, 0.3, 0.25, 0.24, 0.24]}, facts=BINARY),
        example(logs={"loss": [0.70, 0.68, 0.65, 0.62, 0.58, 0.54]}, facts=BINARY),
        example(logs={"loss": [0.70, 0.6, 0.5, 0.5, 0.5, 0.5], "val_loss": [0.3] * 6}, facts=BINARY),
    )

    def check(self, record: Record) -> Symptom | None:
        require_epochs(record, LEAST_EPOCHS)
        constant = constant_loss(record)
        if constant is None:
            raise CannotCheckError(
                "the loss of the best constant prediction is not known: use HealthMonitor, one output, and a "
                "crossentropy or squared error as loss"
            )
        training, validation = data_loss(record), record.log("val_loss")
        if not np.isfinite(training).all():
            return None
        last, lowest = float(training[-1]), float(np.nanmin([training.min(), *validation]))
        if lowest <= LEVEL * constant or not _at_rest(training):
            return None
        if self._penalized_unseen(record):
            raise CannotCheckError(
                "the loss includes penalties of unknown size: use HealthMonitor, which takes them off"
            )
        return Symptom(
            self.name,
            "warning",
            f"The training loss has come to rest at {last:.3g}, {last / constant:.0%} of what the best constant "
            f"prediction costs ({constant:.3g}); a network that fits is below {LEVEL:.0%}.",
            (),
            int(record.logs[-1]["step"]),
            {"loss": last, "constant_loss": constant, "ratio": last / constant, "threshold": LEVEL},
        )

    def _penalized_unseen(self, record: Record) -> bool:
        regularized = any(layer.get("regularized") for layer in record.facts.get("layers", ()))
        return regularized and not record.statistics("", "loss")


def _at_rest(losses: np.ndarray) -> bool:
    fifth = max(1, len(losses) // 5)
    fall = losses[0] - losses.min()
    return bool(losses[-1 - fifth] - losses[-1] < PLATEAU * fall) if fall > 0 else True
