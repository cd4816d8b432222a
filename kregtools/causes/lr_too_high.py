"""Steps too large for the weights they change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import compile_with, kernel_updates, largest, optimizer
from kregtools.causes.steps import rounded
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

LARGE_UPDATE = 0.1
HEALTHY_UPDATE = 1e-3
# What the largest of the first steps of healthy runs come to.
FIRST_UPDATE = 0.02
SGD = {"optimizer": {"class": "SGD", "learning_rate": 10.0}}


class LrTooHigh(CauseRule):
    """The learning rate is too high.

    How it is told: a step changes a kernel by more than a tenth of its norm, at or before the first symptom. A
    healthy step changes it by about a thousandth (CS231n, "Babysitting the learning process").

    What to do: lower the learning rate by as much as the ratio is too large; `global_clipnorm=1.0` bounds single
    steps without slowing the others.
    """

    name = "lr_too_high"
    explains = (
        *("nonfinite", "exploding_gradient", "dead_relu", "vanishing_gradient", "underfit"),
        *("diverging_loss", "oscillating_loss", "no_learning", "large_update", "constant_output"),
    )
    SICK: ClassVar = (
        example(
            series={
                ("dense", "kernel", "update_ratio"): [2.0, 9.0, 8.0],
                ("", "loss", "nonfinite"): [0, 0, 1],
            },
            facts=SGD,
        ),
    )
    HEALTHY: ClassVar = (
        example(
            series={
                ("dense", "kernel", "update_ratio"): [1e-3, 2e-3, float("nan")],
                ("", "loss", "nonfinite"): [0, 0, 1],
            },
            facts=SGD,
        ),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        layers, ratios = kernel_updates(record)
        began = [s.first_step for name, s in symptoms.items() if name in self.explains and s.first_step is not None]
        before = ratios[record.steps <= min(began)] if began else ratios
        ratio = largest(before)
        learning_rate = optimizer(record).get("learning_rate")
        if not ratio > LARGE_UPDATE or (learning_rate or 0.0) < 0:
            return None
        first = largest(ratios[np.argmax(np.nanmax(np.nan_to_num(ratios), axis=1) > LARGE_UPDATE)])
        layer = layers[int(np.nanargmax(np.nanmax(np.nan_to_num(before), axis=0)))]
        lower = _lower(learning_rate, first)
        return self.found(
            symptoms,
            confidence=min(0.85, 0.5 + 0.2 * math.log10(ratio / LARGE_UPDATE)),
            reason=f"A single step changed the kernel of {layer} by {ratio:.3g} times its own norm; "
            f"about {HEALTHY_UPDATE:g} is healthy, and more than {LARGE_UPDATE:g} is not.",
            remedy=Remedy(
                f"Lower the learning rate{f' from {learning_rate:.3g}' if learning_rate else ''} to about "
                f"{lower:g}. The loss should then fall from the first epoch on; if it falls smoothly but slowly, "
                "go back up by a factor of 3.",
                compile_with(record, learning_rate=lower),
            ),
        )


def _lower(learning_rate: float | None, ratio: float) -> float:
    """The learning rate that would have made the step no larger than the first ones of healthy runs, by 1000 at most.

    `ratio` is that of the first step that was too large: those after it measure what it did to the weights.
    """
    start = learning_rate or 1e-3
    return rounded(start * max(1e-3, min(0.1, FIRST_UPDATE / ratio)))
