"""The validation loss rises while the training loss falls."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from kregtools.record import Record, constant_loss, example
from kregtools.symptoms.evidence import data_loss, require_epochs, validation_loss
from kregtools.symptoms.symptom import Symptom, SymptomRule

RISE = 1.10
GAP = 1.20


class Overfit(SymptomRule):
    """The network learns the training data by heart.

    How it is detected: at the end (the mean of the last two epochs, or of the last 5 % of a long run) the validation
    loss stands more than 10 % above its lowest value, while the training loss has fallen since, is at least a sixth
    below it and, penalties left out, below that of the best constant prediction, where that is known. The onset is
    the epoch with the lowest validation loss: what comes after it was learned by heart.

    Why it matters: every epoch after the onset makes the network worse on data it has not seen.

    What to do: see the cause; dropout, L2, more data or augmentation, a smaller network, or stopping at the onset
    with `EarlyStopping(restore_best_weights=True)`.

    Threshold: 10 % is the rule of SageMaker Debugger.
    """

    name = "overfit"
    SICK: ClassVar = (
        example(
            logs={
                "loss": [0.55, 0.38, 0.28, 0.20, 0.14, 0.09, 0.06, 0.04],
                "val_loss": [0.44, 0.33, 0.28, 0.28, 0.30, 0.34, 0.38, 0.43],
            }
        ),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.6, 0.4, 0.3, 0.25], "val_loss": [0.5, 0.4, 0.33, 0.31]}),
        example(logs={"loss": [0.6, 0.4, 0.3, 0.25], "val_loss": [0.5, 0.33, 0.31, 0.32]}),
        example(logs={"loss": [0.6, 0.7, 0.9, 1.5], "val_loss": [0.6, 0.8, 1.0, 1.6]}),
        example(
            logs={"loss": [2e5, 4e3, 1.2, 1.2], "val_loss": [3e4, 2e4, 5e4, 5e4]},
            facts={"losses": [{"name": "mean_squared_error"}]},
            series={("", "target", "mean"): [0.0] * 4, ("", "target", "std"): [1.0] * 4},
        ),
    )

    def check(self, record: Record) -> Symptom | None:
        validation = validation_loss(record)
        require_epochs(record)
        training, judged = record.log("loss"), np.flatnonzero(np.isfinite(validation))
        onset = int(judged[np.argmin(validation[judged])])
        tail = judged[-max(2, math.ceil(0.05 * len(judged))) :]
        end, lowest = float(validation[tail].mean()), float(validation[onset])
        trained = float(training[tail].mean())
        rose = onset < tail[0] and 0 < RISE * lowest < end
        by_heart = trained < training[onset] and GAP * trained < end and _learned(record, tail)
        if not (rose and by_heart):
            return None
        rise, epoch = end / lowest - 1, int(record.epochs[onset]) + 1
        return Symptom(
            self.name,
            "warning",
            f"The validation loss is lowest in epoch {epoch} ({lowest:.3g}) and has risen by {rise:.0%} since, while "
            f"the training loss fell from {training[onset]:.3g} to {trained:.3g}" + _metric_gap(record) + ".",
            (),
            int(record.logs[onset]["step"]),
            {
                "onset_epoch": float(epoch),
                "lowest_val_loss": lowest,
                "final_val_loss": end,
                "rise": rise,
                "threshold": RISE - 1,
                **_gaps(record),
            },
        )


def _learned(record: Record, tail: np.ndarray) -> bool:
    """Whether the training loss got below that of the best constant; a run that blew up has learned nothing."""
    constant = constant_loss(record)
    penalized = any(layer.get("regularized") for layer in record.facts.get("layers", ()))
    if constant is None or (penalized and not record.statistics("", "loss")):
        return True
    return bool(data_loss(record)[tail].mean() < constant)


def _gaps(record: Record) -> dict[str, float]:
    """The last epoch's gap between training and validation, in each metric's own units."""
    last = record.logs[-1]
    names = [name for name in last if f"val_{name}" in last and name != "loss"]
    return {f"gap_{name}": abs(last[name] - last[f"val_{name}"]) for name in names}


def _metric_gap(record: Record) -> str:
    gaps = _gaps(record)
    return f"; {next(iter(gaps))[4:]} differs by {next(iter(gaps.values())):.3g} by now" if gaps else ""
