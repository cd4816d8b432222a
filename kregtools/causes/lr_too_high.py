"""Steps too large for the weights they change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import compile_with, kernel_updates, largest, optimizer
from kregtools.causes.steps import rounded, usual_rate
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.zero_kernels import started_at_zero

LARGE_UPDATE = 0.1
HEALTHY_UPDATE = 1e-3
# What the largest of the first steps of healthy runs come to.
FIRST_UPDATE = 0.02
# Of the default learning rate of Keras; Adadelta, Adagrad and Ftrl have useful rates far above theirs.
TIMES = 50.0
COMPARABLE = ("SGD", "RMSprop", "Adam", "AdamW", "Adamax", "Nadam")
FLAT = {"loss": [3870.0, 2.31, 2.31, 2.30, 2.31]}
TEN = {"losses": [{"name": "sparse_categorical_crossentropy"}], "outputs": [{"shape": [None, 10]}]}
SGD = {"optimizer": {"class": "SGD", "learning_rate": 10.0}}


class LrTooHigh(CauseRule):
    """The learning rate is too high.

    How it is told: a step changes a kernel by more than a tenth of its norm, at or before the first symptom. A
    healthy step changes it by about a thousandth (CS231n, "Babysitting the learning process"). A kernel that starts
    at zero is not looked at, as its first steps are all there is of it. Where steps were not measured, by a learning
    rate above 50 times the optimizer's default.

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
        example(logs=FLAT, facts={**TEN, "optimizer": {"class": "Adam", "learning_rate": 0.1}}),
    )
    HEALTHY: ClassVar = (
        example(
            series={
                ("dense", "kernel", "update_ratio"): [1e-3, 2e-3, float("nan")],
                ("", "loss", "nonfinite"): [0, 0, 1],
            },
            facts=SGD,
        ),
        example(
            series={
                ("dense", "kernel", "weight_norm"): [0.0, 1e-6, 2e-6],
                ("dense", "kernel", "update_ratio"): [float("nan"), 0.8, 0.3],
                ("", "loss", "nonfinite"): [0, 0, 1],
            },
            facts={"optimizer": {"class": "Adam", "learning_rate": 1e-7}},
        ),
        example(logs=FLAT, facts={**TEN, "optimizer": {"class": "Adam", "learning_rate": 0.04}}),
        example(logs=FLAT, facts={**TEN, "optimizer": {"class": "Adadelta", "learning_rate": 1.0}}),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        layers, ratios = kernel_updates(record)
        if not np.isfinite(ratios).any():
            return self._by_rate(record, symptoms)
        ratios = np.where([name in started_at_zero(record) for name in layers], np.nan, ratios)
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

    def _by_rate(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        """Steps that were not measured, told by the learning rate."""
        rate, name = optimizer(record).get("learning_rate") or 0.0, optimizer(record).get("class")
        if name not in COMPARABLE or not rate > TIMES * usual_rate(record):
            return None
        lower = usual_rate(record)
        return self.found(
            symptoms,
            min(0.75, 0.5 + 0.1 * math.log10(rate / (TIMES * lower))),
            f"The learning rate is {rate:.3g}; the default of {name} is {lower:g}.",
            Remedy(
                f"Lower the learning rate from {rate:.3g} to {lower:g}. The loss should then fall from the first epoch "
                "on; if it falls smoothly but slowly, go back up by a factor of 3.",
                compile_with(record, learning_rate=lower),
            ),
        )


def _lower(learning_rate: float | None, ratio: float) -> float:
    """The learning rate that would have made the step no larger than the first ones of healthy runs, by 1000 at most.

    `ratio` is that of the first step that was too large: those after it measure what it did to the weights.
    """
    start = learning_rate or 1e-3
    return rounded(start * max(1e-3, min(0.1, FIRST_UPDATE / ratio)))
