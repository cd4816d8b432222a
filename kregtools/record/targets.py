"""The targets that a run saw, over all of its samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from kregtools.record.record import Record


class Targets:
    """The targets of one output; NaN and `None` stand for what was not recorded.

    Args:
        record: The record.
        name: The tensor's name, as `"target"` or `"target:left"`.

    Attributes:
        mean: Their mean.
        variance: Their variance.
        low: The least of them.
        high: The largest.
        entropy: The mean entropy of soft targets.
        binary_entropy: The same of targets that are a probability each.
        deviation: The mean distance from the median.
        huber: The mean Huber loss of the median, with a delta of 1.
        log_cosh: The mean logarithm of the hyperbolic cosine of the distance from the median.
        counts: How often each label occurs; for targets as wide as the output, the sum of each column.
        columns: The mean of each column; one value where the columns are not known.
    """

    def __init__(self, record: Record, name: str) -> None:
        self._record, self._name = record, name
        self._recorded = set(record.statistics("", name))
        self._sizes = self._series("count")
        means = self._series("mean")
        self.mean = self._pooled(means)
        self.variance = self._pooled(self._series("std") ** 2 + (means - self.mean) ** 2)
        self.low, self.high = _extreme(np.min, self._series("min")), _extreme(np.max, self._series("max"))
        self.entropy, self.deviation = self._pooled(self._series("entropy")), self._pooled(self._series("deviation"))
        self.huber, self.log_cosh = self._pooled(self._series("huber")), self._pooled(self._series("log_cosh"))
        self.counts = self._label_counts()
        self.columns = self._column_means()
        wide = self._pooled(self._series("binary_entropy"))
        # For an output of width 1 they are one and the same.
        self.binary_entropy = self.entropy if math.isnan(wide) and not self.as_wide_as_output else wide

    @property
    def known(self) -> bool:
        """Whether anything of them was recorded."""
        return bool(self._recorded)

    @property
    def whole(self) -> bool:
        """Whether all of them are whole numbers."""
        fractions = self._series("integer_fraction")
        return bool((fractions[np.isfinite(fractions)] == 1).all() and np.isfinite(fractions).any())

    @property
    def as_wide_as_output(self) -> bool:
        """Whether `columns` holds the mean of each column."""
        return len(self.columns) > 1

    @property
    def shares(self) -> np.ndarray | None:
        """The columns between 0, where all values are the least, and 1; `None` if there are values in between."""
        spread = (self.mean - self.low) * (self.high - self.mean)
        if not self.high > self.low or not math.isclose(self.variance, spread, rel_tol=1e-3):
            return None
        return (self.columns - self.low) / (self.high - self.low)

    def _label_counts(self) -> np.ndarray:
        names = sorted((name for name in self._recorded if name.startswith("count_")), key=lambda name: int(name[6:]))
        return np.array([np.nansum(self._series(name)) for name in names])

    def _column_means(self) -> np.ndarray:
        rows, size = np.nansum(self._series("rows")), np.nansum(self._sizes)
        if len(self.counts) and rows and round(size / rows) == len(self.counts):
            return self.counts / rows
        return np.array([self.mean])

    def _series(self, statistic: str) -> np.ndarray:
        return self._record.series("", self._name, statistic)

    def _pooled(self, values: np.ndarray) -> float:
        """The mean over the samples, by size where that was recorded."""
        known = np.isfinite(values)
        if not known.any():
            return math.nan
        sizes = self._sizes[known] if np.isfinite(self._sizes[known]).all() else np.ones(known.sum())
        return float(np.average(values[known], weights=sizes))


def targets_of(record: Record, losses: list[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Targets]] | None:
    """Every loss with the targets it is computed from; `None` where it is not known which those are."""
    names = [name for name in dict.fromkeys(tensor for _, tensor in _tensors(record)) if _is_target(name)]
    if len(losses) == 1 and len(names) > 1 and not losses[0].get("target"):
        losses = losses * len(names)
    found = []
    for index, loss in enumerate(losses):
        name = _name(loss, index, len(losses), names)
        if name is None:
            return None
        found.append((loss, Targets(record, name)))
    return found


def _name(loss: Mapping[str, Any], index: int, losses: int, names: list[str]) -> str | None:
    given = [loss.get("target"), f"target:{loss.get('output')}", f"target:{index}"]
    known = [name for name in given if name in names]
    if known:
        return known[0]
    # Several losses of one output, one output by itself, or no targets recorded at all.
    if len(names) <= 1 and (losses == 1 or not names or names == ["target"]):
        return names[0] if names else given[0] or "target"
    return names[index] if len(names) == losses else None


def _tensors(record: Record) -> list[tuple[str, str]]:
    return [*record.tensors("mean"), *record.tensors("count_0")]


def _is_target(name: str) -> bool:
    return name.split(":")[0] == "target"


def _extreme(how: Any, values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(how(finite)) if len(finite) else math.nan
