"""The network learns its training data and nothing that holds for other data."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.comparison import beats_majority
from kregtools.symptoms.curves import (
    lowest,
    require_seen_penalty,
    tail,
    validation_data_loss,
)
from kregtools.symptoms.evidence import data_loss, require_epochs, validation_loss
from kregtools.symptoms.negative_loss import impossible
from kregtools.symptoms.settling import require_settled
from kregtools.symptoms.symptom import Symptom, SymptomRule
from kregtools.symptoms.yardstick import require_yardstick

LEVEL = 0.95
LEARNED = 0.7
FALLEN = 0.8
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


class NoGeneralization(SymptomRule):
    """The training loss falls, and the validation loss never gets below that of a constant.

    How it is detected: the training loss ends below 70 % of what the best constant prediction costs and a fifth below
    its own start, while the lowest validation loss is above 95 % of it, penalties left out, and the validation
    accuracy, where there is one, does not beat the share of the most frequent class. What soft targets and smoothed
    labels cost a perfect prediction is left out of all of these; a weighted loss is not judged, nor one of a network
    whose batch normalizations have not had the steps to settle. A crossentropy below zero, which has no such
    constant, is another symptom, `negative_loss`.

    Why it matters: what was learned is of no use for data not seen before; there is no epoch to stop at.

    What to do: see the cause. Look at the labels first: this is what labels look like that do not belong to their
    rows, and what a validation set of another kind looks like.

    Threshold: 95 % as for a network that has learned nothing, on training data; 70 % is judgement.
    """

    name = "no_generalization"
    SICK: ClassVar = (
        example(logs={"loss": [0.69, 0.6, 0.5, 0.3, 0.1], "val_loss": [0.70, 0.72, 0.8, 1.1, 1.6]}, facts=BINARY),
        example(logs={"loss": [0.69, 0.6, 0.5, 0.4], "val_loss": [0.69, 0.69, 0.70, 0.70]}, facts=BINARY),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.69, 0.6, 0.5, 0.3, 0.1], "val_loss": [0.68, 0.6, 0.55, 0.6, 0.9]}, facts=BINARY),
        example(logs={"loss": [0.70, 0.69, 0.69, 0.69], "val_loss": [0.69, 0.69, 0.70, 0.70]}, facts=BINARY),
        example(
            logs={"loss": [0.5, -3.0, -40.0], "val_loss": [1e3, 1e4, 1e5]},
            facts={**BINARY, "model": {"class": "Sequential"}},
        ),
        example(
            logs={
                "loss": [0.4, 0.2, 0.1, 0.05],
                "val_loss": [0.7, 0.9, 1.1, 1.3],
                "val_accuracy": [0.8, 0.82, 0.83, 0.83],
            },
            facts=BINARY,
            series={
                ("", "target", "mean"): [0.5] * 4,
                ("", "target", "std"): [0.5] * 4,
                ("", "target", "min"): [0.0] * 4,
                ("", "target", "max"): [1.0] * 4,
            },
        ),
    )

    def check(self, record: Record) -> Symptom | None:
        validation_loss(record)
        require_epochs(record)
        if beats_majority(record, "val_") or impossible(record):
            return None
        yardstick = require_yardstick(record)
        training, best = data_loss(record), lowest(validation_data_loss(record))
        end, start = tail(training), float(training[0])
        fell = np.isfinite(end) and end <= yardstick.at(0.0) + FALLEN * (start - yardstick.at(0.0))
        if not fell or not yardstick.above(best, LEVEL) or yardstick.above(end, LEARNED):
            return None
        require_seen_penalty(record)
        require_settled(record)
        return Symptom(
            self.name,
            "critical",
            f"The training loss falls to {end:.3g}, and the validation loss is at best {best:.3g}, "
            f"{yardstick.told(best)} ({yardstick.constant:.3g}); below {LEVEL:.0%} "
            "something would hold for other data, too.",
            (),
            None,
            {
                "loss": end,
                "best_val_loss": best,
                **yardstick.evidence,
                "ratio": yardstick.share(best),
                "threshold": LEVEL,
            },
        )
