"""Steps that go uphill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import compile_with, optimizer
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

RISING = {"loss": [0.9, 1.4, 2.6, 8.0, 40.0]}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


class NegativeLr(CauseRule):
    """The learning rate is negative.

    How it is told: by the optimizer's learning rate, or by the one that was logged.

    What to do: take the sign away. Where the loss is to be made large, change its sign, not that of the steps.
    """

    name = "negative_lr"
    explains = (
        "diverging_loss",
        "no_learning",
        "underfit",
        "nonfinite",
        "exploding_gradient",
        "large_update",
        "negative_loss",
    )
    SICK: ClassVar = (
        example(logs=RISING, facts={**BINARY, "optimizer": {"class": "SGD", "learning_rate": -0.01}}),
        example(logs={**RISING, "learning_rate": [0.1, 0.05, 0.0, -0.05, -0.1]}, facts=BINARY),
    )
    HEALTHY: ClassVar = (
        example(logs=RISING, facts={**BINARY, "optimizer": {"class": "SGD", "learning_rate": 0.01}}),
        example(logs=RISING, facts={**BINARY, "optimizer": {"class": "SGD", "learning_rate": 0.0}}),
        example(logs=RISING, facts=BINARY),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        rates = np.array([optimizer(record).get("learning_rate") or 0.0, *record.log("learning_rate")], dtype=float)
        if not (rates < 0).any():
            return None
        rate = float(rates[rates < 0][0])
        return self.found(
            symptoms,
            0.98,
            f"The learning rate is {rate:.3g}: every step makes the loss larger.",
            Remedy(
                f"Set the learning rate to {-rate:.3g}. The loss should fall from the first epoch on.",
                compile_with(record, learning_rate=-rate),
            ),
        )
