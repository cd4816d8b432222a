"""Steps too small to get anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import compile_with, optimizer
from kregtools.causes.steps import decays, rounded, typical_update, usual_rate
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.evidence import data_loss

TINY = 1e-5
SMALL = 1e-4
HEALTHY_UPDATE = 1e-3
# The median of the first steps of healthy runs: a run whose steps are too small is still where it began.
FIRST_UPDATE = 4e-3
MOST = 1e5
# Of the default learning rate of Keras.
SHARE = 1 / 50
NO_GRADIENT = {"vanishing_gradient", "dead_relu", "symmetric_units", "nonfinite", "diverging_loss"}
SLOW = {"loss": [0.690, 0.685, 0.680, 0.675, 0.670, 0.665]}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


def _updates(ratio: float) -> dict[tuple[str, str, str], list[float]]:
    return {("dense", "kernel", "update_ratio"): [ratio, float("nan"), ratio, ratio]}


class LrTooLow(CauseRule):
    """The learning rate is too low.

    How it is told: the median step changes a kernel by less than 1/10,000 of its norm (surely, below 1/100,000), while
    the loss falls smoothly or does not move, by more than 1 % an epoch. About a thousandth is healthy (CS231n,
    "Babysitting the learning process"). Where steps were not measured, by a learning rate below a fiftieth of the
    optimizer's default. A schedule that lowers the rate, and gradients that vanish, explain small steps otherwise. More
    epochs do the same, at a price.

    What to do: raise the learning rate by as much as the steps are too small; those at the start of a healthy run
    change a kernel by about 4/1,000. Adam adapts to the gradient's scale.
    """

    name = "lr_too_low"
    explains = ("slow_convergence", "no_learning", "underfit")
    SICK: ClassVar = (
        example(logs=SLOW, series=_updates(5e-6), facts={**BINARY, "optimizer": {"class": "Adam"}}),
        example(logs={"loss": [0.6932] * 5}, series=_updates(2e-6), facts=BINARY),
        example(logs={"loss": [0.702, 0.698] * 10}, series=_updates(2e-5), facts=BINARY),
        example(logs=SLOW, facts={**BINARY, "optimizer": {"class": "Adam", "learning_rate": 1e-6}}),
    )
    HEALTHY: ClassVar = (
        example(logs=SLOW, series=_updates(2e-3), facts=BINARY),
        example(
            logs=SLOW, series=_updates(5e-6), facts={**BINARY, "optimizer": {"schedule": {"class": "CosineDecay"}}}
        ),
        example(
            logs={**SLOW, "learning_rate": [1e-3, 1e-3, 1e-4, 1e-5, 1e-6, 1e-6]}, series=_updates(5e-6), facts=BINARY
        ),
        example(logs={"loss": [0.70, 0.69, 0.71, 0.68, 0.71, 0.69]}, series=_updates(5e-5), facts=BINARY),
        example(logs=SLOW, facts={**BINARY, "optimizer": {"class": "SGD", "learning_rate": 1e-3}}),
        example(logs=SLOW, series=_updates(0.0), facts=BINARY),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        ratio, rate = typical_update(record), optimizer(record).get("learning_rate")
        if NO_GRADIENT & symptoms.keys() or decays(record) or not _smooth(data_loss(record)):
            return None
        usual = usual_rate(record)
        if math.isfinite(ratio):
            if ratio >= SMALL:
                return None
            times = FIRST_UPDATE / ratio
            reason = (
                f"The median step changes a kernel by {ratio:.1e} of its norm; about {HEALTHY_UPDATE:g} is healthy."
            )
        elif rate is not None and 0 < rate < SHARE * usual:
            times = usual / rate
            reason = f"The learning rate is {rate:.3g}; the default of the optimizer is {usual:g}."
        else:
            return None
        unmeasured = min(0.75, 0.5 + 0.1 * math.log10(SHARE * times))
        confidence = unmeasured if not math.isfinite(ratio) else 0.85 if ratio < TINY else 0.6
        return self.found(symptoms, confidence, reason, _remedy(record, rate, times))


def _smooth(losses: np.ndarray) -> bool:
    """Whether the loss falls smoothly or does not move: large steps go up and down."""
    changes = np.diff(losses[np.isfinite(losses)])
    rises = changes[changes > 0].sum()
    still = len(changes) and np.median(np.abs(changes)) <= 0.01 * np.abs(np.nanmean(losses))
    return bool(still or rises <= 0.25 * np.abs(changes).sum())


def _remedy(record: Record, rate: float | None, times: float) -> Remedy:
    times = min(times, MOST)
    higher = rounded((rate or 1e-3) * times)
    return Remedy(
        f"Raise the learning rate{f' from {rate:.3g}' if rate else ''} to about {higher:g}. The loss should then fall "
        "in one epoch by more than it did in all; if it jumps up and down, go back by a factor of 3. More epochs "
        "would do the same, at many times the cost.",
        compile_with(record, learning_rate=higher),
    )
