"""The yardstick of a loss: what the best constant prediction would cost."""

from __future__ import annotations

import math

import numpy as np

from kregtools.record.record import Record

CROSSENTROPY = ("categorical_crossentropy", "sparse_categorical_crossentropy")


def constant_loss(record: Record) -> float | None:
    """The loss of the best constant predictor on the targets seen, or `None` where it cannot be told.

    - crossentropy: the entropy of the label frequencies, -Σ f ln f;
    - mean squared error: the variance of the targets.

    It makes a loss comparable between problems: a network whose loss stays near it has learned nothing, whatever
    the number is. Where only the logs were recorded, crossentropy is judged against equally frequent labels, which
    is an upper bound.
    """
    losses = record.facts.get("losses") or []
    if len(losses) != 1:
        return None
    name = losses[0].get("name")
    if name in CROSSENTROPY:
        return _entropy(_label_counts(record)) or _uniform(record)
    if name == "binary_crossentropy":
        mean = _pooled(record, "mean")
        return math.log(2) if math.isnan(mean) else _entropy(np.array([mean, 1.0 - mean]))
    if name == "mean_squared_error":
        variance = _pooled(record, "std", power=2) + _spread_of_means(record)
        return None if math.isnan(variance) or variance <= 0 else variance
    return None


def _label_counts(record: Record) -> np.ndarray:
    names = [name for name in record.statistics("", "target") if name.startswith("count_")]
    counts = np.array([np.nansum(record.series("", "target", name)) for name in names])
    return counts


def _entropy(frequencies: np.ndarray) -> float | None:
    positive = frequencies[frequencies > 0]
    if len(positive) < 2:
        return None
    share = positive / positive.sum()
    return float(-(share * np.log(share)).sum())


def _uniform(record: Record) -> float | None:
    outputs = record.facts.get("outputs") or []
    units = outputs[0]["shape"][-1] if len(outputs) == 1 and outputs[0].get("shape") else None
    return math.log(units) if units and units > 1 else None


def _pooled(record: Record, statistic: str, power: int = 1) -> float:
    values = record.series("", "target", statistic) ** power
    return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan


def _spread_of_means(record: Record) -> float:
    values = record.series("", "target", "mean")
    return float(np.nanvar(values)) if np.isfinite(values).any() else math.nan
