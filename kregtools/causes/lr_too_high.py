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
    rate above 50 times the optimizer's default. Momentum m adds up 1 / (1 - m) gradients: above 0.99 a rate is taken
    for as many times as large as that is more than the ten of a momentum of 0.9.

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
        example(
            logs=FLAT,
            series={("dense", "kernel", "update_ratio"): [0.02, 0.05, 0.04]},
            facts={**TEN, "optimizer": {"class": "SGD", "learning_rate": 0.1, "momentum": 0.999}},
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
        example(
            logs=FLAT,
            series={("dense", "kernel", "update_ratio"): [0.02, 0.05, 0.04]},
            facts={**TEN, "optimizer": {"class": "SGD", "learning_rate": 0.001, "momentum": 0.999}},
        ),
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
            return self._by_rate(record, symptoms) if _summed(record) > 1 else None
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
        """Steps that were not measured, or that momentum adds up, told by the learning rate."""
        rate, name = optimizer(record).get("learning_rate") or 0.0, optimizer(record).get("class")
        lower, times = usual_rate(record), _summed(record)
        if name not in COMPARABLE or not rate * times > TIMES * lower:
            return None
        reason = f"The learning rate is {rate:.3g}; the default of {name} is {lower:g}."
        what, settings = f"Lower the learning rate from {rate:.3g} to {lower:g}", {"learning_rate": lower}
        if times > 1:
            momentum = optimizer(record)["momentum"]
            reason += f" A momentum of {momentum:g} adds up {1 / (1 - momentum):.0f} gradients, where 10 are usual."
            what, settings = f"{what} and the momentum to 0.9", {**settings, "momentum": 0.9}
        return self.found(
            symptoms,
            min(0.75, 0.5 + 0.1 * math.log10(rate * times / (TIMES * lower))),
            reason,
            Remedy(
                f"{what}. The loss should then fall from the first epoch on; if it falls smoothly but slowly, go back "
                "up by a factor of 3.",
                compile_with(record, **settings),
            ),
        )


def _summed(record: Record) -> float:
    """How many times as many gradients as usual the momentum adds up, where that is far more."""
    momentum = optimizer(record).get("momentum") or 0.0
    return 0.1 / (1 - momentum) if optimizer(record).get("class") == "SGD" and 0.99 < momentum < 1 else 1.0


def _lower(learning_rate: float | None, ratio: float) -> float:
    """The learning rate that would have made the step no larger than the first ones of healthy runs, by 1000 at most.

    `ratio` is that of the first step that was too large: those after it measure what it did to the weights.
    """
    start = learning_rate or 1e-3
    return rounded(start * max(1e-3, min(0.1, FIRST_UPDATE / ratio)))
