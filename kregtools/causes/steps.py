"""What several causes need to know of the steps of a run: how many, how large, on how many rows."""

from __future__ import annotations

import math

import numpy as np

from kregtools.causes.evidence import kernel_updates, optimizer
from kregtools.record import Record


def steps_per_epoch(record: Record) -> int | None:
    """How many steps an epoch has, `None` where that is not known."""
    steps = (record.facts.get("fit") or {}).get("steps")
    if steps:
        return int(steps)
    ends = [entry["step"] for entry in record.logs]
    return int(ends[-1] - ends[-2]) if len(ends) > 1 else None


def steps_of(record: Record) -> int:
    """How many steps the run has had."""
    steps = int(record.logs[-1]["step"]) + 1 if record.logs else 0
    return max(steps, int(record.steps[-1]) + 1 if len(record.samples) else 0)


def batch_rows(record: Record) -> float:
    """How many rows a batch has, NaN where that was not recorded."""
    names = [name for layer, name in record.tensors("rows") if layer == "" and name.split(":")[0] == "output"]
    return _median(record.series("", names[0], "rows")) if names else math.nan


def training_rows(record: Record) -> float:
    """How many rows there are to train on, NaN where that is not known."""
    return batch_rows(record) * (steps_per_epoch(record) or math.nan)


def typical_update(record: Record) -> float:
    """The median update ratio of the kernels that move, NaN where it was not measured."""
    ratios = kernel_updates(record)[1]
    return _median(ratios[ratios > 0]) if (ratios > 0).any() else math.nan


def decays(record: Record) -> bool:
    """Whether a schedule lowers the learning rate, or something else lowered it to less than half."""
    rates, schedule = record.log("learning_rate"), optimizer(record).get("schedule") or {}
    rates = rates[np.isfinite(rates)]
    lowered = len(rates) > 0 and rates[-1] < 0.5 * rates.max()
    warming = (schedule.get("warmup_steps") or 0) >= max(steps_of(record), 1)
    return bool(schedule and not warming) or bool(lowered)


def usual_rate(record: Record) -> float:
    """The learning rate that Keras gives the optimizer of the run by default."""
    return 0.01 if optimizer(record).get("class") == "SGD" else 1e-3


def rounded(value: float) -> float:
    """The value rounded down to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{max(step for step in (1, 2, 5) if step * power <= value * (1 + 1e-6)) * power:.0e}")


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan
