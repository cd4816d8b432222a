"""A learning rate that has decayed long before the run ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import Name, compile_with, optimizer
from kregtools.causes.steps import steps_of
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

OVER = 0.01
EARLY = 0.5
UNDERFIT = {"loss": [0.70, 0.68, 0.67, 0.67, 0.67, 0.67]}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


def _scheduled(name: str, **settings: Any) -> dict[str, Any]:
    return {**BINARY, "optimizer": {"class": "Adam", "schedule": {"class": name, **settings}}}


class ScheduleTooShort(CauseRule):
    """The schedule lowers the learning rate to nothing in the first half of the run.

    How it is told: by the settings of the schedule, or by the learning rate that was logged: it falls below 1 % of
    its highest value before half of the steps are done, and stays there. Often steps and epochs are mixed up:
    `decay_steps` counts steps.

    What to do: a schedule that lasts as long as the run: steps an epoch times epochs.
    """

    name = "schedule_too_short"
    explains = ("slow_convergence", "underfit", "no_learning")
    SICK: ClassVar = (
        example(logs=UNDERFIT, facts=_scheduled("CosineDecay", initial_learning_rate=1e-3, decay_steps=6, alpha=0.0)),
        example(
            logs=UNDERFIT,
            facts=_scheduled("ExponentialDecay", initial_learning_rate=1e-3, decay_steps=1, decay_rate=0.5),
        ),
        example(logs={**UNDERFIT, "learning_rate": [1e-3, 1e-4, 1e-6, 1e-6, 1e-6, 1e-6]}, facts=BINARY),
    )
    HEALTHY: ClassVar = (
        example(logs=UNDERFIT, facts=_scheduled("CosineDecay", initial_learning_rate=1e-3, decay_steps=60, alpha=0.0)),
        example(logs=UNDERFIT, facts=_scheduled("CosineDecay", initial_learning_rate=1e-3, decay_steps=6, alpha=0.1)),
        example(
            logs=UNDERFIT, facts=_scheduled("PiecewiseConstantDecay", boundaries=[40, 50], values=[1e-3, 1e-4, 1e-6])
        ),
        example(logs={**UNDERFIT, "learning_rate": [1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-6]}, facts=BINARY),
        example(logs=UNDERFIT, facts=_scheduled("Mine")),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        steps, schedule = steps_of(record), optimizer(record).get("schedule") or {}
        end = _logged_end(record) if np.isfinite(record.log("learning_rate")).any() else _end(schedule)
        if end is None or not 0 <= end < EARLY * steps:
            return None
        rate = max(schedule.get("initial_learning_rate") or 0.0, optimizer(record).get("learning_rate") or 0.0) or 1e-3
        return self.found(
            symptoms,
            0.75,
            f"The learning rate is below {OVER:.0%} of its highest value from step {end:.0f} on, and the run has "
            f"{steps:,} steps.",
            Remedy(
                f"Let the schedule last for all {steps:,} steps. The loss should go on falling after step {end:.0f}.",
                f"schedule = keras.optimizers.schedules.CosineDecay({rate:g}, decay_steps={steps})\n"
                + compile_with(record, learning_rate=Name("schedule")),
            ),
        )


def _logged_end(record: Record) -> float | None:
    rates = record.log("learning_rate")
    high = ~(rates <= OVER * np.nanmax(rates))
    last = int(np.flatnonzero(high)[-1])
    return None if last == len(rates) - 1 else float(record.logs[last]["step"] + 1)


def _end(schedule: Mapping[str, Any]) -> float | None:
    """The step from which on the learning rate is below 1 % of its highest value."""
    kind, steps, rate = schedule.get("class"), schedule.get("decay_steps") or 0, schedule.get("decay_rate") or 0.0
    start = schedule.get("warmup_target") or schedule.get("initial_learning_rate") or 0.0
    if kind == "CosineDecay" and (schedule.get("alpha") or 0.0) <= OVER:
        return (schedule.get("warmup_steps") or 0) + steps * math.acos(2 * OVER - 1) / math.pi
    if kind == "PolynomialDecay" and not schedule.get("cycle"):
        low = (schedule.get("end_learning_rate") or 0.0) <= OVER * start
        return steps * (1 - OVER ** (1 / (schedule.get("power") or 1.0))) if low else None
    if kind == "ExponentialDecay" and 0 < rate < 1:
        return steps * math.log(OVER) / math.log(rate)
    if kind == "InverseTimeDecay" and rate > 0:
        return steps * (1 / OVER - 1) / rate
    if kind == "PiecewiseConstantDecay":
        values, boundaries = schedule.get("values") or [], schedule.get("boundaries") or []
        low = [value <= OVER * max(values) for value in values]
        ends = [edge for index, edge in enumerate(boundaries) if all(low[index + 1 :])]
        return float(ends[0]) if ends else None
    return None
