"""Whether a run in which nothing is wrong was at its end."""

from __future__ import annotations

import math

import numpy as np

from kregtools.record import Record
from kregtools.symptoms.comparison import accuracy
from kregtools.symptoms.curves import validation_data_loss
from kregtools.symptoms.evidence import LEAST_EPOCHS, data_loss
from kregtools.symptoms.overfit import CONVERGED
from kregtools.symptoms.symptom import CannotCheckError
from kregtools.symptoms.yardstick import yardstick

# Judgement: at this pace ten epochs more are worth a tenth of the loss.
WORTH_AN_EPOCH = 0.01


def outlook(record: Record) -> str:
    """What speaks for more epochs, in a sentence; empty where they would bring little, or nobody can tell.

    The loss, penalties left out, of the validation data where there are any, is at its lowest in the last epoch in
    which it was measured. In the last fifth of the run it fell from its lowest value before that by more than 1 % an
    epoch, and by more than it ever rose in an epoch of the second half. A loss below 5 % of what the best constant
    prediction costs is low enough, and so is one at which no row is wrong; of a loss that may be negative a share means
    nothing.
    """
    validated = bool(np.isfinite(record.log("val_loss")).any())
    if not validated and any(name.startswith("val_") for logs in record.logs for name in logs):
        return ""
    try:
        losses = validation_data_loss(record) if validated else data_loss(record)
    except CannotCheckError:
        return ""
    epochs = np.flatnonzero(np.isfinite(losses))
    losses = losses[epochs]
    if len(losses) < LEAST_EPOCHS or not (losses > 0).all() or losses[-1] > losses.min():
        return ""
    judged, fifth, changes = yardstick(record), math.ceil((len(losses) - 1) / 5), np.diff(losses[len(losses) // 2 :])
    before = float(losses[:-fifth].min())
    fall = (before - float(losses[-1])) / float(epochs[-1] - epochs[-1 - fifth])
    right = accuracy(record, "val_" if validated else "")
    enough = (judged is not None and losses[-1] <= judged.at(CONVERGED)) or (right is not None and right[-1] >= 1.0)
    if enough or fall <= max(WORTH_AN_EPOCH * before, changes.max()):
        return ""
    pace = f"loss still falls by {fall / before:.0%} an epoch: train longer, "
    if validated:
        return f"The validation {pace}with `keras.callbacks.EarlyStopping` to find the end."
    return f"The training {pace}and pass validation data, which tell when to stop."
